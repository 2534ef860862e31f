//! One ZooKeeper server of an ensemble.

use std::fs::{self, File};
use std::io::{PipeReader, pipe};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::install::server_command;
use super::member::Member;
use super::network::Host;
use super::process::Process;

/// One server: its process, which may be down or stopped, and its addresses and data, which stay.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    quorum: SocketAddr,
    election: SocketAddr,
    home: PathBuf,
    host: Option<Arc<Host>>,
    process: Option<Process>,
    stopped: bool,
}

/// What a serving server is, by its answer to `srvr`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// It leads the ensemble.
    Leader,
    /// It follows the ensemble's leader.
    Follower,
    /// It is the only server.
    Standalone,
}

impl Server {
    /// A server that is not started yet, with its `zoo.cfg` and all its files in the directory `home`.
    pub(super) fn new(member: &Member, home: PathBuf) -> Self {
        let Member { client: address, quorum, election, ref host } = *member;
        Self { address, quorum, election, home, host: host.clone(), process: None, stopped: false }
    }

    /// The port that it serves clients on.
    pub fn client_port(&self) -> u16 {
        self.address.port()
    }

    /// The address that it serves clients on, `<address>:<port>`.
    pub fn address(&self) -> String {
        self.socket_address().to_string()
    }

    /// The address that it elects the ensemble's leader on. Nobody listens there on the only server of an ensemble.
    pub fn election_address(&self) -> SocketAddr {
        self.election
    }

    /// The address that it serves its followers on, while it leads.
    pub fn quorum_address(&self) -> SocketAddr {
        self.quorum
    }

    /// The directory with its znodes and its epochs, below `version-2`.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The host that it runs on.
    ///
    /// # Panics
    ///
    /// When it runs on loopback.
    pub fn host(&self) -> &Host {
        self.host.as_ref().expect("a server on a host of a network")
    }

    /// The id of its process, if it has been started and not killed.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Whether its process exists and is not stopped.
    pub fn is_running(&self) -> bool {
        !self.stopped && self.process.as_ref().is_some_and(Process::is_alive)
    }

    /// Kills it by SIGKILL, and returns when the process is gone.
    pub fn kill(&mut self) {
        self.process = None;
        self.stopped = false;
    }

    /// Stops its process by SIGSTOP: its connections stay open, and nothing answers on them.
    pub fn stop(&mut self) {
        self.process().stop();
        self.stopped = true;
    }

    /// Lets its process go on after [`Server::stop`], by SIGCONT.
    pub fn cont(&mut self) {
        self.process().cont();
        self.stopped = false;
    }

    /// Starts it with the data and the ports that it had, without waiting until it serves.
    ///
    /// # Panics
    ///
    /// When its process exists already.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("the log file");
        self.spawn(log.try_clone().expect("a file handle").into(), log.into());
    }

    /// Like [`Server::start`], but its log goes to a pipe. If nobody reads the pipe, threads that write to it block.
    pub fn start_with_log(&mut self) -> PipeReader {
        let (reader, writer) = pipe().expect("a pipe");
        self.spawn(writer.try_clone().expect("a pipe").into(), writer.into());
        reader
    }

    fn spawn(&mut self, stdout: Stdio, stderr: Stdio) {
        assert!(!self.process.as_ref().is_some_and(Process::is_alive), "{} runs already", self.address());
        let mut command = server_command(&self.home.join("zoo.cfg"));
        if let Some(host) = &self.host {
            command = host.namespace.inside(&command);
        }
        command.current_dir(&self.home).stdin(Stdio::null());
        command.stdout(stdout).stderr(stderr);
        self.process = Some(Process::spawn(command).expect("setpriv (of util-linux) to run java"));
        self.stopped = false;
    }

    /// Kills it, starts it again, and waits until it serves.
    ///
    /// # Panics
    ///
    /// With the end of its log, when it does not serve within a minute.
    pub async fn restart(&mut self) {
        self.kill();
        self.start();
        self.serves().await;
    }

    /// Waits until it serves.
    ///
    /// # Panics
    ///
    /// With the end of its log, when it does not within a minute.
    pub async fn serves(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        while probe(self.socket_address()).await.is_none() {
            assert!(Instant::now() < end, "{} does not serve\n{}", self.address(), self.log_tail());
            sleep(Duration::from_millis(30)).await;
        }
    }

    /// The answer to a four-letter word; `None` if there is no connection or no answer within 2 s.
    pub async fn four_letter(&self, word: &str) -> Option<String> {
        four_letter(self.socket_address(), word, Duration::from_secs(2)).await
    }

    /// What it is at present; `None` while it does not serve.
    pub async fn mode(&self) -> Option<Mode> {
        self.four_letter("srvr").await.as_deref().and_then(parse_mode)
    }

    /// All that it has logged, in all its processes.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The address that it serves clients on.
    pub(super) fn socket_address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it has been started and its process has ended without being killed here.
    pub(super) fn has_ended_by_itself(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.is_alive())
    }

    /// Sends SIGKILL without waiting, so that several servers end at the same time.
    pub(super) fn send_kill(&self) {
        if let Some(process) = &self.process {
            process.kill();
        }
    }

    /// Whether the log says that one of its ports was taken.
    pub(super) fn found_port_taken(&self) -> bool {
        self.log().contains("Address already in use")
    }

    /// The last lines of its log, with a heading.
    pub(super) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(40)..];
        format!("--- {}, the end of {}:\n{}\n", self.address(), self.log_path().display(), tail.join("\n"))
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap_or_else(|| panic!("{} is not started", self.address()))
    }

    fn log_path(&self) -> PathBuf {
        self.home.join("server.log")
    }
}

/// The answer of the server at `address` to a four-letter word, if there is one within `limit`.
pub(super) async fn four_letter(address: SocketAddr, word: &str, limit: Duration) -> Option<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(word.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        (!answer.is_empty()).then_some(answer)
    };
    timeout(limit, exchange).await.ok().flatten()
}

/// The mode of the server at `address`, for polling: gives up early, as a server that is starting may not answer.
pub(super) async fn probe(address: SocketAddr) -> Option<Mode> {
    let answer = four_letter(address, "srvr", Duration::from_millis(500)).await?;
    parse_mode(&answer)
}

fn parse_mode(answer: &str) -> Option<Mode> {
    let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "))?;
    match mode.trim() {
        "leader" => Some(Mode::Leader),
        "follower" => Some(Mode::Follower),
        "standalone" => Some(Mode::Standalone),
        _ => None,
    }
}
