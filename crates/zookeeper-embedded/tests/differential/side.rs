//! One of the two servers, and the clients' connections to it.

use std::collections::HashMap;
use std::mem;

use crate::answers::{self, Answer, Event, Frame, UNDECODABLE};
use crate::operations::Operation;
use crate::wire::{ConnectRequest, ConnectResponse, Connection, Received, request};
use testkit::OpCode;

/// One thing that one client does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Connects and asks for a session, which gets the next number.
    Open { timeout: i32 },
    /// Connects and asks for a session again. If the client has a connection the server must close it.
    Attach { session: usize, last_zxid: i64, right_password: bool },
    /// Closes the connection without a word.
    Drop,
    /// Sends requests without waiting for replies in between.
    Requests(Vec<Operation>),
    /// Closes the session.
    Close,
}

/// What was noticed on a connection, in the order in which it came.
#[derive(Clone, Debug)]
pub struct Entry {
    pub client: usize,
    pub text: String,
    pub news: News,
}

/// What an [`Entry`] means.
#[derive(Clone, Debug)]
pub enum News {
    /// The answer to the request with this index in the step.
    Answer(usize, Answer),
    Event(Event),
    /// The client has a session and a connection.
    Connected,
    /// The connection has ended.
    Closed,
    /// A reply that only says that all events before it have come.
    Ping,
}

/// A server and the connections to it.
#[derive(Debug)]
pub struct Side {
    pub name: &'static str,
    address: String,
    connections: Vec<Option<Connection>>,
    sessions: Vec<ConnectResponse>,
    /// The numbers of the sessions, by their ids.
    numbers: HashMap<i64, usize>,
    entries: Vec<Entry>,
}

impl Side {
    pub fn new(name: &'static str, address: String, clients: usize) -> Self {
        let connections = (0..clients).map(|_| None).collect();
        Self { name, address, connections, sessions: vec![], numbers: HashMap::new(), entries: vec![] }
    }

    /// Carries out a step and returns what came of it, on the client's own connection and then on the others.
    pub async fn carry_out(&mut self, client: usize, xid: i32, step: &Step) -> Vec<Entry> {
        match step {
            Step::Open { timeout } => self.open(client, &ConnectRequest::new(*timeout)).await,
            Step::Attach { session, last_zxid, right_password } => {
                let ConnectResponse { timeout, session, mut password, .. } = self.sessions[*session].clone();
                password[0] ^= u8::from(!right_password);
                let request = ConnectRequest {
                    last_zxid: *last_zxid,
                    timeout,
                    session,
                    password,
                    without_read_only: false,
                };
                self.open(client, &request).await;
            }
            Step::Drop => self.connections[client] = None,
            Step::Requests(operations) => self.request(client, xid, operations).await,
            Step::Close => {
                self.request(client, xid, &[Operation::Bare { code: OpCode::CLOSE }]).await;
                self.end(client).await;
            }
        }
        self.collect_events(client, xid).await;
        let mut entries = mem::take(&mut self.entries);
        if matches!(step, Step::Close) {
            sort_events(&mut entries);
        }
        entries
    }

    async fn open(&mut self, client: usize, request: &ConnectRequest) {
        let mut connection = Connection::open(&self.address).await;
        let response = connection.connect(request).await;
        if self.connections[client].is_some() {
            self.end(client).await;
        }
        match response {
            Ok(response) => {
                let ConnectResponse { protocol_version, timeout, session, ref password, read_only } =
                    response;
                let number = self.number_of(&response);
                let text = format!(
                    "connected: protocol {protocol_version} timeout {timeout} {number} \
                     password of {} bytes read-only {read_only:?}",
                    password.len()
                );
                self.connections[client] = Some(connection);
                if session == 0 {
                    self.note(client, text, News::Closed);
                    self.end(client).await;
                } else {
                    self.note(client, text, News::Connected);
                }
            }
            Err(received) => self.note(client, format!("not connected: {received:?}"), News::Closed),
        }
    }

