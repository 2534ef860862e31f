//! Closing a session: contenders leave, then the ZooKeeper session is ended. If leaders' work is still running, it is left
//! to expire instead, so that the next leader does not begin before that work has stopped.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use zookeeper_client as zk;

use super::client::Client;
use super::close_barrier::Unconfirmed;
use super::connection::States;
use super::connection_state::ConnectionState;
use super::session_task::{CloseReply, SessionTask};
use crate::error::Error;
use crate::mistakes::mistake;
use crate::runtime::{self, timeout, timeout_at};
use crate::telemetry;
use crate::timestamp::Timestamp;

/// How long contenders without a znode take to leave.
const TIME_TO_LEAVE: Duration = Duration::from_millis(100);

impl SessionTask {
    /// Waits until all contenders have removed their znodes, then ends the session.
    pub(super) async fn close(
        &mut self,
        reply: Option<CloseReply>,
        client: &Arc<Client>,
        states: &mut dyn States,
        session_timeout: Duration,
    ) {
        let started = runtime::now();
        let deadline = started + session_timeout;
        let connected =
            states.current() == zk::SessionState::SyncConnected && !mistake!(ClosingWithoutClient);
        self.connection.send_replace(ConnectionState::Closing(connected.then(|| client.clone())));
        let result = if self.connector.is_some() {
            // Half of the time is kept for ending the session, which also removes the znodes.
            let cleaned = timeout_at(started + session_timeout / 2, self.clean_up(client, states)).await;
            if self.in_flight.is_empty() || mistake!(ClosedUnderWork) {
                let former = self.former_znodes.is_any() && !mistake!(FormerZnodesAtClose);
                client.close();
                let closed = until_closed(states, deadline).await;
                // Aborts the client's tasks that have not ended.
                drop(client.abandon());
                // If the client sends a request after the one to close, it reports that the session expired, and `closed`
                // is an error. Without a znode left, that does not matter.
                if former {
                    // The end of this session does not remove znodes of another.
                    Err(Error::RemovalUnconfirmed)
                } else if cleaned == Ok(true) {
                    Ok(())
                } else {
                    closed
                }
            } else {
                self.abandon(client).await;
                Err(Error::WorkContinues { waited: runtime::now().since(started) })
            }
        } else {
            let cleaned = timeout_at(deadline, self.clean_up(client, states)).await;
            if cleaned == Ok(true) { Ok(()) } else { Err(Error::RemovalUnconfirmed) }
        };
        let unconfirmed = result.is_err();
        self.report_closed(reply, result);
        if unconfirmed && self.connector.is_none() && !mistake!(RemovalsEndWithClosing) {
            // The application's session continues to exist, and so would the znodes: remove them even now.
            self.clean_up(client, states).await;
        }
        client.close();
    }

    /// Drops a client without closing its session.
    pub(super) async fn abandon(&self, client: &Client) {
        let abandoned = client.abandon();
        let (end, ended) = oneshot::channel::<()>();
        self.runtime.spawn(async move {
            abandoned.await;
            drop(end);
        });
        // A task that does not yield in this time ends when it yields.
        let _ = timeout(Duration::from_secs(1), ended).await;
    }

    /// Waits until all contenders have left or the session is over. Returns whether all znodes are removed for certain.
    async fn clean_up(&mut self, client: &Arc<Client>, states: &mut dyn States) -> bool {
        let mut confirmed = true;
        loop {
            let over = states.current().is_terminated();
            tokio::select! {
                biased;
                left = self.barriers.recv() => match left {
                    None => return confirmed,
                    Some(Unconfirmed) => confirmed = false,
                },
                state = states.changed(), if !over => if !state.is_terminated() { self.publish(client, state) },
                () = std::future::ready(()), if over => return false,
            }
        }
    }

    /// Closes without a client, when no znode can be removed.
    pub(super) async fn close_without_client(&mut self, reply: Option<CloseReply>) {
        let started = runtime::now();
        let over = matches!(*self.connection.borrow(), ConnectionState::Connecting);
        self.connection.send_replace(ConnectionState::Closing(None));
        let mut confirmed = true;
        // Contenders without a znode leave at once.
        let all_leave = async {
            while self.barriers.recv().await.is_some() {
                confirmed = false
            }
        };
        let left = timeout(TIME_TO_LEAVE, all_leave).await.is_ok();
        let result = if !self.in_flight.is_empty() {
            Err(Error::WorkContinues { waited: runtime::now().since(started) })
        } else if (left && confirmed && !self.former_znodes.is_any())
            || (over && mistake!(ClosedWhileConnecting))
        {
            Ok(())
        } else {
            Err(Error::RemovalUnconfirmed)
        };
        self.report_closed(reply, result);
    }

    /// Sends the result to all callers of `close`. Later calls find it in `closed`.
    fn report_closed(&mut self, reply: Option<CloseReply>, result: Result<(), Error>) {
        let _ = self.closed.set(result.clone());
        telemetry::closed(&result);
        self.commands.close();
        let queued = std::iter::from_fn(|| self.commands.try_recv().ok());
        for reply in reply.into_iter().chain(queued) {
            let _ = reply.send(result.clone());
        }
    }
}

/// Waits until the client reports that the session is closed. `Expired` is no confirmation, because the client may have
/// concluded it without a server.
async fn until_closed(states: &mut dyn States, deadline: Timestamp) -> Result<(), Error> {
    let mut state = states.current();
    while !state.is_terminated() {
        state = timeout_at(deadline, states.changed()).await.map_err(|_| Error::RemovalUnconfirmed)?;
    }
    match state {
        zk::SessionState::Closed => Ok(()),
        zk::SessionState::Expired if mistake!(ExpiredIsClosed) => Ok(()),
        _ => Err(Error::RemovalUnconfirmed),
    }
}
