//! A child process that does not outlive this one, however this one ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

/// A child process. Dropping it kills and reaps it.
///
/// It leads a process group. What it starts itself, as a script does, is in that group and killed along with it.
#[derive(Debug)]
pub struct Process {
    id: u32,
    child: Mutex<Child>,
}

impl Process {
    /// Spawns `command`, which must start with [`dying_with_us`].
    pub fn spawn(command: Command) -> io::Result<Self> {
        let (reply, child) = mpsc::sync_channel(1);
        SPAWNER.send((command, reply)).expect("the spawner thread runs");
        let child = child.recv().expect("the spawner thread answers")?;
        Ok(Self { id: child.id(), child: Mutex::new(child) })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether the process has not ended. A stopped process is alive.
    pub fn is_alive(&self) -> bool {
        is_alive(&mut self.child())
    }

    /// How it has ended; `None` if it has not.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("the state of an own child")
    }

    /// The pipe to its standard input, once, if the command asked for one.
    pub fn take_stdin(&self) -> Option<ChildStdin> {
        self.child().stdin.take()
    }

    /// Gives the pipe back, to stay open until the process is dropped.
    pub fn keep_stdin(&self, stdin: ChildStdin) {
        self.child().stdin = Some(stdin);
    }

    /// The pipe from its standard output, once, if the command asked for one.
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.child().stdout.take()
    }

    /// The pipe from its standard error, once, if the command asked for one.
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        self.child().stderr.take()
    }

    /// Sends SIGKILL, to its group too, without waiting for the end.
    pub fn kill(&self) {
        let mut child = self.child();
        if is_alive(&mut child) {
            // The only error is that it has ended meanwhile.
            let _ = kill_process_group(pid(&child), Signal::KILL);
        }
    }

    /// Sends SIGSTOP, and returns when the process has stopped (or ended).
    pub fn stop(&self) {
        let mut child = self.child();
        if is_alive(&mut child) {
            let pid = pid(&child);
            kill_process(pid, Signal::STOP).expect("SIGSTOP to an own child");
            // NOWAIT: the exit status, if there is one, is left for the standard library to collect.
            let until = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(pid), until).expect("waiting for an own child");
        }
    }

    /// Sends SIGCONT.
    pub fn cont(&self) {
        let mut child = self.child();
        if is_alive(&mut child) {
            kill_process(pid(&child), Signal::CONT).expect("SIGCONT to an own child");
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child().wait();
    }
}

/// A command that runs `program` such that the kernel kills it when the thread that spawned it ends.
///
/// `setpriv` (util-linux) sets the signal and then becomes `program`, so the process id is `program`'s own.
pub fn dying_with_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

type Order = (Command, mpsc::SyncSender<io::Result<Child>>);

/// The thread that spawns all processes.
///
/// The kernel's parent-death signal is sent when the spawning *thread* ends, and the threads of tests and runtimes
/// end early. This thread ends only with the whole process.
static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (orders, incoming) = mpsc::channel::<Order>();
    let spawn_all = move || {
        for (mut command, reply) in incoming {
            let _ = reply.send(command.process_group(0).spawn());
        }
    };
    thread::Builder::new().name("spawner".to_owned()).spawn(spawn_all).expect("a thread");
    orders
});

/// While this holds and `child` stays locked nobody reaps it, so its process id is not used for another process.
fn is_alive(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}
