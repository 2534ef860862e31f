//! A peer's connections, by the rules of ZooKeeper's servers.
//!
//! Of each pair of servers the one with the higher id keeps the connection that it has dialled. The other one dials to ask
//! for that: it sends its greeting and closes. A new connection replaces an older one of the same server.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::timeout;
use zookeeper_fle::ServerId;
use zookeeper_fle::codec::{Addresses, Hello, frame_length};

/// How long a connection and a greeting may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What comes from the network.
#[derive(Debug)]
pub(crate) enum Input {
    /// A server has connected and said who it is.
    Greeted { hello: Hello, stream: TcpStream },
    /// Dialling has ended: with a connection, if this is one that the peer keeps.
    Dialled { to: ServerId, stream: Option<TcpStream> },
    /// The body of a frame.
    Frame { from: ServerId, body: Vec<u8> },
    /// A connection has ended.
    Lost { from: ServerId, link: u64 },
}

/// All connections of one peer. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct PeerConnections {
    own: ServerId,
    hello: Vec<u8>,
    addresses: BTreeMap<ServerId, SocketAddr>,
    outboxes: HashMap<ServerId, Arc<Outbox>>,
    links: HashMap<ServerId, Link>,
    dialling: HashSet<ServerId>,
    inputs: UnboundedSender<Input>,
    /// Those who dial and those who accept.
    tasks: JoinSet<()>,
    made: u64,
}

/// What is to be sent to a server: one message, the newest. It outlives the connections.
#[derive(Debug, Default)]
struct Outbox {
    messages: Mutex<Messages>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Messages {
    queued: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
}

/// A connection that is in use: the tasks that read and write.
#[derive(Debug)]
struct Link {
    number: u64,
    _tasks: JoinSet<()>,
}

impl PeerConnections {
    /// Those of the server `own`, which is one of these with their election addresses.
    pub(crate) fn new(
        own: ServerId,
        addresses: BTreeMap<ServerId, SocketAddr>,
        listener: TcpListener,
        inputs: UnboundedSender<Input>,
    ) -> Self {
        let hello = Hello { from: own, addresses: Addresses::One(addresses[&own].to_string()) }.encode();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, inputs.clone()));
        Self {
            own,
            hello,
            addresses,
            outboxes: HashMap::new(),
            links: HashMap::new(),
            dialling: HashSet::new(),
            inputs,
            tasks,
            made: 0,
        }
    }

    /// Sends this frame in place of what waits already, and connects if there is no connection.
    pub(crate) fn send(&mut self, to: ServerId, frame: Vec<u8>) {
        self.outbox(to).put(frame);
        self.connect(to);
    }

    /// Connects to a server, unless there is a connection or one is being made.
    pub(crate) fn connect(&mut self, to: ServerId) {
        if let Some(address) = self.addresses.get(&to) {
            self.dial(to, *address);
        }
    }

    /// The other servers.
    pub(crate) fn others(&self) -> Vec<ServerId> {
        self.addresses.keys().copied().filter(|id| *id != self.own).collect()
    }

    /// For whom something waits for a connection.
    pub(crate) fn undelivered(&self) -> Vec<ServerId> {
        self.outboxes.iter().filter(|(_, outbox)| outbox.waits()).map(|(to, _)| *to).collect()
    }

    /// Somebody has connected.
    pub(crate) fn greeted(&mut self, hello: &Hello, stream: TcpStream) {
        let from = hello.from;
        if from > self.own {
            self.install(from, stream);
        } else if from < self.own {
            self.links.remove(&from);
            drop(stream);
            match &hello.addresses {
                Addresses::One(address) => self.dial(from, address.parse().expect("an address of loopback")),
                Addresses::None | Addresses::Several(_) => self.connect(from),
            }
        }
    }

    /// Dialling has ended.
    pub(crate) fn dialled(&mut self, to: ServerId, stream: Option<TcpStream>) {
        self.dialling.remove(&to);
        if let Some(stream) = stream {
            self.install(to, stream);
        }
    }

    /// A connection has ended, perhaps one that has been replaced.
    pub(crate) fn lost(&mut self, from: ServerId, number: u64) {
        if self.links.get(&from).is_some_and(|link| link.number == number) {
            self.links.remove(&from);
        }
    }

    fn dial(&mut self, to: ServerId, address: SocketAddr) {
        while self.tasks.try_join_next().is_some() {}
        if self.links.contains_key(&to) || !self.dialling.insert(to) {
            return;
        }
        let (hello, inputs, keeps) = (self.hello.clone(), self.inputs.clone(), self.own > to);
        self.tasks.spawn(async move {
            let dialled = timeout(LIMIT, greet(address, &hello)).await.ok().and_then(Result::ok);
            let _ = inputs.send(Input::Dialled { to, stream: dialled.filter(|_| keeps) });
        });
    }

    fn install(&mut self, with: ServerId, stream: TcpStream) {
        self.made += 1;
        let (number, inputs, outbox) = (self.made, self.inputs.clone(), self.outbox(with));
        let (reading, writing) = stream.into_split();
        let mut tasks = JoinSet::new();
        let lost = Input::Lost { from: with, link: number };
        tasks.spawn(async move {
            read(reading, with, &inputs).await;
            let _ = inputs.send(lost);
        });
        tasks.spawn(write(writing, outbox));
        self.links.insert(with, Link { number, _tasks: tasks });
    }

    fn outbox(&mut self, to: ServerId) -> Arc<Outbox> {
        self.outboxes.entry(to).or_default().clone()
    }
}

