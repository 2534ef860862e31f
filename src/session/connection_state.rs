//! The state of a session's connection, as the session task announces it.

use std::sync::Arc;

use super::client::Client;

/// The state of a session's connection, for all who send requests on the session.
#[derive(Clone)]
pub(crate) enum ConnectionState {
    /// There is no ZooKeeper session: the previous one is over, and the next is being opened.
    Connecting,
    /// A server answers. Each new connection is announced.
    Connected(Arc<Client>),
    /// No server answers. The ZooKeeper session may still exist.
    Suspended,
    /// The application closes the session. All users remove their znodes and release the session, over this client if
    /// there is a connection. (The `Connected` that announced it may have been overtaken.)
    Closing(Option<Arc<Client>>),
    /// The session is closed.
    Closed,
    /// The ZooKeeper session is over, and only the application can open another.
    Lost,
}
