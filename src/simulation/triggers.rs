//! Mishaps that wait for their moment in the life of a process: for a request that reaches a server, or for an answer.

use std::time::Duration;

use super::time::Instant;
use zookeeper_embedded::replica::{Action, Body, Code, Request, Write};

/// A mishap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trap {
    /// The connection breaks before the next create reaches the server.
    LoseCreate,
    /// The connection breaks when the next request of this kind is answered.
    LoseAnswerTo(Errand),
    /// The connection breaks when the next request is answered.
    LoseAnswer,
    /// The process stands still from the moment in which its next request reaches the server.
    PauseOnceAsked(Duration),
    /// The server is cut off from the others from the moment in which it answers the next transaction.
    CutOffOnceCommitted,
    /// The server stands still from the moment in which the next request of this kind reaches it, which it does not
    /// read before it goes on.
    StandStillAt(Errand, Duration),
    /// The next request of this kind is lost, or its answer, or neither, and the process reaches one server only.
    ExileAt(Errand, Exile),
    /// The same when the next request is answered.
    Exile(Exile),
    /// The process stands still with the answer to its next look at a contender's znode unread, and the connection ends.
    StrandOnceShown(Duration),
    /// The leader server dies when the next transaction is answered, and the process reaches nobody.
    BereaveOnceCommitted,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Create,
    Removal,
    Other,
}

/// The only server that a process reaches until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exile {
    pub(super) server: usize,
    pub(super) until: Instant,
    /// What is lost when it begins.
    pub(super) lost: Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Request,
    Answer,
    Nothing,
}

/// A moment in which a trap may spring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Asked(Errand),
    /// A transaction has committed.
    Committed,
    /// A contender's znode stands.
    Shown,
    /// Something else was answered.
    Answered,
}

/// The traps of one process.
#[derive(Debug, Default)]
pub(super) struct Traps {
    set: Vec<Trap>,
}

impl Errand {
    /// What a request is for, as far as that can be seen.
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
        } else {
            Self::Other
        }
    }
}

impl Moment {
    /// What an answer tells.
    pub(super) fn of(result: &Result<Body, Code>) -> Self {
        match result {
            Ok(Body::Multi(_)) => Self::Committed,
            Ok(Body::Stat(stat)) if stat.ephemeral_owner != 0 => Self::Shown,
            _ => Self::Answered,
        }
    }
}

impl Traps {
    pub(super) fn set(&mut self, trap: Trap) {
        self.set.push(trap);
    }

    /// The trap that springs at this moment, if any.
    pub(super) fn spring(&mut self, moment: Moment) -> Option<Trap> {
        if let Moment::Asked(errand) = moment {
            // What is asked next waits for this answer.
            for trap in &mut self.set {
                match *trap {
                    Trap::LoseAnswerTo(it) if it == errand => *trap = Trap::LoseAnswer,
                    Trap::ExileAt(it, exile) if it == errand && exile.lost != Lost::Request => {
                        *trap = Trap::Exile(exile)
                    }
                    _ => {}
                }
            }
        }
        let asked = matches!(moment, Moment::Asked(_));
        let springs = |trap: &Trap| match trap {
            Trap::LoseCreate => moment == Moment::Asked(Errand::Create),
            Trap::StandStillAt(errand, _) | Trap::ExileAt(errand, _) => moment == Moment::Asked(*errand),
            Trap::PauseOnceAsked(_) => asked,
            Trap::LoseAnswer | Trap::Exile(_) => !asked,
            Trap::CutOffOnceCommitted | Trap::BereaveOnceCommitted => moment == Moment::Committed,
            Trap::StrandOnceShown(_) => moment == Moment::Shown,
            Trap::LoseAnswerTo(_) => false,
        };
        let at = self.set.iter().position(springs)?;
        Some(self.set.swap_remove(at))
    }
}