    /// What a connect response's session is called; numbers it if it is new.
    fn number_of(&mut self, response: &ConnectResponse) -> String {
        if response.session == 0 {
            return "no session".to_owned();
        }
        let next = self.sessions.len();
        let number = *self.numbers.entry(response.session).or_insert(next);
        if number == next {
            self.sessions.push(response.clone());
        } else if response.password != self.sessions[number].password {
            return format!("session {number} with another password");
        }
        format!("session {number}")
    }

    /// Sends requests, as many at a time as may be, and receives until all of them are answered.
    async fn request(&mut self, client: usize, xid: i32, operations: &[Operation]) {
        let together = |a: &Operation, b: &Operation| !a.is_solitary() && !b.is_solitary();
        let mut index = 0;
        for operations in operations.chunk_by(together) {
            let mut bytes = Vec::new();
            for (operation, xid) in operations.iter().zip(xid + to_int(index)..) {
                bytes.extend(request(xid_of(operation, xid), operation.code().0, &operation.body()));
            }
            if let Some(connection) = &mut self.connections[client] {
                connection.send(&bytes).await;
            }
            for operation in operations {
                let Some(answer) = self.reply(client, operation).await else {
                    return;
                };
                let refused = operation.code() == OpCode::AUTH && answer.error != 0;
                self.note(client, answer.text.clone(), News::Answer(index, answer));
                index += 1;
                if refused {
                    return self.end(client).await;
                }
            }
        }
    }

    /// Sends a ping on all connections but one. Events come before the answer to a later request.
    async fn collect_events(&mut self, except: usize, xid: i32) {
        let ping = Operation::Bare { code: OpCode::PING };
        let bytes = request(xid, ping.code().0, &[]);
        let others = (0..self.connections.len()).filter(|client| *client != except);
        for client in others.clone() {
            if let Some(connection) = &mut self.connections[client] {
                connection.send(&bytes).await;
            }
        }
        for client in others {
            if let Some(answer) = self.reply(client, &ping).await {
                self.note(client, format!("ping {}", answer.text), News::Ping);
            }
        }
    }

    /// The next reply on the client's connection. Notes the events before it, or how the connection ends.
    async fn reply(&mut self, client: usize, operation: &Operation) -> Option<Answer> {
        loop {
            let received = self.connections[client].as_mut()?.receive().await;
            let Received::Frame(bytes) = &received else {
                self.connections[client] = None;
                self.note(client, format!("the connection: {received:?}"), News::Closed);
                return None;
            };
            match answers::frame(bytes) {
                Some(Frame::Reply(reply)) => {
                    let owners = |session: i64| match self.numbers.get(&session) {
                        Some(number) => format!("session {number}"),
                        None => format!("{session:#x}"),
                    };
                    return Some(reply.answer(operation, &owners));
                }
                Some(Frame::Event(event)) => self.note(client, event.text.clone(), News::Event(event)),
                None => {
                    self.connections[client] = None;
                    self.note(client, format!("{UNDECODABLE} {bytes:02x?}"), News::Closed);
                    return None;
                }
            }
        }
    }

    /// Receives the end of the client's connection, which must come without a further frame.
    async fn end(&mut self, client: usize) {
        if let Some(mut connection) = self.connections[client].take() {
            let received = connection.receive().await;
            self.note(client, format!("the connection: {received:?}"), News::Closed);
        }
    }

    fn note(&mut self, client: usize, text: String, news: News) {
        self.entries.push(Entry { client, text, news });
    }
}

fn to_int(index: usize) -> i32 {
    i32::try_from(index).expect("a short run")
}

/// The xid that clients use for such a request: some have their own.
fn xid_of(operation: &Operation, xid: i32) -> i32 {
    match operation.code() {
        OpCode::AUTH => -4,
        OpCode::SET_WATCHES | OpCode::SET_WATCHES2 => -8,
        _ => xid,
    }
}

/// Sorts the events that came without anything in between: the nodes of a session that ends are deleted in the order
/// of a hash table.
pub fn sort_events(entries: &mut [Entry]) {
    let is_event = |entry: &Entry| matches!(entry.news, News::Event(_));
    for run in entries.chunk_by_mut(|a, b| is_event(a) && is_event(b) && a.client == b.client) {
        run.sort_by(|a, b| a.text.cmp(&b.text));
    }
}
