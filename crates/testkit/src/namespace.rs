//! Network namespaces. They have no names: each lasts as long as the process that holds it, and so leaves nothing
//! behind, however the test ends.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::process::{Process, dying_with_us};

/// A network namespace. It ends when this is dropped and no process is left in it.
#[derive(Debug)]
pub struct Namespace {
    holder: Process,
}

impl Namespace {
    /// Makes one, with nothing in it but a loopback device that is up. It takes root, `ip` and `unshare`.
    ///
    /// # Errors
    /// What the machine lacks, for people.
    pub fn new() -> Result<Self, String> {
        // `cat` ends at the end of its input, that is, with this process at the latest. Its echo says that it runs, and
        // so that the namespace is there.
        let mut command = dying_with_us("unshare");
        command.args(["--net", "--", "cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let holder = Process::spawn(command).map_err(|error| format!("setpriv (of util-linux): {error}"))?;
        let (mut stdin, mut stdout) =
            (holder.take_stdin().expect("a pipe"), holder.take_stdout().expect("a pipe"));
        let echoed = stdin.write_all(b".").is_ok() && stdout.read_exact(&mut [0]).is_ok();
        if !echoed {
            let mut complaint = String::new();
            let _ = holder.take_stderr().expect("a pipe").read_to_string(&mut complaint);
            return Err(format!("no network namespace: {}", complaint.trim()));
        }
        holder.keep_stdin(stdin);
        let namespace = Self { holder };
        namespace.run(&["ip", "link", "set", "lo", "up"], "")?;
        Ok(namespace)
    }

    /// The process that holds it, for `ip link ... netns <pid>`.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// The command that runs `command` in here. Only the program and its arguments are taken over.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside
            .arg(format!("--net={}", self.file()))
            .arg("--")
            .arg(command.get_program())
            .args(command.get_args());
        inside
    }

    /// Runs a program in here to its end, with a standard input.
    ///
    /// # Errors
    /// What it complained about.
    pub fn run(&self, program: &[&str], input: &str) -> Result<(), String> {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]);
        let complete = || {
            let mut command = self.inside(&command);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn()?;
            // Who does not read its input says why on its standard error.
            let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
            child.wait_with_output()
        };
        let output = complete().map_err(|error| format!("nsenter (of util-linux): {error}"))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        output.status.success().then_some(()).ok_or_else(|| format!("{program:?}: {}", complaint.trim()))
    }

    /// Moves the calling thread in here, for good: its sockets are made in here.
    pub fn enter(&self) {
        let file = File::open(self.file()).expect("the namespace's file");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("to enter a namespace");
    }

    fn file(&self) -> String {
        format!("/proc/{}/ns/net", self.pid())
    }
}
