//! An adversary that knows the servers' source: it holds requests and answers back, deposes leader servers that do not
//! hear of it, pauses followers with requests in their sockets, and takes sessions up at the worst moment. Whatever it
//! does, no two leaderships are valid at the same instant, and nothing is left of a contender that has left.
//!
//! The tests that depose a server make network namespaces, which takes root, `ip` and `nft`; without them they fail.

mod apart;
mod deposed;
mod doors;
mod expiry;
mod ghosts;
mod late_requests;
mod leftovers;
mod moves;
mod paused_follower;
mod proofs;
mod referee;
mod removals;
mod timeouts;

use std::time::Duration;

use testkit::PATIENCE;
use zookeeper_election::zookeeper_client::{Acls, Client, CreateMode};
use zookeeper_election::{Mode, Session, SessionBuilder};

/// Opens a session with this timeout.
async fn session(servers: &str, timeout: Duration) -> Session {
    builder(timeout).connect(servers).await.expect("a session")
}

fn builder(timeout: Duration) -> SessionBuilder {
    Session::builder().session_timeout(timeout).connect_timeout(PATIENCE)
}

/// Somebody who looks at the znodes, and deletes them by hand.
struct Operator(Client);

impl Operator {
    async fn connect(servers: &str) -> Self {
        let connecting = tokio::time::timeout(PATIENCE, Client::connect(servers));
        Self(connecting.await.expect("a session in time").expect("a session"))
    }

    /// Creates a znode and its parents.
    async fn create(&self, path: &str) {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        self.0.mkdir(path, &options).await.expect("a directory");
    }

    /// Has a transaction commit, so that whatever was committed before is seen after it.
    async fn flush(&self) {
        let options = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
        self.0.create("/flush-", b"", &options).await.expect("a transaction");
    }

    async fn delete(&self, path: &str) {
        self.0.delete(path, None).await.expect("the znode stands");
    }

    /// The transaction that created the znode, if it stands.
    async fn czxid(&self, path: &str) -> Option<i64> {
        self.flush().await;
        self.0.check_stat(path).await.expect("an answer").map(|stat| stat.czxid)
    }

    /// The contenders' znodes of an election, in which there is at most one.
    async fn left(&self, mode: Mode, path: &str) -> Vec<String> {
        self.flush().await;
        if mode == Mode::Master {
            let standing = self.0.check_stat(path).await.expect("an answer");
            return standing.map(|_| path.to_owned()).into_iter().collect();
        }
        let children = self.0.list_children(path).await.expect("a list");
        children
            .into_iter()
            .filter(|name| name.starts_with("guid_"))
            .map(|name| format!("{path}/{name}"))
            .collect()
    }
}
