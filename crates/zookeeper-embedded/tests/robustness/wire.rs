//! Frames made by hand, a client that sends them, and what the server says about itself.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest frame that a client may send.
pub(crate) const LONGEST: usize = 1_048_575;
/// How long an answer may take before it is missed.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

pub(crate) const CREATE: i32 = 1;
pub(crate) const EXISTS: i32 = 3;
pub(crate) const GET_DATA: i32 = 4;
pub(crate) const SET_DATA: i32 = 5;
pub(crate) const SET_ACL: i32 = 7;
pub(crate) const GET_CHILDREN: i32 = 8;
pub(crate) const PING: i32 = 11;
pub(crate) const MULTI: i32 = 14;
pub(crate) const MULTI_READ: i32 = 22;
pub(crate) const SET_WATCHES: i32 = 101;
pub(crate) const ADD_WATCH: i32 = 106;
pub(crate) const CLOSE_SESSION: i32 = -11;

/// A record under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(pub(crate) Vec<u8>);

impl Record {
    pub(crate) fn int(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn long(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn bool(mut self, value: bool) -> Self {
        self.0.push(u8::from(value));
        self
    }

    pub(crate) fn bytes(self, value: &[u8]) -> Self {
        let mut record = self.int(i32::try_from(value.len()).expect("a short string"));
        record.0.extend(value);
        record
    }

    pub(crate) fn string(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    /// One entry of an access control list.
    pub(crate) fn acl_entry(self, permissions: i32, scheme: &str, id: &str) -> Self {
        self.int(permissions).string(scheme).string(id)
    }

    /// An access control list that permits everything to everybody.
    pub(crate) fn open_acl(self) -> Self {
        self.int(1).acl_entry(31, "world", "anyone")
    }
}

/// These bytes after their length.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    Record::default().bytes(body).0
}

pub(crate) fn request(xid: i32, op_code: i32, record: &[u8]) -> Vec<u8> {
    let header = Record::default().int(xid).int(op_code).0;
    frame(&[&header, record].concat())
}

/// Asks for a new session.
pub(crate) fn connect_request(session_timeout: i32) -> Vec<u8> {
    frame(&Record::default().int(0).long(0).int(session_timeout).long(0).bytes(&[0; 16]).bool(false).0)
}

/// A client that sends whatever it is told to, and reads only when it is told to.
#[derive(Debug)]
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// Opens a connection, and says nothing.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    /// Opens a connection and a session.
    pub(crate) async fn connect(address: SocketAddr, session_timeout: Duration) -> Self {
        let mut raw = Self::open(address).await;
        let session_timeout = i32::try_from(session_timeout.as_millis()).expect("a short timeout");
        raw.send(&connect_request(session_timeout)).await;
        raw.receive().await.expect("a session");
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sending = timeout(LIMIT, self.0.write_all(bytes)).await;
        sending.expect("room for what is sent").expect("an open connection");
    }

    /// The next frame, or how the connection ended.
    pub(crate) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let receiving = async {
            let length = self.0.read_i32().await?;
            let mut frame = vec![0; usize::try_from(length).expect("a length")];
            self.0.read_exact(&mut frame).await?;
            Ok(frame)
        };
        timeout(LIMIT, receiving).await.expect("a frame, or the end of the connection")
    }

    /// The number and the error code of the next reply.
    pub(crate) async fn reply(&mut self) -> io::Result<(i32, i32)> {
        let reply = self.receive().await?;
        let int = |at: usize| i32::from_be_bytes(reply[at..at + 4].try_into().expect("four bytes"));
        Ok((int(0), int(12)))
    }

    /// Sends a request that has to succeed, and waits for the reply.
    pub(crate) async fn succeeds(&mut self, op_code: i32, record: Record) {
        self.send(&request(1, op_code, &record.0)).await;
        assert_eq!(self.reply().await.expect("a reply"), (1, 0), "op code {op_code}");
    }

    /// Waits until the server ends the connection, and reads what it sends before.
    pub(crate) async fn ends(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        // A reset is an end as well.
        let _ = timeout(LIMIT, self.0.read_to_end(&mut read)).await.expect("the end of the connection");
        read
    }
}

/// The answer to a four-letter word.
pub(crate) async fn word(address: SocketAddr, word: &str) -> String {
    let mut raw = Raw::open(address).await;
    raw.send(word.as_bytes()).await;
    String::from_utf8(raw.ends().await).expect("text")
}

/// The numbers in the answer to `mntr`.
pub(crate) async fn books(address: SocketAddr) -> HashMap<String, i64> {
    let answer = word(address, "mntr").await;
    let numbers = answer.lines().filter_map(|line| {
        let (key, value) = line.strip_prefix("zk_")?.split_once('\t')?;
        Some((key.to_owned(), value.parse().ok()?))
    });
    numbers.collect()
}

/// What of this process is in memory, in KiB.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).expect("VmRSS");
    number.parse().expect("VmRSS, a number")
}
