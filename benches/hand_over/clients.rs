//! Bare clients and the library's sessions, set up alike in all measurements.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::timeout;
use zookeeper_election::zookeeper_client::{Acls, Client, CreateMode};
use zookeeper_election::{Election, Leadership, Mode, Session, Standing};

pub(crate) const IDENTITY: &str = "contender-of-the-benchmark";
pub(crate) const PREFIX: &str = "guid_";

/// Of all sessions, bare or not: the library's default.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// How long everything is left alone before each sample, so that no answer to what prepared it is still on its way.
pub(crate) const SETTLE: Duration = Duration::from_millis(3);

/// How long anything may take before the program gives up and names it.
const LIMIT: Duration = Duration::from_secs(30);

/// A bare client, connected to one server.
pub(crate) async fn plain(address: &str) -> Client {
    let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    within("a bare client connects", connector.connect(address)).await.expect("a connection")
}

pub(crate) async fn make_directory(client: &Client, path: &str) {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    within("a mkdir", client.mkdir(path, &options)).await.expect("a mkdir");
}

pub(crate) async fn session(connect_string: &str) -> Session {
    let builder = Session::builder().session_timeout(SESSION_TIMEOUT);
    within("a session connects", builder.connect(connect_string)).await.expect("a session")
}

pub(crate) async fn close(session: &Session) {
    within("a session closes", session.close()).await.expect("a closed session");
}

pub(crate) fn election(session: &Session, mode: Mode, path: &str) -> Election {
    let builder = session.election(path).mode(mode).node_prefix(PREFIX).identity(IDENTITY);
    builder.build().expect("valid options")
}

/// The same election on both sides.
pub(crate) fn elections(sessions: &[Session; 2], mode: Mode, path: &str) -> [Arc<Election>; 2] {
    sessions.each_ref().map(|session| Arc::new(election(session, mode, path)))
}

pub(crate) async fn lead(election: &Election) -> Leadership {
    within("the first contender leads", election.campaign()).await.expect("a leadership")
}

/// A contender that waits for its turn. The task ends when `campaign()` returns, and tells when that was.
pub(crate) struct Successor(JoinHandle<(Instant, Leadership)>);

impl Successor {
    /// Starts to campaign, and returns when the contender waits: it has all its watches then.
    pub(crate) async fn waits(election: &Arc<Election>) -> Self {
        let mut standings = election.standings();
        let election = Arc::clone(election);
        let campaigning = tokio::spawn(async move {
            let outcome = election.campaign().await;
            let ended = Instant::now();
            (ended, outcome.expect("a leadership"))
        });
        let waiting = standings.wait_for(|standing| matches!(standing, Standing::Waiting { .. }));
        within("a contender waits", waiting).await.expect("a contender");
        Self(campaigning)
    }

    pub(crate) async fn leads(self) -> (Instant, Leadership) {
        within("the successor leads", self.0).await.expect("the successor's task")
    }
}

pub(crate) async fn resign(leadership: Leadership) {
    within("a resignation", leadership.resign()).await.expect("a resignation");
}

/// What `future` returns; panics, naming `what`, when that takes longer than [`LIMIT`].
pub(crate) async fn within<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    match timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {LIMIT:?}: {what}"),
    }
}
