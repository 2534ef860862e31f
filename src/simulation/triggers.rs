//! Faults that wait for a trigger: for a certain request of a process to reach a server, or for a certain reply.

use std::time::Duration;

use super::time::Instant;
use zookeeper_embedded::replica::{Action, Body, Code, Request, Write};

/// A mishap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TriggeredFault {
    /// The connection breaks before the next create reaches the server.
    LoseCreate,
    /// The connection breaks when the next request of this kind is answered.
    LoseReplyTo(RequestKind),
    /// The connection breaks when the next request is answered.
    LoseReply,
    /// The process stands still from the moment in which its next request reaches the server.
    PauseOnRequest(Duration),
    /// The server is cut off from the others from the moment in which it answers the next transaction.
    IsolateServerOnCommit,
    /// The server stands still from the moment in which the next request of this kind reaches it, which it does not
    /// read before it goes on.
    PauseServerOn(RequestKind, Duration),
    /// The next request of this kind is lost, or its answer, or neither, and the process reaches one server only.
    ConfineOn(RequestKind, Confinement),
    /// The same when the next request is answered.
    ConfineOnReply(Confinement),
    /// The process stands still with the answer to its next look at a contender's znode unread, and the connection ends.
    PauseAndMoveOnStat(Duration),
    /// The leader server dies when the next transaction is answered, and the process reaches nobody.
    LoseLeaderOnCommit,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    Create,
    Removal,
    GuardedWrite,
    Other,
}

/// The only server that a process reaches until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Confinement {
    pub(super) server: usize,
    pub(super) until: Instant,
    /// What is lost when it begins.
    pub(super) lost: LostPacket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LostPacket {
    Request,
    Reply,
    Neither,
}

/// A moment in which a fault may fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    Request(RequestKind),
    /// A transaction has committed.
    Committed,
    /// A contender's znode stands.
    ZnodeShown,
    /// Something else was answered.
    OtherReply,
}

/// The armed faults of one process.
#[derive(Debug, Default)]
pub(super) struct ArmedFaults {
    set: Vec<TriggeredFault>,
}

impl RequestKind {
    /// The kind of a request, seen from its operations.
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
    /// What an answer tells.
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

    /// The fault that springs at this moment, if any.
    pub(super) fn fire(&mut self, moment: Trigger) -> Option<TriggeredFault> {
        if let Trigger::Request(kind) = moment {
            // What is asked next waits for this answer.
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
