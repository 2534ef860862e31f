//! The machine's inputs and outputs: events, actions, requests and replies.

use crate::error::{Error, Failure, Lost};
use crate::lease::Lease;
use crate::timestamp::Timestamp;
use crate::types::Standing;
use crate::znode::Node;

/// An input: what happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The application wants to lead.
    Campaign,
    /// The application ends its campaign or leadership, for this reason.
    Withdraw(Lost),
    /// There is a connection: on the same ZooKeeper session as before, or on a new one after [`Event::SessionLost`]. If there
    /// was a connection already, [`Event::Suspended`] comes first.
    Connected,
    /// The connection is lost. The session may still exist.
    Suspended,
    /// The session is over. With `reopening`, another will follow.
    SessionLost { reopening: bool },
    /// The reply to an [`Action::Ask`].
    Reply(Ticket, Reply),
    /// A proof: a transaction of the session has committed that was sent at `sent` or later, and grants this lease. Watch
    /// events that arrived before its answer have to be fed first.
    Proven { sent: Timestamp, lease: Lease },
    /// The session timeout has become shorter: no lease is valid for longer than this one.
    Shortened(Lease),
    /// The watch on the own znode fired. `deleted`: the event says that the znode was deleted.
    OwnChanged { deleted: bool },
    /// The watch on the znode ahead fired, with any event.
    AheadChanged,
    /// The time that [`Machine::poll_timeout`](super::Machine::poll_timeout) named has come.
    Tick,
}

/// An output: what the driver has to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send this request, and feed its reply with the ticket. At most two are pending at a time, not counting requests from
    /// before a reconnection.
    Ask(Ticket, Request),
    /// Drop both watches. (After a lost session, they are dropped without this action.)
    Unwatch,
    /// Leadership begins on this znode, with this lease.
    Lead(Node, Lease),
    /// The leadership's lease is now this longer one.
    Extend(Lease),
    /// The leadership's lease is now this shorter one.
    Shorten(Lease),
    /// This znode is gone for certain. Release the claim on it.
    Forget(Node),
    /// Leadership ends, for this reason.
    StepDown(Lost),
    /// The campaign ends with this error. The znode, if there is one, is being removed.
    GiveUp(Error),
    /// The znode could not be removed. The removal will be repeated.
    RemovalFailed(Error),
    /// A znode may be left that this machine will not remove. It goes with its session.
    Left(Error),
    /// The contender's standing has changed. `Idle`: none of its znodes is left to remove.
    Report(Standing),
}

/// The machine wants the session to be proven at each beat.
#[derive(Debug)]
pub(crate) struct ProofDemand<'a> {
    /// The own znode. Proofs can check it.
    pub(crate) node: &'a Node,
    /// The machine is waiting for the first proof, so it should be sent at once.
    pub(crate) at_once: bool,
}

/// Identifies a request. Its reply has the same ticket. Each ticket is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) u64);

/// A request to ZooKeeper.
#[derive(Debug)]
pub(crate) enum Request {
    /// Create the contender's znode. Reply: [`Reply::Created`].
    Create,
    /// Create the missing parents of the znode. Reply: [`Reply::ParentsCreated`].
    CreateParents,
    /// Make sure that the create with this ticket, whose outcome is unknown, can no longer be carried out, and find the
    /// znodes that it left. Reply: [`Reply::Found`].
    FindOwn(Ticket),
    /// List the directory. Reply: [`Reply::Listed`].
    List,
    /// Read the own znode and set a watch, which replaces the previous one. Reply: [`Reply::Watched`].
    WatchOwn(Node),
    /// Read the znode ahead and set a watch, which replaces the previous one. Reply: [`Reply::Watched`].
    WatchAhead(String),
    /// Delete the own znode. With `verify`, only after a check that it is still the same znode. (In master mode the delete
    /// itself always checks that.) Reply: [`Reply::Removed`].
    Remove { node: Node, verify: bool },
}

/// The reply to a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// With the lease that the create grants.
    Created(Result<(Node, Lease), Failure>),
    Found(Result<Vec<Node>, Failure>),
    Listed(Result<Vec<String>, Failure>),
    Watched(Result<Seen, Failure>),
    ParentsCreated(Result<(), Failure>),
    Removed(Result<(), Failure>),
}

/// What a read of a watched znode has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// There is no such znode, and no watch was set.
    Absent,
    /// Own znode: it exists. Znode ahead: an ephemeral znode exists.
    Present,
    /// Own znode: another znode has its name. Znode ahead: it is not ephemeral.
    Other,
    /// Znode ahead: an orphan, that is, a znode of this session that no contender of this process had claimed. It is claimed
    /// now, and has to be removed.
    Orphan(Node),
}
