//! The ZooKeeper session that a leadership stands on.

use std::sync::Arc;

use super::keeper::Link;
use super::live::Live;
use super::{Shared, Write, request_bytes};
use crate::types::SessionId;

/// One ZooKeeper session, over whichever connection it is reached.
///
/// A [`Session`](super::Session) goes on to another ZooKeeper session when one is over; this does not.
pub(crate) struct Footing {
    shared: Arc<Shared>,
    session: SessionId,
    chroot_bytes: usize,
}

impl Footing {
    pub(crate) fn new(shared: Arc<Shared>, live: &Live) -> Self {
        Self { shared, session: live.session(), chroot_bytes: live.chroot_bytes() }
    }

    /// A client that is connected with this session, now or as soon as there is one; `None` if the session is over.
    pub(crate) async fn live(&self) -> Option<Arc<Live>> {
        let mut link = self.shared.link();
        loop {
            match &*link.borrow_and_update() {
                Link::Connected(live) => return (live.session() == self.session).then(|| live.clone()),
                Link::Connecting | Link::Closed | Link::Lost => return None,
                Link::Suspended | Link::Closing(_) => {}
            }
            link.changed().await.ok()?;
        }
    }

    /// The length of the request that a transaction on this session becomes.
    pub(crate) fn request_bytes<'a>(&self, writes: impl IntoIterator<Item = &'a Write>) -> usize {
        request_bytes(writes, self.chroot_bytes)
    }
}