impl Outbox {
    fn put(&self, frame: Vec<u8>) {
        self.with(|messages| messages.queued = Some(frame));
        self.changed.notify_one();
    }

    fn waits(&self) -> bool {
        self.with(|messages| messages.queued.is_some())
    }

    /// What is to be sent first on a new connection: what waits, or else the last message once more.
    fn first(&self) -> Option<Vec<u8>> {
        self.next().or_else(|| self.with(|messages| messages.last.clone()))
    }

    fn next(&self) -> Option<Vec<u8>> {
        self.with(|messages| {
            let queued = messages.queued.take()?;
            messages.last = Some(queued.clone());
            Some(queued)
        })
    }

    fn with<T>(&self, use_them: impl FnOnce(&mut Messages) -> T) -> T {
        use_them(&mut self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Connects, and says hello in one write.
async fn greet(address: SocketAddr, hello: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(hello).await?;
    Ok(stream)
}

/// Takes connections, each in a task of its own, so that one that says nothing holds nobody up.
async fn accept(listener: TcpListener, inputs: UnboundedSender<Input>) {
    let mut greetings = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while greetings.try_join_next().is_some() {}
        let inputs = inputs.clone();
        greetings.spawn(async move {
            if let Ok(Some((hello, stream))) = timeout(LIMIT, hear_hello(stream)).await {
                let _ = inputs.send(Input::Greeted { hello, stream });
            }
        });
    }
}

/// Reads a greeting and not a byte more; `None` if it is none.
async fn hear_hello(mut stream: TcpStream) -> Option<(Hello, TcpStream)> {
    let mut raw = Vec::new();
    loop {
        raw.push(stream.read_u8().await.ok()?);
        if let Some((hello, _)) = Hello::decode(&raw).ok()? {
            return Some((hello, stream));
        }
    }
}

/// Reads frames until the connection ends or sends what is none.
async fn read(mut stream: OwnedReadHalf, from: ServerId, inputs: &UnboundedSender<Input>) {
    loop {
        let mut first = [0; 4];
        if stream.read_exact(&mut first).await.is_err() {
            return;
        }
        let Ok(length) = frame_length(first) else { return };
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() || inputs.send(Input::Frame { from, body }).is_err() {
            return;
        }
    }
}

/// Writes what is in the outbox, for as long as the connection lasts.
async fn write(mut stream: OwnedWriteHalf, outbox: Arc<Outbox>) {
    let mut message = outbox.first();
    loop {
        if let Some(frame) = message
            && stream.write_all(&frame).await.is_err()
        {
            return;
        }
        message = outbox.next();
        if message.is_none() {
            outbox.changed.notified().await;
        }
    }
}
