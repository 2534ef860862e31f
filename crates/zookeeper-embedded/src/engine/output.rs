//! The outputs of the engine: messages to connections.

use crate::engine::connection_id::ConnectionId;
use crate::engine::watches::EventSink;
use crate::protocol::reply::{ConnectResponse, Event, Reply};

/// A message to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) to: ConnectionId,
    pub(crate) message: Message,
}

/// A frame to send, or the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Connected(ConnectResponse),
    Reply(Reply),
    Event(Event),
    /// Close the connection after all earlier messages are sent.
    Close,
    /// Close the connection now, and drop the messages that are not sent yet.
    Cut,
}

/// A sink that appends watch events to `out`.
pub(super) fn event_sink(out: &mut Vec<Output>) -> impl EventSink {
    |to, kind, path| {
        let event = Event { kind, path: path.to_owned() };
        out.push(Output { to, message: Message::Event(event) });
    }
}
