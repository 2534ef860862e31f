//! A program of somebody else's, its input and its output.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use testkit::process::Process;
use testkit::{eventually, random};

/// A directory for the files of one test. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// A new directory.
    pub(crate) fn new() -> Self {
        let path = env::temp_dir().join(format!("zookeeper-election-{}-{:016x}", process::id(), random()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that runs. Dropping it kills it; when it is dropped by a panic, its output is printed.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    process: Process,
    stdin: Option<ChildStdin>,
    output: PathBuf,
}

impl Program {
    /// Starts the program, with its output, errors too, in a file of the directory. `missing` says what to
    /// install.
    pub(crate) fn start(name: &str, mut command: Command, directory: &Directory, missing: &str) -> Self {
        let output = directory.path().join(format!("{name}.out"));
        let file = File::options().create_new(true).append(true).open(&output).expect("a new file");
        command.stdin(Stdio::piped()).stdout(file.try_clone().expect("a file handle")).stderr(file);
        let process = Process::spawn(command).unwrap_or_else(|error| panic!("{name}: {error}; {missing}"));
        let stdin = process.take_stdin();
        Self { name: name.to_owned(), process, stdin, output }
    }

    /// Sends it text.
    pub(crate) fn send(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        stdin
            .write_all(text.as_bytes())
            .unwrap_or_else(|error| panic!("{} reads no input: {error}", self.name));
    }

    /// What it has printed so far.
    pub(crate) fn output(&self) -> String {
        let bytes = fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        self.process.kill();
    }

    /// Closes its input, and waits until it has ended without a failure.
    pub(crate) async fn succeeds(&mut self, limit: Duration) {
        self.stdin = None;
        let what = format!("{} ends", self.name);
        let status = eventually(&what, limit, async || self.process.ended()).await;
        assert!(status.success(), "{}: {status}", self.name);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the output of {}:\n{}\n---", self.name, self.output());
        }
    }
}
