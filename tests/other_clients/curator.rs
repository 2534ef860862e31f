//! Curator, the framework and its recipes for Java.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::install::{class_path, of_java};
use testkit::process::dying_with_us;

use crate::program::{Directory, Program};

/// Compiles and runs `curator/Main.java`, which checks what it does.
pub(crate) async fn works_with(servers: &str) {
    let directory = Directory::new();
    let classes = directory.path().join("classes");
    let jars = jar_by_jar(&format!("{}:{}", class_path(), curator()));
    let mut command = compiler();
    command.args(["-source", "11", "-target", "11", "-nowarn", "-proc:none", "-encoding", "UTF-8"]);
    command.args(["-cp", &jars, "-d"]).arg(&classes).args(sources());
    let mut program = Program::start("compiler", command, &directory, "run tests/run");
    program.succeeds(Duration::from_secs(60)).await;

    let mut command = dying_with_us(&of_java("java"));
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xmx128m"]);
    command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    command.args(["-cp", &format!("{jars}:{}", classes.display()), "Main", servers]);
    let mut program = Program::start("curator", command, &directory, "run tests/run");
    program.succeeds(Duration::from_secs(60)).await;
    assert!(program.output().contains("all done"), "it has not run to its end");
}

fn sources() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/other_clients/curator");
    let files = fs::read_dir(directory).expect("the sources");
    files.map(|file| file.expect("a source").path()).collect()
}

/// The jars of Curator, with those that they need besides ZooKeeper's: from `CURATOR_HOME` if that is set,
/// otherwise from Debian's package.
fn curator() -> String {
    if let Ok(home) = env::var("CURATOR_HOME") {
        return format!("{home}/*");
    }
    // Their manifests name what they need.
    let jars = ["client", "framework", "recipes"].map(|part| format!("/usr/share/java/curator-{part}.jar"));
    assert!(
        jars.iter().all(|jar| Path::new(jar).exists()),
        "no Curator found: install Debian's package `libcurator-recipes-java`, or set CURATOR_HOME to a \
         directory with its jars, or run tests/run"
    );
    jars.join(":")
}

/// A class path with the jars of each `directory/*`, which Eclipse's compiler does not look for.
fn jar_by_jar(class_path: &str) -> String {
    let mut entries = Vec::new();
    for entry in class_path.split(':') {
        let Some(directory) = entry.strip_suffix("/*") else {
            entries.push(entry.to_owned());
            continue;
        };
        let files = fs::read_dir(directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
        let files = files.map(|file| file.expect("a file").path().display().to_string());
        entries.extend(files.filter(|file| file.ends_with(".jar")));
    }
    entries.join(":")
}

/// A Java compiler: a JDK's, or Eclipse's, which takes the same options.
fn compiler() -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    // A program that is a whole path stays one.
    let exists = |program: &str| env::split_paths(&path).any(|directory| directory.join(program).exists());
    let javac = of_java("javac");
    let found = [&*javac, "javac", "ecj"].into_iter().find(|program| exists(program));
    dying_with_us(found.unwrap_or_else(|| {
        panic!("neither javac nor ecj found: install Debian's package `ecj`, or a JDK, or run tests/run")
    }))
}
