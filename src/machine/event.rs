//! What goes into the machine and what comes out of it.

use crate::error::{Error, Failure, Lost};
use crate::lease::Lease;
use crate::timestamp::Timestamp;
use crate::types::Standing;
use crate::znode::Node;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The application wants to lead.
    Campaign,
    /// The application does not want to wait or lead any more, for this reason.
    Withdraw(Lost),
    /// A server answers, on the same ZooKeeper session as before or, after [`Event::SessionLost`], on another.
    /// A connection that replaces another is announced by [`Event::Suspended`].
    Connected,
    /// The connection broke. The session may live or not.
    Suspended,
    /// The session is over; `reopening` tells whether there will be another.
    SessionLost { reopening: bool },
    /// The answer to [`Action::Ask`].
    Reply(Ticket, Reply),
    /// A transaction of the session has committed that was sent at `sent` or later, and grants this lease. To be
    /// told after all events of watches that came before its answer.
    Proven { sent: Timestamp, lease: Lease },
    /// No lease is valid for longer than this one: the session timeout is shorter than was known.
    Shortened(Lease),
    /// The watch on the own znode fired; `deleted` if the event says so beyond doubt.
    OwnChanged { deleted: bool },
    /// The watch on the znode ahead fired, with whatever event.
    AheadChanged,
    /// The time that [`Machine::poll_timeout`](super::Machine::poll_timeout) named has come.
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send this request, and return its answer with the ticket. At most two are under way at a time, not
    /// counting those whose answers are still due from before a reconnection.
    Ask(Ticket, Request),
    /// Drop both watches. The loss of the session says the same by itself.
    Unwatch,
    /// Leadership begins, on this znode, and lasts for this lease.
    Lead(Node, Lease),
    /// Leadership lasts longer: for this lease.
    Extend(Lease),
    /// Leadership lasts no longer than this lease.
    Shorten(Lease),
    /// This znode is gone for certain: its name is not to be touched any more.
    Forget(Node),
    /// Leadership ends. To be carried out before anything else.
    StepDown(Lost),
    /// The campaign ends with this error. The znode, if there is one, is being removed.
    GiveUp(Error),
    /// The znode could not be removed. It is tried again.
    RemovalFailed(Error),
    /// A znode may be left that nobody removes any more: it goes with its session.
    Left(Error),
    /// Where the contender stands has changed. `Idle` says that no znode of it is left.
    Report(Standing),
}

/// The wish for transactions that prove the session, again and again.
#[derive(Debug)]
pub(crate) struct ProofDemand<'a> {
    /// The own znode, which they can check.
    pub(crate) node: &'a Node,
    /// The first one is waited for.
    pub(crate) at_once: bool,
}

/// Which request a reply belongs to. Each ticket is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) u64);

/// A request to ZooKeeper.
#[derive(Debug)]
pub(crate) enum Request {
    /// Create the contender's znode. Answer: [`Reply::Created`].
    Create,
    /// Create the missing parents of the znode. Answer: [`Reply::ParentsCreated`].
    CreateParents,
    /// Find the znodes that an earlier create of unknown outcome left, once it cannot be carried out any more: the
    /// one with this ticket. Answer: [`Reply::Found`].
    FindOwn(Ticket),
    /// List the directory. Answer: [`Reply::Listed`].
    List,
    /// Look at the own znode and leave a watch, which replaces the former. Answer: [`Reply::Watched`].
    WatchOwn(Node),
    /// Look at the znode ahead and leave a watch, which replaces the former. Answer: [`Reply::Watched`].
    WatchAhead(String),
    /// Delete the own znode. With `verify`, only after having seen that it is still the same and ours; in master mode
    /// the delete itself sees to that. Answer: [`Reply::Removed`].
    Remove { node: Node, verify: bool },
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// With the lease that the create itself grants.
    Created(Result<(Node, Lease), Failure>),
    Found(Result<Vec<Node>, Failure>),
    Listed(Result<Vec<String>, Failure>),
    Watched(Result<Seen, Failure>),
    ParentsCreated(Result<(), Failure>),
    Removed(Result<(), Failure>),
}

/// What a watched znode is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No such znode. No watch was left.
    Absent,
    /// The znode that the request named, or (for the one ahead) an ephemeral one.
    Present,
    /// Something else has the name. Asked for the own znode: another one. Asked for the one ahead: a znode that
    /// is not ephemeral.
    Other,
    /// Asked for the one ahead: a znode of this very session that nobody in this process answered for, and that was
    /// claimed now.
    Orphan(Node),
}
