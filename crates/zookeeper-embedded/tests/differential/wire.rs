//! ZooKeeper's protocol by hand: jute's records, frames, and one connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may take for whatever it is to do next.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Writes a record.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn bool(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    pub fn int(&mut self, value: i32) {
        self.0.extend(value.to_be_bytes());
    }

    pub fn long(&mut self, value: i64) {
        self.0.extend(value.to_be_bytes());
    }

    /// A buffer or a string, which may be null.
    pub fn bytes(&mut self, value: Option<&[u8]>) {
        match value {
            Some(bytes) => {
                self.length(bytes.len());
                self.0.extend(bytes);
            }
            None => self.int(-1),
        }
    }

    pub fn string(&mut self, value: &str) {
        self.bytes(Some(value.as_bytes()));
    }

    pub fn strings(&mut self, values: &[String]) {
        self.length(values.len());
        values.iter().for_each(|value| self.string(value));
    }

    /// The length of a vector.
    pub fn length(&mut self, length: usize) {
        self.int(i32::try_from(length).expect("a short record"));
    }
}

/// A string as it is shown. Beyond U+FFFF the real server writes two surrogates with three bytes each, the embedded
/// one writes UTF-8; it makes no difference, for no path of a znode has such a character.
pub fn text(bytes: &[u8]) -> String {
    let units = bytes.windows(3).filter(|unit| matches!(unit, [0xed, 0xa0..=0xbf, _]));
    if units.count() == 0 {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut utf16 = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        if let [0xed, second @ 0xa0..=0xbf, third, after @ ..] = rest {
            utf16.push(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f));
            rest = after;
        } else {
            utf16.push(u16::from(*first));
            rest = after;
        }
    }
    String::from_utf16_lossy(&utf16)
}

/// Reads a record. Every method returns `None` when the bytes do not go so far.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn bool(&mut self) -> Option<bool> {
        self.take(1).map(|bytes| bytes[0] != 0)
    }

    pub fn int(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    pub fn long(&mut self) -> Option<i64> {
        self.take(8)?.try_into().ok().map(i64::from_be_bytes)
    }

    /// A buffer, which may be null.
    pub fn buffer(&mut self) -> Option<Option<&'a [u8]>> {
        match self.int()? {
            -1 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }

    /// A string; null is shown as `null`.
    pub fn string(&mut self) -> Option<String> {
        let text = |bytes| format!("{:?}", text(bytes));
        self.buffer().map(|buffer| buffer.map_or_else(|| "null".to_owned(), text))
    }

    /// Records of one kind after their number.
    pub fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.int()?;
        (0..length).map(|_| one(self)).collect()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

/// The first frame of a connection.
#[derive(Clone, Debug, Default)]
pub struct ConnectRequest {
    pub last_zxid: i64,
    pub timeout: i32,
    /// Zero and sixteen zeros ask for a new session.
    pub session: i64,
    pub password: Vec<u8>,
    /// Clients before 3.4 do not send it.
    pub without_read_only: bool,
}

/// The server's first frame.
#[derive(Clone, Debug)]
pub struct ConnectResponse {
    pub protocol_version: i32,
    pub timeout: i32,
    pub session: i64,
    pub password: Vec<u8>,
    pub read_only: Option<bool>,
}

impl ConnectRequest {
    /// Asks for a new session.
    pub fn new(timeout: i32) -> Self {
        Self { timeout, password: vec![0; 16], ..Self::default() }
    }

    fn record(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.int(0);
        writer.long(self.last_zxid);
        writer.int(self.timeout);
        writer.long(self.session);
        writer.bytes(Some(&self.password));
        if !self.without_read_only {
            writer.bool(false);
        }
        writer.0
    }
}

impl ConnectResponse {
    fn read(frame: &[u8]) -> Option<Self> {
        let mut reader = Reader(frame);
        Some(Self {
            protocol_version: reader.int()?,
            timeout: reader.int()?,
            session: reader.long()?,
            password: reader.buffer()??.to_vec(),
            read_only: reader.bool(),
        })
    }
}

/// What comes from a server.
#[derive(Debug)]
pub enum Received {
    Frame(Vec<u8>),
    /// The server closed the connection.
    Closed,
    /// Nothing came within [`PATIENCE`].
    Silence,
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects, without sending anything.
    pub async fn open(address: &str) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.expect("a connection in time");
        let stream = stream.unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).expect("a socket option");
        Self(BufReader::new(stream))
    }

    /// Exchanges the connect frames; the error is what came instead of a response.
    pub async fn connect(&mut self, request: &ConnectRequest) -> Result<ConnectResponse, Received> {
        self.send(&framed(&request.record())).await;
        match self.receive().await {
            Received::Frame(frame) => ConnectResponse::read(&frame).ok_or(Received::Frame(frame)),
            nothing => Err(nothing),
        }
    }

    /// Sends bytes. If the server has closed the connection, a later receive fails.
    pub async fn send(&mut self, bytes: &[u8]) {
        let sent = timeout(PATIENCE, self.0.get_mut().write_all(bytes)).await;
        let _ = sent.expect("a server that reads");
    }

    /// The next frame, without its length.
    pub async fn receive(&mut self) -> Received {
        match timeout(PATIENCE, self.frame()).await {
            Ok(Some(frame)) => Received::Frame(frame),
            Ok(None) => Received::Closed,
            Err(_) => Received::Silence,
        }
    }

    async fn frame(&mut self) -> Option<Vec<u8>> {
        let length = self.0.read_i32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).expect("the length of a frame")];
        self.0.read_exact(&mut frame).await.ok()?;
        Some(frame)
    }
}

/// A request, framed.
pub fn request(xid: i32, op_code: i32, body: &[u8]) -> Vec<u8> {
    framed(&[xid.to_be_bytes().as_slice(), &op_code.to_be_bytes(), body].concat())
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes(Some(bytes));
    writer.0
}
