//! A contender's process and its journal, as the test sees them.

use std::process::Stdio;

use testkit::network::Host;
use testkit::process::Process;

use crate::journal::{Reader, parse_token};
use crate::recorder::Orders;

/// A contender on a host of its own.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) host: Host,
    pub(crate) journal: Reader,
    orders: Orders,
    process: Option<Process>,
    paused: bool,
}

impl Runner {
    /// Starts it.
    pub(crate) fn start(host: Host, orders: Orders, number: usize) -> Self {
        let journal = Reader::open(orders.journal.as_ref(), number);
        let mut runner = Self { host, journal, orders, process: None, paused: false };
        runner.restart();
        runner
    }

    /// The name that it publishes.
    pub(crate) fn id(&self) -> &str {
        &self.orders.id
    }

    /// Kills it by SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process = None;
        self.paused = false;
    }

    /// Starts it again, as another contender of the same name.
    pub(crate) fn restart(&mut self) {
        let mut command = self.host.namespace.inside(&self.orders.command());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.process = Some(Process::spawn(command).expect("a contender"));
        self.paused = false;
    }

    /// Whether it runs and is not paused.
    ///
    /// # Panics
    ///
    /// When it has ended by itself.
    pub(crate) fn is_running(&self) -> bool {
        let Some(process) = &self.process else { return false };
        assert!(process.is_alive(), "{} has ended by itself: {:?}", self.id(), process.ended());
        !self.paused
    }

    /// Stops the process by SIGSTOP.
    pub(crate) fn pause(&mut self) {
        self.process().stop();
        self.paused = true;
    }

    /// Lets it go on, by SIGCONT.
    pub(crate) fn resume(&mut self) {
        self.process().cont();
        self.paused = false;
    }

    /// Lets it go on if it is paused, and starts it again if it was killed.
    pub(crate) fn repair(&mut self) {
        match (&self.process, self.paused) {
            (None, _) => self.restart(),
            (Some(_), true) => self.resume(),
            (Some(_), false) => {}
        }
    }

    /// What it said when it began to lead the last time: the token, and the id of its session.
    pub(crate) fn leads(&self) -> Option<(i64, &str)> {
        let (token, session) = self.journal.last("leads ")?.split_once(' ')?;
        Some((parse_token(token), session))
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap_or_else(|| panic!("{} does not run", self.id()))
    }
}
