//! The ways to connect, and how connections and sessions end.

use crate::answers::{self, Frame};
use crate::lists::OPEN;
use crate::operations::Operation;
use crate::servers::Servers;
use crate::wire::{ConnectRequest, ConnectResponse, Connection, Received, Writer, request};
use testkit::OpCode;

/// A session timeout that does not end during the test: an expiry takes a zxid.
const LONG: i32 = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_and_sessions_begin_and_end_as_with_zookeeper() {
    let servers = Servers::start().await;
    let [(left, a), (right, b)] = servers.addresses();
    macro_rules! compare {
        ($($scenario:ident,)*) => {$(
            let (of_left, of_right) = tokio::join!($scenario(&a), $scenario(&b));
            let what = stringify!($scenario);
            assert_eq!(of_left, of_right, "{what}: {left} and {right}");
        )*};
    }
    compare! {
        timeouts_are_negotiated,
        sessions_are_refused,
        clients_are_old,
        requests_are_not_implemented,
        requests_cannot_be_read,
        a_session_expires,
    }
}

async fn timeouts_are_negotiated(address: &str) -> Vec<String> {
    let mut log = Vec::new();
    for timeout in [i32::MIN, -1, 0, 1999, 2000, 5000, 20_000, 20_001, i32::MAX] {
        let mut guest = Guest::connect(address, &ConnectRequest::new(timeout)).await;
        guest.call(&Operation::Bare { code: OpCode::CLOSE }).await;
        log.extend(guest.until_closed().await);
    }
    log
}

async fn sessions_are_refused(address: &str) -> Vec<String> {
    let mut guest = Guest::connect(address, &ConnectRequest::new(LONG)).await;
    let ConnectResponse { session, password, .. } = guest.session();
    let again = ConnectRequest { session, password, ..ConnectRequest::new(LONG) };
    let mut log = Vec::new();
    let refused = [
        ConnectRequest { session: 1, ..again.clone() },
        ConnectRequest { password: vec![1; 16], ..again.clone() },
        ConnectRequest { password: vec![], ..again.clone() },
        ConnectRequest { last_zxid: i64::MAX, ..again.clone() },
    ];
    for request in &refused {
        log.extend(Guest::connect(address, request).await.until_closed().await);
    }
    // The session is still alive, but its old connection is closed.
    log.extend(guest.until_closed().await);
    guest = Guest::connect(address, &again).await;
    guest.call(&Operation::Bare { code: OpCode::CLOSE }).await;
    log.extend(guest.until_closed().await);
    log.extend(Guest::connect(address, &again).await.until_closed().await);
    log
}

async fn clients_are_old(address: &str) -> Vec<String> {
    let request = ConnectRequest { without_read_only: true, ..ConnectRequest::new(LONG) };
    let mut guest = Guest::connect(address, &request).await;
    guest.call(&Operation::Bare { code: OpCode::PING }).await;
    guest.call(&Operation::Bare { code: OpCode::CLOSE }).await;
    guest.until_closed().await
}

async fn requests_are_not_implemented(address: &str) -> Vec<String> {
    let mut log = Vec::new();
    for code in [0, 2000, 22_000, 99, 108, -2, i32::MIN].map(OpCode) {
        let mut guest = Guest::connect(address, &ConnectRequest::new(LONG)).await;
        guest.call(&Operation::Bare { code }).await;
        log.extend(guest.until_closed().await);
    }
    let mut guest = Guest::connect(address, &ConnectRequest::new(LONG)).await;
    let mut nulls = Writer::default();
    (0..3).for_each(|_| nulls.bytes(None));
    nulls.long(-1);
    guest.send(OpCode::RECONFIG, &nulls.0).await;
    guest.reply_to(&Operation::Bare { code: OpCode::RECONFIG }).await;
    guest.call(&Operation::Bare { code: OpCode::CLOSE }).await;
    log.extend(guest.until_closed().await);
    log
}

async fn requests_cannot_be_read(address: &str) -> Vec<String> {
    let mut log = Vec::new();
    let too_long = 0x10_0000_i32.to_be_bytes().to_vec();
    let negative = (-1_i32).to_be_bytes().to_vec();
    let half_a_header = [4_i32.to_be_bytes(), 1_i32.to_be_bytes()].concat();
    let half_an_auth = request(-4, OpCode::AUTH.0, &[0; 6]);
    for bytes in [too_long, negative, half_a_header, half_an_auth] {
        let mut guest = Guest::connect(address, &ConnectRequest::new(LONG)).await;
        if let Some(connection) = &mut guest.connection {
            connection.send(&bytes).await;
        }
        log.extend(guest.until_closed().await);
    }
    let mut connection = Connection::open(address).await;
    connection.send(&[4_i32.to_be_bytes(), [0; 4]].concat()).await;
    log.push(format!("{:?}", connection.receive().await));
    log
}

