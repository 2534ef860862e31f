//! The server's handle.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use super::faults::Clients;
use crate::types::SessionId;

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server(());

/// How to start a [`Server`]; made by [`Server::builder`].
#[derive(Clone, Debug)]
pub struct ServerBuilder(());

impl Server {
    /// Starts a server on a free port of 127.0.0.1 with the default options.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start(TcpListener::bind("127.0.0.1:0").await?)
    }

    /// A server, to be configured and started.
    pub fn builder() -> ServerBuilder {
        todo!()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        todo!()
    }

    /// Where it listens, as a client takes it: `127.0.0.1:2181`.
    pub fn connect_string(&self) -> String {
        self.address().to_string()
    }

    /// Faults for all clients, present and future.
    pub fn clients(&self) -> Clients {
        todo!()
    }

    /// Faults for one client: the connections that belong to its session.
    pub fn client(&self, _session: SessionId) -> Clients {
        todo!()
    }

    /// The sessions that are alive, in the order in which they were opened.
    pub fn sessions(&self) -> Vec<SessionId> {
        todo!()
    }

    /// Stops as a process does that was sent SIGSTOP: it reads and answers nothing; connections stay open.
    pub fn stop(&self) {
        todo!()
    }

    /// Continues after [`stop`](Self::stop).
    pub fn resume(&self) {
        todo!()
    }

    /// Ends the server: closes the listener and all connections, and returns when that is done.
    pub async fn shutdown(self) {
        todo!()
    }
}

impl ServerBuilder {
    /// The tick, by default 500 ms: session timeouts lie between 2 and 20 ticks.
    #[must_use]
    pub fn tick(self, _tick: Duration) -> Self {
        todo!()
    }

    /// Starts serving on this listener, in tasks of the current tokio runtime.
    pub fn start(self, _listener: TcpListener) -> io::Result<Server> {
        todo!()
    }
}
