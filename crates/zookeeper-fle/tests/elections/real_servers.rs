//! Real servers: their configuration, as they send it, and a history that they have made themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use zookeeper_client::{Acls, Client, CreateMode};
use zookeeper_fle::codec::{Addresses, Hello};
use zookeeper_fle::{Decision, Epoch, History, Notification, Round, ServerId, ServerState, Zxid};

use crate::peer::{Peer, PeerLog};
use crate::raw_connection::{ask, greeting};
use testkit::{Ensemble, Server};

/// The servers' ids and election addresses.
pub(crate) fn members(ensemble: &Ensemble) -> BTreeMap<ServerId, SocketAddr> {
    (1..).map(ServerId).zip(ensemble.servers().iter().map(Server::election_address)).collect()
}

/// The configuration as the servers send it; the order of its lines aside.
pub(crate) fn config(ensemble: &Ensemble) -> String {
    let line = |(i, server): (usize, &Server)| {
        let (quorum, election, client) =
            (server.quorum_address(), server.election_address().port(), server.address());
        format!("server.{}={quorum}:{election}:participant;{client}\n", i + 1)
    };
    let lines: String = ensemble.servers().iter().enumerate().map(line).collect();
    lines + "version=0"
}

/// Asserts that these are bytes of a server of this ensemble: they are read and written again without a difference,
/// and tell its configuration.
pub(crate) fn assert_genuine(ensemble: &Ensemble, raw: &[u8]) {
    let notification = Notification::decode(raw).expect("a notification of a server");
    assert_eq!(notification.encode(), raw);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let announced = notification.config().expect("what ZooKeeper sends since 3.5");
    assert_eq!(lines(announced), lines(&config(ensemble)));
}

/// Asserts that these are the bytes with which this server begins a connection.
fn assert_greeting(raw: &[u8], from: ServerId, address: SocketAddr) {
    let (hello, length) = Hello::decode(raw).expect("a greeting").expect("all of it");
    assert_eq!(hello, Hello { from, addresses: Addresses::One(address.to_string()) });
    assert_eq!((hello.encode().as_slice(), length), (raw, raw.len()));
}

/// What two servers of three have gone through, and what server 1 has on its disk after it.
pub(crate) struct RecordedRun {
    /// The answers of servers 1 and 2, which have settled: server 1 follows, server 2 leads.
    pub(crate) before: [Notification; 2],
    /// What they answer after a peer has come as server 3, better than both.
    pub(crate) after: [Notification; 2],
    /// The peer's decision and what it has met with.
    pub(crate) late: (Decision, PeerLog),
    /// How many elections the two have begun before it came, and in all.
    pub(crate) elections: [usize; 2],
    /// Notifications of real servers, and last a greeting.
    pub(crate) raw: Vec<Vec<u8>>,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl RecordedRun {
    /// The same for all tests: it is made once.
    pub(crate) async fn get() -> Arc<Self> {
        static RECORDED: OnceCell<Arc<RecordedRun>> = OnceCell::const_new();
        RECORDED.get_or_init(async || Arc::new(Self::make().await)).await.clone()
    }

    /// Puts server 1's files into the place of a server that has not been started.
    pub(crate) fn restore(&self, server: &Server) {
        for (path, bytes) in &self.files {
            let path = server.data().join("version-2").join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory of a test");
            fs::write(path, bytes).expect("a file of a test");
        }
    }

    async fn make() -> Self {
        let mut ensemble = Ensemble::builder(3).prepare();
        let members = members(&ensemble);
        let mute = TcpListener::bind(members[&ServerId(3)]).await.expect("the port of a server that is down");
        ensemble.server_mut(0).start();
        let greeting = greeting(&mute).await;
        assert_greeting(&greeting, ServerId(1), members[&ServerId(1)]);
        drop(mute);
        ensemble.server_mut(1).start();
        ensemble.wait_until_serving().await;
        write_znodes(&ensemble).await;

        let before = answers(&ensemble).await;
        let elections_before = elections(&ensemble);
        let peer = Peer::start(3, &members, &config(&ensemble), BETTER_THAN_ALL).await;
        let decision = peer.decides(Round(0)).await;
        let record = peer.record();
        drop(peer);
        let mut raw: Vec<_> = record.heard.iter().map(|it| it.raw.clone()).collect();
        raw.iter().for_each(|raw| assert_genuine(&ensemble, raw));
        raw.push(greeting);
        let late = (decision, record);
        // Whoever were to look again because of it would have said so by the time that a write is through.
        write_znodes(&ensemble).await;
        let after = answers(&ensemble).await;
        let elections = [elections_before, elections(&ensemble)];

        ensemble.server_mut(1).kill();
        ensemble.server_mut(0).kill();
        let version_2 = ensemble.server(0).data().join("version-2");
        Self { before, after, late, elections, raw, files: files(&version_2) }
    }
}

/// Higher in every field than what servers of a test have.
pub(crate) const BETTER_THAN_ALL: History = History { epoch: Epoch(9), zxid: Zxid(0x9_0000_0000) };

/// How many elections the logs tell of.
pub(crate) fn elections(ensemble: &Ensemble) -> usize {
    ensemble.servers().iter().map(|server| server.log().matches("New election.").count()).sum()
}

async fn answers(ensemble: &Ensemble) -> [Notification; 2] {
    let mut answers = Vec::new();
    for i in [0, 1] {
        let (answer, raw) = ask(ensemble.server(i).election_address()).await;
        assert_genuine(ensemble, &raw);
        assert_ne!(answer.state, ServerState::Looking, "server {} serves", i + 1);
        answers.push(answer);
    }
    answers.try_into().expect("two answers")
}

async fn write_znodes(ensemble: &Ensemble) {
    let client = Client::connect(&ensemble.connect_string()).await.expect("a session");
    let mode = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
    for _ in 0..5 {
        client.create("/fle-", b"", &mode).await.expect("a znode");
    }
}

fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).expect("the directory of a server");
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.expect("an entry of a directory");
        (PathBuf::from(entry.file_name()), fs::read(entry.path()).expect("a file of a server"))
    };
    entries.map(file).collect()
}
