//! A client that behaves well, among those that do not.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use zookeeper_client::{Acls, Client, CreateMode, Error};
use zookeeper_embedded::{Server, SessionId};

use crate::wire::{LIMIT, books};

/// A well-behaved client. The server must serve it whatever other clients do.
pub(crate) struct Good {
    client: Client,
    address: SocketAddr,
}

impl Good {
    pub(crate) async fn connect(server: &Server) -> Self {
        let servers = server.connect_string();
        let connector = Client::connector().with_session_timeout(Duration::from_secs(10));
        let connecting = timeout(LIMIT, connector.connect(&servers));
        let client = connecting.await.expect("a session in time").expect("a session");
        Self { client, address: server.address() }
    }

    /// Writes, reads and deletes, each of which has to be answered in time.
    pub(crate) async fn works(&self) {
        let working = async {
            let mode = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
            let (_, sequence) = self.client.create("/good-", b"data", &mode).await.expect("a create");
            let path = format!("/good-{sequence}");
            assert_eq!(self.client.get_data(&path).await.expect("a read").0, b"data");
            self.client.delete(&path, None).await.expect("a delete");
        };
        timeout(LIMIT, working).await.expect("answers to a well-behaved client");
    }

    /// Waits until nothing is left of other clients: their connections, sessions, watches and ephemeral znodes.
    pub(crate) async fn is_alone(&self) {
        let expected = [
            ("num_alive_connections", 2),
            ("global_sessions", 1),
            ("watch_count", 0),
            ("ephemerals_count", 0),
        ];
        let end = Instant::now() + 2 * LIMIT;
        loop {
            // The connection that asks is the second one.
            let books = books(self.address).await;
            let wrong: Vec<_> = expected.iter().filter(|(key, value)| books[*key] != *value).collect();
            if wrong.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "to be {wrong:?}: {books:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Counts the znodes that can be reached from the root, which have to be all that the server knows of. `None` if
    /// the permissions hide some of them.
    pub(crate) async fn counts_all_znodes(&self) -> Option<i64> {
        let mut open = vec!["/".to_owned()];
        let (mut seen, mut hidden) = (0, false);
        while let Some(path) = open.pop() {
            seen += 1;
            let parent = path.trim_end_matches('/');
            match self.client.list_children(&path).await {
                Ok(names) => open.extend(names.iter().map(|name| format!("{parent}/{name}"))),
                Err(Error::NoAuth) => hidden = true,
                Err(error) => panic!("{path:?}: {error}"),
            }
        }
        // ZooKeeper counts the root twice, and so does the embedded server.
        let known = books(self.address).await["znode_count"] - 1;
        if hidden {
            assert!(known >= seen, "{known} znodes, {seen} seen");
            return None;
        }
        assert_eq!(known, seen, "znodes");
        Some(known)
    }

    pub(crate) fn session(&self) -> SessionId {
        SessionId::from_raw(self.client.session_id().0)
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }
}
