//! Faults that wait for a trigger: a certain request of a process reaches a server, or a server sends a certain reply.

use std::time::Duration;

use super::time::Instant;
use zookeeper_embedded::replica::{Action, Body, Code, Request, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TriggeredFault {
    /// The connection breaks before the next create reaches the server.
    LoseCreate,
    /// The connection breaks when the next request of this kind is answered.
    LoseReplyTo(RequestKind),
    /// The connection breaks when the next request is answered.
    LoseReply,
    /// The process is paused when its next request reaches the server.
    PauseOnRequest(Duration),
    /// The server is isolated from the other servers when it answers the next transaction.
    IsolateServerOnCommit,
    /// The server is paused when the next request of this kind reaches it, and reads the request only after the pause.
    PauseServerOn(RequestKind, Duration),
    /// The next request of this kind is lost, or its reply, or neither, and the process reaches one server only.
    ConfineOn(RequestKind, Confinement),
    /// The same, when the next request is answered.
    ConfineOnReply(Confinement),
    /// The process is paused with the reply to its next stat of a contender's znode unread, and the connection ends.
    PauseAndMoveOnStat(Duration),
    /// The leader server is killed when the next transaction is answered, and the process reaches no server.
    LoseLeaderOnCommit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    Create,
    Removal,
    GuardedWrite,
    Other,
}

/// The only server that a process reaches for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Confinement {
    pub(super) server: usize,
    pub(super) until: Instant,
    /// The packet that is lost when it begins.
    pub(super) lost: LostPacket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LostPacket {
    Request,
    Reply,
    Neither,
}

/// A moment at which a fault may fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    Request(RequestKind),
    /// A transaction has committed.
    Committed,
    /// A reply shows that a contender's znode exists.
    ZnodeShown,
    /// Any other reply.
    OtherReply,
}

/// The armed faults of one process.
#[derive(Debug, Default)]
pub(super) struct ArmedFaults {
    set: Vec<TriggeredFault>,
}

impl RequestKind {
    /// The kind of a request, by its operations.
    pub(super) fn of(request: &Request) -> Self {
        let writes = match request {
            Request::Write(write) => std::slice::from_ref(write),
            Request::Multi(writes) => writes,
            _ => return Self::Other,
        };
        let any = |does: fn(&Action) -> bool| writes.iter().any(|Write { action, .. }| does(action));
        if any(|action| matches!(action, Action::Create { .. })) {
            Self::Create
        } else if any(|action| matches!(action, Action::Delete { .. })) {
            Self::Removal
        } else if any(|action| matches!(action, Action::SetData { .. })) {
            Self::GuardedWrite
        } else {
            Self::Other
        }
    }
}

impl Trigger {
    pub(super) fn of(result: &Result<Body, Code>) -> Self {
        match result {
            Ok(Body::Multi(_)) => Self::Committed,
            Ok(Body::Stat(stat)) if stat.ephemeral_owner != 0 => Self::ZnodeShown,
            _ => Self::OtherReply,
        }
    }
}

impl ArmedFaults {
    pub(super) fn set(&mut self, fault: TriggeredFault) {
        self.set.push(fault);
    }

    /// Takes out the fault that fires at this moment, if any.
    pub(super) fn fire(&mut self, moment: Trigger) -> Option<TriggeredFault> {
        if let Trigger::Request(kind) = moment {
            // From now on, these faults wait for the next reply.
            for fault in &mut self.set {
                match *fault {
                    TriggeredFault::LoseReplyTo(it) if it == kind => *fault = TriggeredFault::LoseReply,
                    TriggeredFault::ConfineOn(it, confinement)
                        if it == kind && confinement.lost != LostPacket::Request =>
                    {
                        *fault = TriggeredFault::ConfineOnReply(confinement)
                    }
                    _ => {}
                }
            }
        }
        let asked = matches!(moment, Trigger::Request(_));
        let springs = |fault: &TriggeredFault| match fault {
            TriggeredFault::LoseCreate => moment == Trigger::Request(RequestKind::Create),
            TriggeredFault::PauseServerOn(kind, _) | TriggeredFault::ConfineOn(kind, _) => {
                moment == Trigger::Request(*kind)
            }
            TriggeredFault::PauseOnRequest(_) => asked,
            TriggeredFault::LoseReply | TriggeredFault::ConfineOnReply(_) => !asked,
            TriggeredFault::IsolateServerOnCommit | TriggeredFault::LoseLeaderOnCommit => {
                moment == Trigger::Committed
            }
            TriggeredFault::PauseAndMoveOnStat(_) => moment == Trigger::ZnodeShown,
            TriggeredFault::LoseReplyTo(_) => false,
        };
        let at = self.set.iter().position(springs)?;
        Some(self.set.swap_remove(at))
    }
}
