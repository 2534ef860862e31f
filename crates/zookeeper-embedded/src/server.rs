//! The server's handle, and the one task behind it that accepts connections and keeps the time.

use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use crate::connection;
use crate::faults::Clients;
use crate::session_id::SessionId;
use crate::state::Shared;

/// A running server. Dropping it ends it: the listener and all connections are closed soon after.
#[must_use = "the server ends when it is dropped"]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped or sent: the task ends.
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// How to start a [`Server`]; made by [`Server::builder`].
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    tick: Duration,
}

impl Server {
    /// Starts a server with the default options on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    ///
    /// # Panics
    ///
    /// As [`ServerBuilder::start`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is started when the future is dropped.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start_on_free_port().await
    }

    /// A server, to be configured and started.
    pub const fn builder() -> ServerBuilder {
        ServerBuilder { tick: Duration::from_millis(500) }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a client takes it: `127.0.0.1:2181`. A listener on every address is reached at this
    /// machine's own.
    pub fn connect_string(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                [0, 0, 0, 0, 0, 0, 0, 1].into()
            });
        }
        address.to_string()
    }

    /// Faults for all clients, present and future.
    pub fn clients(&self) -> Clients {
        Clients::new(self.shared.clone(), None)
    }

    /// Faults for the client of one session. A session that does not exist is no error: nothing happens to it.
    ///
    /// Takes the id of this crate, that of an election's session, or the number that ZooKeeper transmits:
    /// `server.client(client.session_id().0)` with `zookeeper-client`.
    pub fn client(&self, session: impl Into<i64>) -> Clients {
        Clients::new(self.shared.clone(), Some(SessionId::from_raw(session.into())))
    }

    /// The sessions that are alive, in the order in which they were opened.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.shared.lock().engine.sessions.alive().collect()
    }

    /// Stands still until [`resume`](Self::resume), like a process that was sent SIGSTOP: nothing is read, answered
    /// or expired. Connections stay open, and new ones are taken by the operating system. What is being sent at that
    /// moment still leaves.
    pub fn stop(&self) {
        self.shared.set_stopped(true);
    }

    /// Goes on after [`stop`](Self::stop). Sessions whose timeout has passed meanwhile expire first, then what their
    /// clients have sent is read: the worse of the two orders that are possible with a real server.
    pub fn resume(&self) {
        self.shared.set_stopped(false);
    }

    /// Does as a process that was sent SIGKILL: all connections are closed, and new ones are closed at once, until
    /// [`revive`](Self::revive). What has not left is lost. A server that stood still does so no more, and
    /// [`stop`](Self::stop) does nothing until then.
    pub fn kill(&self) {
        self.shared.set_killed(true);
    }

    /// Serves again after [`kill`](Self::kill), with the znodes and sessions that it had, as a server does that has
    /// them on disk. The timeouts of all sessions begin anew, however long it was away. Watches are gone, and faults
    /// that were set for clients are not.
    pub fn revive(&self) {
        self.shared.set_killed(false);
    }

    /// Ends the server, and returns when the listener and all connections are closed.
    ///
    /// # Panics
    ///
    /// When a task of the server has panicked before, which is a bug in it.
    ///
    /// # Cancel safety
    ///
    /// The server ends also when the future is dropped.
    pub async fn shutdown(mut self) {
        drop(self.end.take());
        if let Err(ended) = (&mut self.task).await
            && let Ok(panic) = ended.try_into_panic()
        {
            resume_unwind(panic);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sessions, znodes) = {
            let state = self.shared.lock();
            (state.engine.sessions.alive().len(), state.engine.tree.len())
        };
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("sessions", &sessions)
            .field("znodes", &znodes)
            .finish_non_exhaustive()
    }
}

impl ServerBuilder {
    /// The length of ZooKeeper's tick; by default 500 ms, at least 1 ms and at most an hour.
    ///
    /// Session timeouts lie between 2 and 20 ticks, whatever clients ask for: by default between 1 s and 10 s. A
    /// session expires at the end of the tick in which its timeout ends. Shorter ticks make tests of expiry quicker.
    #[must_use]
    pub const fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// Starts to serve on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When no port can be had, and as [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// Nothing is started when the future is dropped.
    pub async fn start_on_free_port(self) -> io::Result<Server> {
        self.start(TcpListener::bind("127.0.0.1:0").await?)
    }

    /// Starts to serve on this listener, by tasks of the current tokio runtime. Give it one that is bound to a loopback
    /// address: whoever can connect may do whatever the ACLs allow.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a tick shorter than 1 ms or longer than an hour; what the listener says when
    /// its address cannot be had.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in one without I/O or time.
    pub fn start(self, listener: TcpListener) -> io::Result<Server> {
        const HOUR: Duration = Duration::from_secs(3600);
        let Self { tick } = self;
        if !(Duration::from_millis(1)..=HOUR).contains(&tick) {
            let message = format!("the server's tick is {tick:?}: give it between 1 ms and 1 h");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(tick));
        let (end, ended) = oneshot::channel();
        // Here, so that a runtime without a timer is the caller's panic and not the task's.
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let task = tokio::spawn(run(shared.clone(), listener, ticks, ended));
        Ok(Server { address, shared, end: Some(end), task })
    }
}

/// Accepts connections and ends what has to end, until told to end itself.
async fn run(
    shared: Arc<Shared>,
    listener: TcpListener,
    mut ticks: Interval,
    mut ended: oneshot::Receiver<()>,
) {
    let _end = End(&shared);
    let mut connections = JoinSet::new();
    let mut refused = false;
    loop {
        tokio::select! {
            _ = &mut ended => break,
            accepted = listener.accept(), if !refused => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection::serve(shared.clone(), stream))),
                // No file descriptor or no memory: those that are open go on, and new ones wait.
                Err(_) => refused = true,
            },
            () = async { if refused { sleep(Duration::from_millis(50)).await } else { pending().await } } => {
                refused = false;
            }
            _ = ticks.tick() => shared.lock().tick(),
            Some(Err(ended)) = connections.join_next() => {
                if let Ok(panic) = ended.try_into_panic() {
                    resume_unwind(panic);
                }
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Tells those who wait for a fault that there is nobody left, even when the task is dropped.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
