//! What the tests play on: three servers, any number of contenders, and what is to be seen from outside.

use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use testkit::network::Network;
use testkit::{Ensemble, PATIENCE, eventually, random, unique_path};
use tokio::time::sleep;
use zookeeper_election::{Election, Session};

use crate::checker::{Act, Verdict, judge};
use crate::journal::now;
use crate::recorder::Orders;
use crate::runner::Runner;

pub(crate) const SERVERS: usize = 3;

/// How long the whole may take to recover: connections that back off, sessions that expire, and a busy machine.
const RECOVERY: Duration = PATIENCE.saturating_mul(2);

/// Servers, contenders, and an observer in this process. Dropping it ends all.
pub(crate) struct Stage {
    pub(crate) runners: Vec<Runner>,
    pub(crate) ensemble: Ensemble,
    pub(crate) network: Network,
    pub(crate) session_timeout: Duration,
    observer: Election,
    _session: Session,
    path: String,
    directory: PathBuf,
}

impl Stage {
    /// Starts the servers.
    pub(crate) async fn set(mut network: Network, session_timeout: Duration) -> Self {
        let hosts = (0..SERVERS).map(|_| Arc::new(network.host().expect("a host"))).collect();
        let ensemble = Ensemble::builder(SERVERS).on_hosts(hosts).start().await;
        let path = unique_path("partitions");
        let builder = Session::builder().session_timeout(session_timeout).connect_timeout(PATIENCE);
        let session = builder.connect(&ensemble.connect_string()).await.expect("a session");
        let observer = session.election(&path).build().expect("an election");
        let directory =
            env::temp_dir().join(format!("zookeeper-election-{}-{:016x}", process::id(), random()));
        fs::create_dir_all(&directory).expect("a directory");
        let runners = Vec::new();
        Self { runners, ensemble, network, session_timeout, observer, _session: session, path, directory }
    }

    /// Adds a contender that knows these servers, and waits until it has its place.
    pub(crate) async fn add(&mut self, servers: &[usize]) {
        let number = self.runners.len();
        let id = format!("contender-{number}");
        let addresses: Vec<String> = servers.iter().map(|i| self.ensemble.server(*i).address()).collect();
        let journal = self.directory.join(&id).to_str().expect("UTF-8").to_owned();
        let (path, session_timeout) = (self.path.clone(), self.session_timeout);
        let orders = Orders { connect: addresses.join(","), path, id, session_timeout, journal };
        let host = self.network.host().expect("a host");
        self.runners.push(Runner::start(host, orders, number));
        self.recovered().await;
    }

    /// Waits until the contenders that run have a znode each, there is none besides, and the owner of the first acts
    /// with its token. Returns that owner and the token.
    pub(crate) async fn recovered(&mut self) -> (usize, i64) {
        let since = now();
        let expected: Vec<String> =
            self.runners.iter().filter(|it| it.is_running()).map(|it| it.id().to_owned()).collect();
        let Self { runners, observer, .. } = self;
        let recovered = eventually_in("everybody has a place, and the first acts", RECOVERY, async || {
            let contenders = observer.contenders().await.ok()?;
            let mut names: Vec<&str> = contenders.iter().map(|it| it.identity.as_str()).collect();
            names.sort_unstable();
            let token = contenders.first()?.token.zxid();
            (names == expected).then_some(())?;
            runners.iter_mut().for_each(|it| it.journal.refresh());
            let acts =
                |it: &Runner| it.journal.acts.last().is_some_and(|act| act.at > since && act.token == token);
            Some((runners.iter().position(acts)?, token))
        })
        .await;
        recovered.unwrap_or_else(|| panic!("no recovery:\n{}", self.describe()))
    }

    /// Waits until whatever was proven before is over and all have recovered, and panics unless the leader is this one,
    /// with this token.
    pub(crate) async fn still_leads_for_good(&mut self, leader: (usize, i64), after: &str) {
        sleep(self.session_timeout).await;
        let leads = self.recovered().await;
        assert!(leads == leader, "{after}: {leads:x?} leads instead of {leader:x?}\n{}", self.describe());
    }

