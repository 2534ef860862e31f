//! The ports on which leaders serve their followers, by a test that serves nobody.

use std::collections::BTreeMap;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use zookeeper_fle::ServerId;

use testkit::{Ensemble, PATIENCE, Server};

/// The quorum ports of servers 2 and above. Who follows one of them waits there until it is refused.
#[derive(Debug)]
pub(crate) struct QuorumPorts {
    followers: BTreeMap<ServerId, mpsc::UnboundedReceiver<TcpStream>>,
    _tasks: JoinSet<()>,
}

impl QuorumPorts {
    /// Those of these servers, which do not run.
    pub(crate) async fn of(ensemble: &Ensemble) -> Self {
        let mut tasks = JoinSet::new();
        let mut followers = BTreeMap::new();
        let addresses = ensemble.servers().iter().map(Server::quorum_address);
        for (id, address) in (1..).map(ServerId).zip(addresses).skip(1) {
            let listener =
                TcpListener::bind(address).await.expect("the quorum port of a server that is down");
            let (accepted, accepting) = mpsc::unbounded_channel();
            followers.insert(id, accepting);
            tasks.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let _ = accepted.send(stream);
                }
            });
        }
        Self { followers, _tasks: tasks }
    }

    /// Waits for the follower of this leader, and closes its connection.
    pub(crate) async fn refuse(&mut self, leader: ServerId) {
        let follower = self.followers.get_mut(&leader).expect("a leader that does not run").recv();
        drop(timeout(PATIENCE, follower).await.expect("the real server follows"));
    }
}
