//! The end of a session: everybody leaves, then it is closed; or it is left to expire, because somebody may still act on
//! it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use zookeeper_client as zk;

use super::client::Client;
use super::session_task::{Close, ConnectionState, SessionTask, Unconfirmed};
use crate::error::Error;
use crate::telemetry;

/// How long those who have no znode take to leave.
const TIME_TO_LEAVE: Duration = Duration::from_millis(100);

impl SessionTask {
    /// Lets everybody remove their znodes, and then ends the session.
    pub(super) async fn close(
        &mut self,
        reply: Option<Close>,
        client: &Arc<Client>,
        states: &mut zk::StateWatcher,
        session_timeout: Duration,
    ) {
        let started = Instant::now();
        let deadline = started + session_timeout;
        let connected = states.peek_state() == zk::SessionState::SyncConnected;
        self.connection.send_replace(ConnectionState::Closing(connected.then(|| client.clone())));
        let result = if self.connect.is_some() {
            // Ending the session removes the znodes as well: half of the time is kept for that.
            let cleaned = timeout_at(started + session_timeout / 2, self.clean_up(client, states)).await;
            if self.in_flight.is_empty() {
                drop(client.end());
                let closed = until_closed(states, deadline).await;
                self.tasks.iter().for_each(JoinHandle::abort);
                // The client may send something behind the request to close. It is told then that the session has
                // expired, which is no news where each znode was removed before.
                if cleaned == Ok(true) { Ok(()) } else { closed }
            } else {
                self.abandon(client).await;
                Err(Error::WorkContinues { waited: started.elapsed() })
            }
        } else {
            let cleaned = timeout_at(deadline, self.clean_up(client, states)).await;
            if cleaned == Ok(true) { Ok(()) } else { Err(Error::RemovalUnconfirmed) }
        };
        let unconfirmed = result.is_err();
        self.report_closed(reply, result);
        if unconfirmed && self.connect.is_none() {
            // The application's session lives on, and so would the znodes: they are removed, however late.
            self.clean_up(client, states).await;
        }
        drop(client.end());
    }

    /// Lets go of a client and its session, without closing the session.
    pub(super) async fn abandon(&mut self, client: &Client) {
        let ended = tokio::spawn(AbandonedClient::new(client, std::mem::take(&mut self.tasks)).ended());
        // A task that does not yield for so long ends when it does.
        let _ = timeout(Duration::from_secs(1), ended).await;
    }

    /// Waits until everybody has left or the session is over, and tells whether all znodes were removed for certain.
    async fn clean_up(&mut self, client: &Arc<Client>, states: &mut zk::StateWatcher) -> bool {
        let mut confirmed = true;
        loop {
            let over = states.peek_state().is_terminated();
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

    /// Closes while there is no client, and so no way to remove a znode.
    pub(super) async fn close_without_client(&mut self, reply: Option<Close>) {
        let started = Instant::now();
        self.connection.send_replace(ConnectionState::Closing(None));
        let mut confirmed = true;
        // Those who have no znode leave at once.
        let all_leave = async {
            while self.barriers.recv().await.is_some() {
                confirmed = false
            }
        };
        let left = timeout(TIME_TO_LEAVE, all_leave).await.is_ok();
        let result = if !self.in_flight.is_empty() {
            Err(Error::WorkContinues { waited: started.elapsed() })
        } else if left && confirmed {
            Ok(())
        } else {
            Err(Error::RemovalUnconfirmed)
        };
        self.report_closed(reply, result);
    }

    /// Tells everybody who asked for closing what came of it. Nobody can ask after that.
    fn report_closed(&mut self, reply: Option<Close>, result: Result<(), Error>) {
        let _ = self.closed.set(result.clone());
        telemetry::closed(&result);
        self.commands.close();
        let queued = std::iter::from_fn(|| self.commands.try_recv().ok());
        for reply in reply.into_iter().chain(queued) {
            let _ = reply.send(result.clone());
        }
    }
}

/// A client that is let go of. Its session is left to expire, unless the tasks that serve it are the application's:
/// these close it when there is no other handle.
pub(super) struct AbandonedClient {
    client: Option<zk::Client>,
    tasks: Vec<JoinHandle<()>>,
}

impl AbandonedClient {
    pub(super) fn new(client: &Client, tasks: Vec<JoinHandle<()>>) -> Self {
        let client = client.end();
        tasks.iter().for_each(JoinHandle::abort);
        Self { client, tasks }
    }

    /// Waits until the client is of no effect any more.
    async fn ended(mut self) {
        for task in &mut self.tasks {
            let _ = task.await;
        }
    }
}

impl Drop for AbandonedClient {
    fn drop(&mut self) {
        if !self.tasks.iter().all(JoinHandle::is_finished) {
            // A living task whose last handle is dropped has the session closed, and this one may be in the middle of a
            // step. So the handle, some hundred bytes, is never dropped.
            std::mem::forget(self.client.take());
        }
    }
}

/// Waits until the client says that the session is closed. `Expired` may be the client's own guess, and confirms
/// nothing.
async fn until_closed(states: &mut zk::StateWatcher, deadline: Instant) -> Result<(), Error> {
    let mut state = states.peek_state();
    while !state.is_terminated() {
        state = timeout_at(deadline, states.changed()).await.map_err(|_| Error::RemovalUnconfirmed)?;
    }
    match state {
        zk::SessionState::Closed => Ok(()),
        _ => Err(Error::RemovalUnconfirmed),
    }
}