    /// Waits until somebody acts with a greater token than this one. Returns who, and with which token.
    pub(crate) async fn successor_of(&mut self, token: i64) -> (usize, i64) {
        let runners = &mut self.runners;
        let successor = eventually_in("a new leader", RECOVERY, async || {
            runners.iter_mut().for_each(|it| it.journal.refresh());
            let last = runners.iter().filter_map(|it| it.journal.acts.last()).max_by_key(|act| act.token)?;
            (last.token > token).then_some((last.by, last.token))
        })
        .await;
        successor.unwrap_or_else(|| panic!("no successor of {token:#x}:\n{}", self.describe()))
    }

    /// Waits until a contender itself says that its leadership with this token has ended.
    pub(crate) async fn gives_up(&mut self, leader: usize, token: i64) {
        let journal = &mut self.runners[leader].journal;
        let said = format!("lost {token:#x} ");
        let gives_up = eventually_in("the old leader gives up", RECOVERY, async || {
            journal.refresh();
            journal.last(&said).map(|_| ())
        })
        .await;
        gives_up.unwrap_or_else(|| panic!("{token:#x} does not end:\n{}", self.describe()));
    }

    /// The index of the server that the leader's session is connected to.
    pub(crate) async fn server_of(&self, leader: usize) -> usize {
        let (_, session) = self.runners[leader].leads().expect("a leader");
        let sid = format!("sid={session},");
        eventually(&format!("a server that has session {session}"), PATIENCE, async || {
            for (i, server) in self.ensemble.servers().iter().enumerate() {
                if server.four_letter("cons").await.unwrap_or_default().contains(&sid) {
                    return Some(i);
                }
            }
            None
        })
        .await
    }

    /// The addresses that clients have for the servers.
    pub(crate) fn for_clients(&self) -> Vec<Ipv4Addr> {
        self.ensemble.servers().iter().map(|it| it.host().client).collect()
    }

    /// Cuts a server off from the other servers, and from nobody else.
    pub(crate) fn cut_off(&self, server: usize) {
        let quorum = |i: usize| self.ensemble.server(i).host().quorum;
        let others: Vec<Ipv4Addr> = (0..SERVERS).filter(|i| *i != server).map(quorum).collect();
        self.network.cut(&[quorum(server)], &others);
    }

    /// Everything that the contenders have done so far.
    pub(crate) fn acts(&mut self) -> Vec<Act> {
        self.runners.iter_mut().for_each(|it| it.journal.refresh());
        self.runners.iter().flat_map(|it| it.journal.acts.iter().copied()).collect()
    }

    /// Judges what the contenders have done so far; none of them may have met an error.
    pub(crate) fn verdict(&mut self) -> Verdict {
        let verdict = judge(self.acts());
        for runner in &self.runners {
            let error = runner.journal.last("error: ");
            assert_eq!(error, None, "{}:\n{}", runner.id(), self.describe());
        }
        verdict
    }

    /// Panics unless there was one leader at a time, with growing tokens.
    pub(crate) fn assert_clean(&mut self, after: &str) -> Verdict {
        let verdict = self.verdict();
        assert!(verdict.is_clean(), "{after}: {verdict}\n{}", self.describe());
        verdict
    }

    /// The latest events of all contenders, in their order.
    fn describe(&self) -> String {
        let events = |it: &Runner| -> Vec<(u64, String)> {
            it.journal.events.iter().map(|(at, event)| (*at, format!("{} {event}", it.id()))).collect()
        };
        let mut lines: Vec<(u64, String)> = self.runners.iter().flat_map(events).collect();
        for runner in &self.runners {
            lines.extend(runner.journal.acts.last().map(|act| {
                (act.at, format!("{} acts with {:#x} for the last time so far", runner.id(), act.token))
            }));
        }
        lines.sort();
        let tail = &lines[lines.len().saturating_sub(40)..];
        let start = tail.first().map_or(0, |(at, _)| *at);
        tail.iter().map(|(at, line)| format!("{:9.3} s  {line}\n", (at - start) as f64 / 1e9)).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.runners.clear();
        match env::var_os("KEEP_JOURNALS") {
            Some(_) => println!("the contenders' journals: {}", self.directory.display()),
            None => drop(fs::remove_dir_all(&self.directory)),
        }
    }
}

/// As [`eventually`], but leaves it to the caller what to say when it takes too long.
async fn eventually_in<T>(what: &str, limit: Duration, check: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    tokio::time::timeout(limit, eventually(what, 2 * limit, check)).await.ok()
}