async fn a_session_expires(address: &str) -> Vec<String> {
    let mut log = Vec::new();
    let mut silent = Guest::connect(address, &ConnectRequest::new(2000)).await;
    let mut other = Guest::connect(address, &ConnectRequest::new(20_000)).await;
    let create = |path: &str, flags| Operation::Create {
        code: OpCode::CREATE,
        path: path.to_owned(),
        data: None,
        acl: OPEN(),
        flags,
        ttl: 0,
    };
    let read = |code, path: &str| Operation::Read { code, path: path.to_owned(), watch: true };
    silent.call(&create("/expiring", 0)).await;
    for number in 0..5 {
        silent.call(&create("/expiring/node-", 3)).await;
        other.call(&read(OpCode::EXISTS, &format!("/expiring/node-000000000{number}"))).await;
    }
    other.call(&read(OpCode::GET_CHILDREN, "/expiring")).await;
    let ConnectResponse { session, password, .. } = silent.session();
    log.extend(silent.until_closed().await);

    // The nodes are deleted in the order of a hash table.
    let before = other.log.len();
    other.call(&Operation::Bare { code: OpCode::PING }).await;
    other.log[before..].sort();
    other.call(&read(OpCode::GET_CHILDREN2, "/expiring")).await;
    let again = ConnectRequest { session, password, ..ConnectRequest::new(LONG) };
    log.extend(Guest::connect(address, &again).await.until_closed().await);
    other.call(&Operation::Bare { code: OpCode::CLOSE }).await;
    log.extend(other.until_closed().await);
    log
}

/// A connection, and what came over it.
#[derive(Debug)]
struct Guest {
    connection: Option<Connection>,
    response: Option<ConnectResponse>,
    log: Vec<String>,
}

impl Guest {
    async fn connect(address: &str, request: &ConnectRequest) -> Self {
        let mut connection = Connection::open(address).await;
        match connection.connect(request).await {
            Ok(response) => {
                let ConnectResponse { protocol_version, timeout, session, ref password, read_only } =
                    response;
                let log = format!(
                    "protocol {protocol_version} timeout {timeout} with a session: {} \
                     with a password: {} of {} bytes read-only {read_only:?}",
                    session != 0,
                    password.iter().any(|byte| *byte != 0),
                    password.len(),
                );
                Self { connection: Some(connection), response: Some(response), log: vec![log] }
            }
            Err(received) => Self { connection: None, response: None, log: vec![format!("{received:?}")] },
        }
    }

    fn session(&self) -> ConnectResponse {
        self.response.clone().expect("a connect response")
    }

    async fn call(&mut self, operation: &Operation) {
        self.send(operation.code(), &operation.body()).await;
        self.reply_to(operation).await;
    }

    async fn send(&mut self, code: OpCode, body: &[u8]) {
        if let Some(connection) = &mut self.connection {
            connection.send(&request(7, code.0, body)).await;
        }
    }

    /// Receives until there is a reply.
    async fn reply_to(&mut self, operation: &Operation) {
        while let Some(connection) = &mut self.connection {
            let received = connection.receive().await;
            let frame = match &received {
                Received::Frame(bytes) => answers::frame(bytes),
                _ => None,
            };
            match frame {
                Some(Frame::Event(event)) => self.log.push(event.text),
                Some(Frame::Reply(reply)) => {
                    let owners = |session| match &self.response {
                        Some(response) if response.session == session => "itself".to_owned(),
                        _ => "another".to_owned(),
                    };
                    let answer = reply.answer(operation, &owners);
                    return self.log.push(answer.text);
                }
                None => {
                    self.connection = None;
                    self.log.push(format!("{received:?}"));
                }
            }
        }
    }

    /// Receives until the server closes the connection, and returns everything that came.
    async fn until_closed(mut self) -> Vec<String> {
        while let Some(connection) = &mut self.connection {
            let received = connection.receive().await;
            if !matches!(received, Received::Frame(_)) {
                self.connection = None;
            }
            self.log.push(format!("{received:?}"));
        }
        self.log
    }
}
