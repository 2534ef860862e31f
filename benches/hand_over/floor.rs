//! The floor: a hand-over between two bare clients, which send only what a hand-over needs.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;
use zookeeper_election::Mode;
use zookeeper_election::zookeeper_client::{
    Acls, Client, CreateMode, CreateOptions, EventType, OneshotWatcher,
};

use crate::clients::{IDENTITY, PREFIX, SETTLE, within};

pub(crate) struct Floor {
    mode: Mode,
    path: &'static str,
    clients: [Client; 2],
    leader: usize,
    /// The leader's znode.
    node: String,
}

impl Floor {
    pub(crate) async fn start(mode: Mode, path: &'static str, clients: &[Client; 2]) -> Self {
        let mut floor = Self { mode, path, clients: clients.clone(), leader: 0, node: String::new() };
        floor.node = floor.create(0).await;
        floor
    }

    /// From just before the leader's `delete` until the successor, having received the event, has the answer to what
    /// it must ask then: a list of the directory, or the creation of the master's znode.
    pub(crate) async fn sample(&mut self) -> Duration {
        let (from, to) = (self.leader, 1 - self.leader);
        let next = match self.mode {
            Mode::Master => self.node.clone(),
            _ => self.create(to).await,
        };
        let watching = self.clients[to].check_and_watch_stat(&self.node);
        let (stat, watcher) = within("a watch is set", watching).await.expect("a watch");
        assert!(stat.is_some(), "{} is gone before it was deleted", self.node);
        let successor = self.succeed(to, watcher);
        sleep(SETTLE).await;

        let started = Instant::now();
        within("a delete is answered", self.clients[from].delete(&self.node, None)).await.expect("a delete");
        let ended = within("the successor of a bare client", successor).await.expect("the successor's task");

        (self.leader, self.node) = (to, next);
        ended - started
    }

    /// The successor's task, which returns when it has its answer and tells when that was.
    fn succeed(&self, to: usize, watcher: OneshotWatcher) -> JoinHandle<Instant> {
        let (mode, path, client) = (self.mode, self.path, self.clients[to].clone());
        tokio::spawn(async move {
            let event = watcher.changed().await;
            match mode {
                Mode::Master => {
                    client.create(path, IDENTITY.as_bytes(), &ephemeral()).await.expect("a create");
                }
                _ => {
                    client.list_children(path).await.expect("a list");
                }
            }
            let ended = Instant::now();
            assert_eq!(event.event_type, EventType::NodeDeleted);
            ended
        })
    }

    /// Creates a side's znode, and returns its path.
    async fn create(&self, side: usize) -> String {
        let (data, client) = (IDENTITY.as_bytes(), &self.clients[side]);
        if self.mode == Mode::Master {
            within("a create", client.create(self.path, data, &ephemeral())).await.expect("a create");
            return self.path.to_owned();
        }
        let prefix = format!("{}/{PREFIX}", self.path);
        let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
        let creating = client.create(&prefix, data, &options);
        let (_, sequence) = within("a create", creating).await.expect("a create");
        format!("{prefix}{sequence}")
    }
}

fn ephemeral() -> CreateOptions<'static> {
    CreateMode::Ephemeral.with_acls(Acls::anyone_all())
}
