//! The ZooKeeper session that a leadership stands on.

use std::sync::Arc;

use super::client::Client;
use super::session_task::ConnectionState;
use super::{Shared, Write, request_bytes};
use crate::types::SessionId;

/// One ZooKeeper session, over whichever connection it is reached.
///
/// A [`Session`](super::Session) goes on to another ZooKeeper session when one is over; this does not.
pub(crate) struct PinnedSession {
    shared: Arc<Shared>,
    session: SessionId,
    chroot_bytes: usize,
}

impl PinnedSession {
    pub(crate) fn new(shared: Arc<Shared>, client: &Client) -> Self {
        Self { shared, session: client.session(), chroot_bytes: client.chroot_bytes() }
    }

    /// A client that is connected with this session, now or as soon as there is one; `None` if the session is over.
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

    /// The length of the request that a transaction on this session becomes.
    pub(crate) fn request_bytes<'a>(&self, writes: impl IntoIterator<Item = &'a Write>) -> usize {
        request_bytes(writes, self.chroot_bytes)
    }
}
