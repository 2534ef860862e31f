//! Hand-made requests, and a server that echoes them: what the tests of the proxy use instead of a ZooKeeper client.

use std::io::ErrorKind;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::eventually;
use super::frames::OpCode;

/// Long enough for bytes to pass, short enough to wait for bytes that do not.
pub const SHORT: Duration = Duration::from_millis(200);

/// A client that sends hand-made requests.
#[derive(Debug)]
pub struct Client(TcpStream);

impl Client {
    /// Connects and exchanges the connect frames.
    pub async fn connect(address: &str) -> Self {
        Self::connect_for(address, Duration::from_secs(10)).await
    }

    /// Opens a session with this timeout. Dropping the client closes the connection and not the session.
    pub async fn connect_for(address: &str, session_timeout: Duration) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let mut client = Self(stream);
        let milliseconds = i32::try_from(session_timeout.as_millis()).expect("a session timeout");
        // Protocol version, last zxid, session time-out in ms, session id, password, read-only.
        let mut connect = [[0; 12].as_slice(), &milliseconds.to_be_bytes(), &[0; 8]].concat();
        connect.extend(prefixed(&[0; 16]));
        connect.push(0);
        client.0.write_all(&prefixed(&connect)).await.expect("a connect request");
        client.receive().await.expect("a connect response");
        client
    }

    /// Sends a request.
    pub async fn send(&mut self, xid: i32, op_code: OpCode, body: &[u8]) {
        let frame = prefixed(&request(xid, op_code, body));
        self.0.write_all(&frame).await.expect("sending a request");
    }

    /// The next frame, or how the connection ended.
    pub async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let received = timeout(Duration::from_secs(5), read_frame(&mut self.0)).await;
        received.expect("a frame or the end of the connection")
    }

    /// How the connection ends, which it must do without another frame.
    pub async fn end(&mut self) -> ErrorKind {
        self.receive().await.expect_err("the end of the connection").kind()
    }

    /// Checks that there is neither a frame nor an end of the connection for a short time.
    pub async fn hears_nothing(&mut self) {
        let heard = timeout(SHORT, self.0.peek(&mut [0])).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// The error code in ZooKeeper's reply to a request: 0 is none.
    pub async fn error_of(&mut self, xid: i32, op_code: OpCode, body: &[u8]) -> i32 {
        self.send(xid, op_code, body).await;
        let reply = self.receive().await.expect("a reply");
        i32::from_be_bytes(reply[12..16].try_into().expect("four bytes"))
    }
}

/// A request without its length prefix, as [`Echo`] receives and returns it.
pub fn request(xid: i32, op_code: OpCode, body: &[u8]) -> Vec<u8> {
    [xid.to_be_bytes().as_slice(), &op_code.0.to_be_bytes(), body].concat()
}

/// The body of a request that looks for a node.
pub fn exists(path: &str) -> Vec<u8> {
    let without_watch = vec![0];
    [prefixed(path.as_bytes()), without_watch].concat()
}

/// The body of a request that creates an empty persistent node.
pub fn create(path: &str) -> Vec<u8> {
    let one_entry = 1_i32.to_be_bytes().to_vec();
    let all_permissions = 31_i32.to_be_bytes().to_vec();
    let acl = [one_entry, all_permissions, prefixed(b"world"), prefixed(b"anyone")].concat();
    let persistent = 0_i32.to_be_bytes().to_vec();
    [prefixed(path.as_bytes()), prefixed(b""), acl, persistent].concat()
}

/// A server that answers each frame by the same frame.
#[derive(Debug)]
pub struct Echo {
    address: String,
    seen: Arc<Mutex<Seen>>,
}

impl Echo {
    /// Starts it on a port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream, Arc::clone(&shared)));
            }
        });
        Self { address, seen }
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The requests received so far, without connect requests, and forgets them.
    pub fn take_requests(&self) -> Vec<Vec<u8>> {
        mem::take(&mut lock(&self.seen).requests)
    }

    /// The number of connect requests received so far.
    pub fn connections(&self) -> usize {
        lock(&self.seen).connections
    }

    /// Waits until it has seen a connection end in this way, and forgets how connections ended.
    pub async fn has_seen_end(&self, end: ErrorKind) {
        let seen = async || lock(&self.seen).ends.contains(&end).then_some(());
        eventually("the server sees the connection end", Duration::from_secs(5), seen).await;
        lock(&self.seen).ends.clear();
    }
}

/// What an [`Echo`] has seen.
#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    requests: Vec<Vec<u8>>,
    ends: Vec<ErrorKind>,
}

impl Seen {
    fn note(&mut self, frame: &[u8], connecting: bool) {
        if connecting {
            self.connections += 1;
        } else {
            self.requests.push(frame.to_vec());
        }
    }
}

async fn echo(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let mut connecting = true;
    loop {
        match read_frame(&mut stream).await {
            Ok(frame) => {
                lock(&seen).note(&frame, mem::take(&mut connecting));
                let _ = stream.write_all(&prefixed(&frame)).await;
            }
            Err(end) => return lock(&seen).ends.push(end.kind()),
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_i32().await?;
    let mut frame = vec![0; usize::try_from(length).expect("a length")];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// The bytes after their length: so are frames, strings and buffers sent.
fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let length = i32::try_from(bytes.len()).expect("a short string");
    [length.to_be_bytes().as_slice(), bytes].concat()
}
