//! A real ZooKeeper ensemble, on loopback or on the hosts of a network, of processes that a test can kill, stop and
//! restart.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::install::PROPERTIES;
use super::member::Member;
use super::network::Host;
use super::ports::Ports;
use super::random;
use super::server::{self, Mode, Server};

/// A ZooKeeper ensemble. Dropping it kills its servers and removes their data.
///
/// When it is dropped by a panic, the ends of the servers' logs are printed first.
#[derive(Debug)]
pub struct Ensemble {
    servers: Vec<Server>,
    home: PathBuf,
    /// Those of an ensemble on loopback.
    ports: Option<Ports>,
    /// The ends of the logs are in a panic's message already.
    reported: AtomicBool,
}

/// How to start an [`Ensemble`]; made by [`Ensemble::builder`].
#[derive(Clone, Debug)]
pub struct EnsembleBuilder {
    servers: usize,
    tick: Duration,
    config: Vec<String>,
    config_of: Vec<(usize, String)>,
    properties: Vec<String>,
    hosts: Vec<Arc<Host>>,
}

impl Ensemble {
    /// Starts an ensemble of 1, 3 or 5 servers, and returns when all of them serve.
    ///
    /// # Panics
    ///
    /// As [`EnsembleBuilder::start`].
    pub async fn start(servers: usize) -> Self {
        Self::builder(servers).start().await
    }

    /// An ensemble of 1, 3 or 5 servers, to be configured and started.
    pub fn builder(servers: usize) -> EnsembleBuilder {
        assert!(matches!(servers, 1 | 3 | 5), "1, 3 or 5 servers, not {servers}");
        let tick = Duration::from_millis(500);
        EnsembleBuilder {
            servers,
            tick,
            config: Vec::new(),
            config_of: Vec::new(),
            properties: Vec::new(),
            hosts: Vec::new(),
        }
    }

    /// The addresses of all servers, running or not, as a client takes them: `127.0.0.1:p1,127.0.0.1:p2,…`.
    pub fn connect_string(&self) -> String {
        let addresses: Vec<String> = self.servers.iter().map(Server::address).collect();
        addresses.join(",")
    }

    /// The servers.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The server with index `i`, from 0.
    pub fn server(&self, i: usize) -> &Server {
        &self.servers[i]
    }

    /// The server with index `i`, from 0, to kill, stop or start it.
    pub fn server_mut(&mut self, i: usize) -> &mut Server {
        &mut self.servers[i]
    }

    /// Waits until every running server serves and exactly one of them leads (or is standalone).
    ///
    /// # Panics
    ///
    /// With the ends of the servers' logs, after a minute, or when a server has ended by itself.
    pub async fn wait_until_serving(&self) {
        if let Err(failure) = self.come_up().await {
            panic!("{failure}\n{}", self.log_tails());
        }
    }

    /// The index of the leading (or standalone) server. Waits for an election that is under way.
    ///
    /// # Panics
    ///
    /// With the ends of the servers' logs, when there is not exactly one leader within a minute.
    pub async fn leader(&self) -> usize {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(leader) = the_leader(&self.modes().await) {
                return leader;
            }
            assert!(Instant::now() < end, "no server leads\n{}", self.log_tails());
            sleep(POLL).await;
        }
    }

    /// The answers of the running servers to a four-letter word; a server that does not answer is left out.
    pub async fn four_letter_all(&self, word: &str) -> Vec<String> {
        let mut answers = Vec::new();
        for server in self.servers.iter().filter(|server| server.is_running()) {
            answers.extend(server.four_letter(word).await);
        }
        answers
    }

    /// Waits until it serves; ends early when waiting longer is of no use.
    async fn come_up(&self) -> Result<(), String> {
        let end = Instant::now() + LIMIT;
        loop {
            let modes = self.modes().await;
            let all_serve = |(server, mode): (&Server, &Option<Mode>)| mode.is_some() || !server.is_running();
            if the_leader(&modes).is_some() && self.servers.iter().zip(&modes).all(all_serve) {
                return Ok(());
            }
            if let Some(server) = self.servers.iter().position(Server::has_ended_by_itself) {
                return Err(format!("server {server} has ended without being killed"));
            }
            if Instant::now() > end {
                return Err(format!(
                    "the running servers do not all serve within {LIMIT:?}, or have no leader: {modes:?}"
                ));
            }
            sleep(POLL).await;
        }
    }

    /// The servers' modes; `None` for those that do not run or do not serve.
    async fn modes(&self) -> Vec<Option<Mode>> {
        let mut modes = vec![None; self.servers.len()];
        let mut probes = JoinSet::new();
        for (i, server) in self.servers.iter().enumerate().filter(|(_, server)| server.is_running()) {
            let address = server.socket_address();
            probes.spawn(async move { (i, server::probe(address).await) });
        }
        while let Some(probed) = probes.join_next().await {
            let (i, mode) = probed.expect("a probe does not panic");
            modes[i] = mode;
        }
        modes
    }

    fn log_tails(&self) -> String {
        self.reported.store(true, Ordering::Relaxed);
        self.servers.iter().map(Server::log_tail).collect()
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        if thread::panicking() && !self.reported.load(Ordering::Relaxed) {
            eprintln!("{}", self.log_tails());
        }
        self.servers.iter().for_each(Server::send_kill);
        self.servers.iter_mut().for_each(Server::kill);
        let _ = fs::remove_dir_all(&self.home);
    }
}

