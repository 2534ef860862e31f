//! The switch behind [`Server::stop`](crate::Server::stop) and [`Server::resume`](crate::Server::resume).

use tokio::sync::watch;

/// Whether the server is stopped. Clones share the switch.
#[derive(Clone, Debug)]
pub(super) struct Pause(watch::Sender<bool>);

impl Pause {
    /// A switch of a server that is not stopped.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Stops the server, or lets it continue.
    pub(super) fn set(&self, stopped: bool) {
        self.0.send_replace(stopped);
    }

    /// Whether the server is stopped.
    pub(super) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the server is not stopped.
    pub(super) async fn ended(&self) {
        // Cannot fail, because `self` is a sender.
        let _ = self.0.subscribe().wait_for(|stopped| !stopped).await;
    }
}
