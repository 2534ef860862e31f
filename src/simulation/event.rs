//! The events of a run, which the queue of the [world](super::world) keeps in the order of their instants.

use std::time::Duration;

use super::messages::Message;
use super::network::{Down, Up};
use super::time::Instant;
use super::triggers::{Confinement, TriggeredFault};
use zookeeper_embedded::replica::ConnectionId;

/// An event. A `life` is the number of a start: events of an earlier start are ignored.
#[derive(Debug)]
pub(super) enum WorldEvent {
    /// A packet from a client arrives at its server.
    PacketAtServer(ConnectionId, Up),
    /// A packet from a server arrives at its client.
    PacketAtClient(ConnectionId, Down),
    /// A message from one server arrives at another.
    ServerMessage { from: usize, to: usize, sent: Instant, message: Message },
    /// Half a tick of a server has passed.
    HalfTick { server: usize, life: u32 },
    /// A server reads the packets that a client sent while the server was paused.
    ReadSocket { server: usize, life: u32, connection: ConnectionId },
    /// A server passes the requests in its queue on again.
    ReleaseQueue { server: usize },
    /// An application decides whether it wants to lead. With `again`, it decides again later.
    Decide { process: usize, life: u32, contender: usize, again: bool },
    /// A fault is drawn and injected.
    Fault,
    /// The link from one server to another is cut.
    CutLink { from: usize, to: usize },
    /// The server of this connection is isolated from the other servers.
    IsolateServer(ConnectionId),
    /// A connection breaks.
    BreakConnection(ConnectionId),
    /// A process can reach one server only.
    Confine { process: usize, confinement: Confinement },
    /// The process of this connection is paused with a reply unread, the connection ends, and the process connects to
    /// another server.
    PauseAndMove(ConnectionId, Duration),
    /// The leader server is killed, and the process of this connection reaches no server.
    LoseLeader(ConnectionId),
    /// Packets from a process are delayed until its session is about to expire.
    DelayToExpiry { process: usize },
    /// Servers receive nothing from a process.
    Silence { process: usize },
    /// The server of a process is isolated from the other servers, and the process stays connected to it.
    IsolateServerOf { process: usize },
    /// A process receives nothing.
    BlockReplies { process: usize },
    /// A process and a server can no longer reach each other.
    BlockServer { process: usize, server: usize },
    /// The applications of a process resign, or withdraw.
    Resign { process: usize },
    /// A process is paused.
    Pause { process: usize, duration: Duration },
    /// A fault is armed for a process, and happens at its trigger.
    Arm { process: usize, fault: TriggeredFault },
    /// A fault ends.
    Recover(Recovery),
    /// The end conditions are checked.
    CheckSettled,
}

/// The end of a fault.
#[derive(Debug)]
pub(super) enum Recovery {
    StartProcess { process: usize },
    ResumeProcess { process: usize },
    StartServer { server: usize },
    ResumeServer { server: usize, life: u32 },
    MendLink { from: usize, to: usize },
}
