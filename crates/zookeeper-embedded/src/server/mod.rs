//! The server: a task that accepts connections and ticks, a task for each connection, and the state that they share.
//!
//! ```text
//!  socket ─► connection ─► state ─► engine
//!  socket ◄─ outbox ◄──────┘ ▲
//!  Server, Clients ──────────┘
//! ```

mod clients;
mod connection;
mod faults;
mod four_letter;
mod outbox;
mod pause;
mod state;

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

use crate::session_id::SessionId;

use self::state::Shared;

pub use self::clients::{Clients, CutOff};
pub use self::faults::{Direction, Operation, When};

/// A running server. When it is dropped, the listener and all connections are closed soon after.
#[must_use = "the server ends when it is dropped"]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Ends the task when it is dropped.
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// The options of a [`Server`]; made by [`Server::builder`].
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    tick: Duration,
}

impl Server {
    /// Starts a server with the default options on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    ///
    /// # Panics
    ///
    /// As [`ServerBuilder::start`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no server is started.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start_on_free_port().await
    }

    /// The options of a server, with their defaults.
    pub const fn builder() -> ServerBuilder {
        ServerBuilder { tick: Duration::from_millis(500) }
    }

    /// The address that the server listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connect string for clients, such as `127.0.0.1:2181`. For a listener on all addresses, it is the loopback
    /// address.
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

    /// A handle for faults of all present and future clients.
    pub fn clients(&self) -> Clients {
        Clients::new(self.shared.clone(), None)
    }

    /// A handle for faults of the client with this session. The session need not exist.
    ///
    /// Takes a [`SessionId`] or the number that ZooKeeper transmits. With `zookeeper-client`:
    /// `server.client(client.session_id().0)`.
    pub fn client(&self, session: impl Into<i64>) -> Clients {
        Clients::new(self.shared.clone(), Some(SessionId::from_raw(session.into())))
    }

    /// The open sessions, in the order in which they were opened.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.shared.lock().engine.sessions.alive().collect()
    }

    /// Stops the server until [`resume`](Self::resume), like a process after SIGSTOP: it reads and answers nothing, and
    /// expires no session. Connections stay open, and the operating system accepts new ones. A reply that is being sent
    /// at that moment is still sent.
    pub fn stop(&self) {
        self.shared.set_stopped(true);
    }

    /// Continues after [`stop`](Self::stop). Sessions whose timeout has passed expire first; then the server reads what
    /// their clients have sent. A real server can do it in either order. This one is worse for clients.
    pub fn resume(&self) {
        self.shared.set_stopped(false);
    }

    /// Ends service until [`revive`](Self::revive), like a process after SIGKILL: closes all connections, and closes new
    /// ones at once. Replies that are not sent yet are lost. Also ends [`stop`](Self::stop), which has no effect on a
    /// killed server.
    pub fn kill(&self) {
        self.shared.set_killed(true);
    }

    /// Serves again after [`kill`](Self::kill) with the same znodes and sessions, like a server that has them on disk. The
    /// timeouts of all sessions restart, however long ago the kill was. Watches are lost. Faults that are set for
    /// clients stay set.
    pub fn revive(&self) {
        self.shared.set_killed(false);
    }

    /// Ends the server, and waits until the listener and all connections are closed.
    ///
    /// # Panics
    ///
    /// If a task of the server has panicked, which is a bug in the server.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the server ends too.
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
    /// Sets the length of ZooKeeper's tick, between 1 ms and an hour. The default is 500 ms.
    ///
    /// Session timeouts are between 2 and 20 ticks whatever the client requests: by default between 1 s and 10 s. A
    /// session expires at the end of the tick in which its timeout ends. With shorter ticks, tests of expiry are
    /// faster.
    #[must_use]
    pub const fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// Starts the server on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If no port can be bound, and as [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no server is started.
    pub async fn start_on_free_port(self) -> io::Result<Server> {
        self.start(TcpListener::bind("127.0.0.1:0").await?)
    }

    /// Starts the server on this listener, in tasks of the current tokio runtime. Bind the listener to a loopback address,
    /// because every client that can connect can do everything that the ACLs allow.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a tick shorter than 1 ms or longer than an hour; the listener's error if its
    /// address is unknown.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in a runtime without I/O or time.
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
        // Not in the task, so that a runtime without a timer makes the caller panic.
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let task = tokio::spawn(run(shared.clone(), listener, ticks, ended));
        Ok(Server { address, shared, end: Some(end), task })
    }
}

/// Accepts connections and ticks until the server ends.
async fn run(
    shared: Arc<Shared>,
    listener: TcpListener,
    mut ticks: Interval,
    mut ended: oneshot::Receiver<()>,
) {
    let _ended = EndOnDrop(&shared);
    let mut connections = JoinSet::new();
    let mut refused = false;
    loop {
        tokio::select! {
            _ = &mut ended => break,
            accepted = listener.accept(), if !refused => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection::serve(shared.clone(), stream))),
                // Out of file descriptors or memory: open connections continue, and new ones wait.
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

/// Marks the server as ended, even if the task is dropped. Ends all waits for faults.
struct EndOnDrop<'a>(&'a Shared);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
