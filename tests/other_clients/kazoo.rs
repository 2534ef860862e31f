//! kazoo, the client and its recipes for Python.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::process::dying_with_us;

use crate::program::{Directory, Program};

/// Runs `python/main.py`, which checks what it does.
pub(crate) async fn works_with(servers: &str) {
    let directory = Directory::new();
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/other_clients/python/main.py");
    let mut command = dying_with_us(python());
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(main).arg(servers);
    let mut program = Program::start("kazoo", command, &directory, MISSING);
    program.succeeds(Duration::from_secs(60)).await;
    assert!(program.output().contains("all done"), "it has not run to its end");
}

const MISSING: &str = "install Debian's package `python3-kazoo`, or `pip install kazoo`, or run tests/run";

/// The Python that has kazoo: the first on the `PATH`, or that of the system.
fn python() -> &'static str {
    let has_kazoo = |python: &&str| {
        let mut command = Command::new("timeout");
        command.args(["20", python, "-c", "import kazoo"]).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_kazoo);
    found.unwrap_or_else(|| panic!("no python3 with kazoo: {MISSING}"))
}
