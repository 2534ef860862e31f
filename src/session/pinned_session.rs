//! One ZooKeeper session, as a leadership needs it.

use std::sync::Arc;

use super::client::Client;
use super::connection_state::ConnectionState;
use super::shared::Shared;
use super::write::{Write, request_bytes};
use crate::types::SessionId;

/// One ZooKeeper session, over any of its connections.
///
/// A [`Session`](super::Session) opens another ZooKeeper session when one is over. This does not: requests of a leadership
/// must not run on a session that does not own the leader's znode.
pub(crate) struct PinnedSession {
    shared: Arc<Shared>,
    session: SessionId,
    chroot_bytes: usize,
}

impl PinnedSession {
    pub(crate) fn new(shared: Arc<Shared>, client: &Client) -> Self {
        Self { shared, session: client.session(), chroot_bytes: client.chroot_bytes() }
    }

    /// A client that is connected with this session. Waits until there is one. `None` if the session is over.
    pub(crate) async fn client(&self) -> Option<Arc<Client>> {
        let mut connection = self.shared.connection();
        loop {
            match &*connection.borrow_and_update() {
                ConnectionState::Connected(client) => {
                    return (client.session() == self.session).then(|| client.clone());
                }
                ConnectionState::Connecting | ConnectionState::Closed | ConnectionState::Lost => return None,
                ConnectionState::Suspended | ConnectionState::Closing(_) => {}
            }
            connection.changed().await.ok()?;
        }
    }

    /// The length in bytes of the request for this transaction.
    pub(crate) fn request_bytes<'a>(&self, writes: impl IntoIterator<Item = &'a Write>) -> usize {
        request_bytes(writes, self.chroot_bytes)
    }
}
