//! A TCP proxy between ZooKeeper clients and servers that breaks connections at a chosen time or request.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::control::Control;
use super::frames::OpCode;
use super::link;

/// A proxy on a port of 127.0.0.1. Dropping it closes the port and all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: Arc<Control>,
    accepting: JoinHandle<()>,
}

/// A fault at a request, which fires once.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The requests that set it off.
    pub on: On,
    /// Whether the server gets the request.
    pub when: When,
    /// What becomes of the connection.
    pub how: How,
}

/// Which requests set a fault off.
#[derive(Clone, Copy, Debug)]
pub enum On {
    /// Those with one of these op codes.
    OpCodes(&'static [OpCode]),
    /// Those that do one of these at this path or below it, by themselves or in a transaction.
    Path(&'static [OpCode], &'static str),
}

/// When a fault fires, relative to the server's work on the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum When {
    /// The request is not forwarded.
    Before,
    /// The request is forwarded, and later ones of the connection are not. When the server has replied, the reply
    /// is thrown away and the fault fires.
    After,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// Both sides are closed in an orderly way.
    Fin,
    /// Both sides are reset.
    Reset,
    /// Both sides stay open, and nothing passes in either direction any more, not even the end of a side.
    Silence,
    /// Both sides stay open, and nothing is lost: [`Proxy::hold`] begins at once, [`When::Before`] with the request
    /// itself on the way to the server, [`When::After`] with its reply on the way to the client.
    Hold,
}

/// A direction of traffic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From the clients to the servers.
    ToServer,
    /// From the servers to the clients.
    ToClient,
    /// Both.
    Both,
}

impl Proxy {
    /// Starts a proxy to `upstream`: an address or several, separated by commas. A connection goes to the first of
    /// them that accepts it.
    pub async fn start(upstream: impl Into<String>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("the port's address");
        let control = Arc::new(Control::new(upstream.into()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&control)));
        Self { address, control, accepting }
    }

    /// Its own address, `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Forwards later connections to `upstream`.
    pub fn set_upstream(&self, upstream: impl Into<String>) {
        *self.control.upstream() = upstream.into();
    }

    /// Arms a fault, which fires at the first request from now on that sets it off. It replaces one that has not
    /// been set off.
    pub fn arm(&self, fault: Fault) {
        self.control.arm(fault);
    }

    /// Waits until the fault that was armed last has fired.
    ///
    /// # Panics
    ///
    /// When it has not within 30 s.
    pub async fn fired(&self) {
        let fired = timeout(Duration::from_secs(30), self.control.last_armed_has_fired()).await;
        assert!(fired.is_ok(), "the armed fault has not fired; requests: {:?}", self.requests());
    }

    /// Closes all connections, both sides, in an orderly way.
    pub fn cut_all(&self) {
        self.control.cuts.send_replace(How::Fin);
    }

    /// Resets all connections, both sides.
    pub fn reset_all(&self) {
        self.control.cuts.send_replace(How::Reset);
    }

    /// While `yes`, closes every new connection at once.
    pub fn refuse(&self, yes: bool) {
        self.control.refuse.store(yes, Ordering::SeqCst);
    }

    /// While `yes`, throws away what goes in this direction on all connections, present and later, and leaves them
    /// open. What is thrown away are whole frames, so a connection can go on afterwards. A side that closes is not
    /// passed on either until this ends.
    pub fn swallow(&self, direction: Direction, yes: bool) {
        self.control.set_swallow(direction, yes);
    }

    /// While `yes`, holds back what goes in this direction on all connections, present and later, the end of a side
    /// included. It goes on when this ends, on the connections that are still open.
    pub fn hold(&self, direction: Direction, yes: bool) {
        self.control.set_hold(direction, yes);
    }

    /// Delays every chunk of bytes in this direction, on all connections; zero ends that.
    pub fn delay(&self, direction: Direction, by: Duration) {
        self.control.set_delay(direction, by);
    }

    /// The requests forwarded so far, without pings and connect requests.
    pub fn requests(&self) -> Vec<OpCode> {
        self.control.requests().clone()
    }

    /// Forgets the requests forwarded so far.
    pub fn clear_requests(&self) {
        self.control.requests().clear();
    }

    /// The number of connections that are open now, silent ones included.
    pub fn connections(&self) -> usize {
        self.control.open()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}

impl Fault {
    /// At any of the requests `on`.
    pub fn new(on: &'static [OpCode], when: When, how: How) -> Self {
        Self { on: On::OpCodes(on), when, how }
    }

    /// At a request that does one of these at this path or below it, by itself or in a transaction.
    pub fn at(path: &'static str, on: &'static [OpCode], when: When, how: How) -> Self {
        Self { on: On::Path(on, path), when, how }
    }

    /// At a request that creates a contender's znode.
    pub fn on_join(when: When, how: How) -> Self {
        Self::new(&[OpCode::MULTI_CREATE], when, how)
    }

    /// At a request that creates a node (not a container).
    pub fn on_create(when: When, how: How) -> Self {
        Self::new(&[OpCode::CREATE, OpCode::CREATE2], when, how)
    }
}

async fn accept(listener: TcpListener, control: Arc<Control>) {
    loop {
        let (client, _) = listener.accept().await.expect("accepting connections");
        if !control.refuse.load(Ordering::SeqCst) {
            // Subscribed here, so that a cut reaches the connection from its first moment.
            let cuts = control.cuts.subscribe();
            tokio::spawn(link::run(client, Arc::clone(&control), cuts));
        }
    }
}