impl EnsembleBuilder {
    /// The length of ZooKeeper's tick, by default 500 ms: sessions last between 2 and 20 ticks without a heartbeat.
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// Adds a line to every server's `zoo.cfg`; it overrides what the harness sets.
    #[must_use]
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.config.push(line.into());
        self
    }

    /// Adds a line to the `zoo.cfg` of the server with this index, from 0; it overrides what all have.
    #[must_use]
    pub fn config_of(mut self, server: usize, line: impl Into<String>) -> Self {
        self.config_of.push((server, line.into()));
        self
    }

    /// Sets a system property, `name=value`, of every server's virtual machine.
    #[must_use]
    pub fn property(mut self, property: impl Into<String>) -> Self {
        self.properties.push(property.into());
        self
    }

    /// Lets servers that have no quorum go on in read-only mode.
    #[must_use]
    pub fn read_only_mode(self) -> Self {
        self.property("readonlymode.enabled=true")
    }

    /// Runs each server on a host of its own. Who asks them something must be in a namespace of the same network.
    #[must_use]
    pub fn on_hosts(mut self, hosts: Vec<Arc<Host>>) -> Self {
        assert_eq!(hosts.len(), self.servers, "a host for each server");
        self.hosts = hosts;
        self
    }

    /// Starts the servers, and returns when all of them serve.
    ///
    /// # Panics
    ///
    /// When ZooKeeper is not installed; with the ends of the servers' logs, when they do not serve within a minute.
    pub async fn start(self) -> Ensemble {
        let mut attempts = 1;
        loop {
            let mut ensemble = self.prepare();
            ensemble.servers.iter_mut().for_each(Server::start);
            let Err(failure) = ensemble.come_up().await else {
                return ensemble;
            };
            // Another program may have taken a port between its release here and the server's bind.
            let port_taken = ensemble.servers.iter().any(Server::found_port_taken);
            assert!(port_taken && attempts < 5, "{failure} (attempt {attempts})\n{}", ensemble.log_tails());
            attempts += 1;
        }
    }

    /// Writes the servers' files and starts none of them; [`Server::start`] does, in any order.
    pub fn prepare(&self) -> Ensemble {
        let home = env::temp_dir().join(format!("zookeeper-election-{}-{:016x}", process::id(), random()));
        let mut ports = self.hosts.is_empty().then(Ports::reserve);
        let members: Vec<Member> = match &mut ports {
            Some(ports) => (0..self.servers).map(|_| Member::on_loopback(ports)).collect(),
            None => self.hosts.iter().cloned().map(Member::on_host).collect(),
        };
        let mut servers = Vec::new();
        for (i, member) in members.iter().enumerate() {
            let home = home.join(format!("server-{}", i + 1));
            let own = self.config_of.iter().filter(|(server, _)| *server == i).map(|(_, line)| line);
            let config: Vec<String> = self.config.iter().chain(own).cloned().collect();
            member.write_files(&home, i + 1, &members, self.tick, &config);
            fs::write(home.join(PROPERTIES), self.properties.join("\n")).expect("a file beside zoo.cfg");
            servers.push(Server::new(member, home));
        }
        let mut ensemble = Ensemble { servers, home, ports, reported: AtomicBool::new(false) };
        ensemble.ports.iter_mut().for_each(Ports::release);
        ensemble
    }
}

const POLL: Duration = Duration::from_millis(30);
const LIMIT: Duration = Duration::from_secs(60);

/// The index of the only leader.
fn the_leader(modes: &[Option<Mode>]) -> Option<usize> {
    let leads = |mode: &Option<Mode>| matches!(mode, Some(Mode::Leader | Mode::Standalone));
    let leader = modes.iter().position(leads)?;
    (modes.iter().filter(|mode| leads(mode)).count() == 1).then_some(leader)
}
