//! Errors: [`Error`] says why a call failed, [`Lost`] why a leadership ended, and `Failure` why a request failed.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// The largest identity that a contender may publish, in bytes.
pub const MAX_IDENTITY_BYTES: usize = 64 * 1024;

/// An error of the application's, as a [`LeaderTask`](crate::LeaderTask) or [`Connect`](crate::Connect) returns it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a call failed.
///
/// Each message (`Display`) says what is wrong and what to do instead. Returned from `main`, an error shows its
/// `Debug` form: print it instead.
///
/// When a campaign has failed, the contender holds no place in the queue: its znode is being removed, or goes
/// with its session.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The list of servers cannot be read. Nothing was sent.
    #[error(
        "invalid connect string {given:?}: {reason}; write host:port[,host:port...][/chroot], \
         for example \"zk1:2181,zk2:2181,zk3:2181\""
    )]
    InvalidConnectString {
        /// The connect string.
        given: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The ZooKeeper client refuses the options of the session. Nothing was sent.
    #[error(
        "invalid options for the session: {reason}; with TLS, look at the certificate authority and the identity"
    )]
    InvalidOptions {
        /// What the client says.
        reason: String,
    },

    /// The application's own [`Connect`](crate::Connect) cannot open a session, whatever is tried.
    #[error("no ZooKeeper session can be opened: {source}")]
    Connect {
        /// Why.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },

    /// The session timeout is zero or beyond what ZooKeeper can express. Nothing was sent.
    #[error(
        "invalid session timeout {given:?}: it must lie between 1 ms and 2147483647 ms; the ensemble then moves \
         it into its own bounds, by default 2 to 20 ticks of the servers"
    )]
    InvalidSessionTimeout {
        /// The session timeout asked for.
        given: Duration,
    },

    /// The timeout of requests is zero. Nothing was sent.
    #[error("invalid request timeout 0: no answer would come in time; leave it out for the session timeout")]
    InvalidRequestTimeout,

    /// The margin of leases leaves either nothing of the lease or no room for clocks that differ. Nothing was sent.
    #[error(
        "invalid lease margin {given}: write a part of the session timeout between 0.05 and 0.4, or leave it out for \
         one sixth"
    )]
    InvalidLeaseMargin {
        /// The margin asked for.
        given: f64,
    },

    /// ZooKeeper does not accept the election's path. Nothing was sent.
    #[error(
        "invalid election path {path:?}: {reason}; write an absolute path, for example \"/app/leader_election\""
    )]
    InvalidPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The prefix of sequential znodes cannot be part of a znode's name. Nothing was sent.
    #[error("invalid node prefix {prefix:?}: {reason}; write a plain name, for example \"guid_\"")]
    InvalidNodePrefix {
        /// The prefix.
        prefix: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// ZooKeeper does not accept the path of the breadcrumb, or it is the election's own. Nothing was sent.
    #[error(
        "invalid breadcrumb path {path:?}: {reason}; write an absolute path beside the election's, for example \
         \"/app/leader_election_breadcrumb\""
    )]
    InvalidBreadcrumb {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// There is a fence and no breadcrumb that would tell it of an old leader. Nothing was sent.
    #[error("the fence would never be called: give the election the path of a `breadcrumb` as well")]
    FenceWithoutBreadcrumb,

    /// The identity is empty. Nothing was sent.
    #[error(
        "the identity is empty: name this contender so that others can reach it or tell it apart, for example \
         \"host-a:8080\", or leave the identity out to publish the host's name and the process id"
    )]
    EmptyIdentity,

    /// The identity is too long. Nothing was sent, because ZooKeeper closes the connection of a client that sends
    /// more than 1 MB.
    #[error(
        "the identity has {bytes} bytes, more than the {MAX_IDENTITY_BYTES} allowed: publish an address here and \
         keep the rest elsewhere"
    )]
    IdentityTooLong {
        /// The identity's length in UTF-8.
        bytes: usize,
    },

    /// The access control list is empty or has an entry that the ensemble does not accept.
    #[error(
        "the ensemble refused the ACL for {path}: it is empty, or names a scheme or id that the servers do not \
         know, or `auth` without credentials; check the builder's `acl` and the session's `auth`"
    )]
    InvalidAcl {
        /// The znode that was to be created.
        path: String,
    },

    /// The ensemble does not permit the operation to this session.
    #[error(
        "no permission to {operation} {path}: give the session credentials that the ACL admits, or have the ACL \
         extended (to create or delete a znode, that of its parent)"
    )]
    NotAuthorized {
        /// The operation: `create`, `list`, `read`, `write` or `delete`.
        operation: &'static str,
        /// The znode. To create and to delete one, it is the ACL of its parent that decides.
        path: String,
    },

    /// The ensemble rejected the credentials of the session.
    #[error(
        "the ensemble rejected the session's credentials: check the scheme and the secret given to the session"
    )]
    AuthenticationFailed,

    /// The connect string names a chroot that does not exist.
    #[error(
        "the chroot {chroot} does not exist: create it first (as `create {chroot}` in zkCli.sh), or leave it out \
         of the connect string"
    )]
    ChrootMissing {
        /// The chroot.
        chroot: String,
    },

    /// Something listens at the addresses given, and it is not ZooKeeper.
    #[error(
        "{address} does not speak ZooKeeper's client protocol: {answer}; check the port (2181 by default; not the \
         servers' election or quorum port, not the admin server's) and whether it expects TLS"
    )]
    NotZooKeeper {
        /// The address.
        address: String,
        /// What it did instead.
        answer: String,
    },

    /// No session was established within the time that the builder's `connect_timeout` allows.
    #[error("no ZooKeeper session after {waited:?}: {reason}")]
    ConnectTimeout {
        /// How long it was tried.
        waited: Duration,
        /// What the last attempt met.
        reason: String,
    },

    /// In master mode, a znode stands at the election's path that is no contender's: it is not ephemeral.
    #[error(
        "{path} is not an ephemeral znode, so that nobody can become master by creating it: choose another path \
         for master mode, or delete the znode"
    )]
    PathOccupied {
        /// The election's path.
        path: String,
    },

    /// In sequential mode, a znode that is not ephemeral has a contender's name, and stands before the contender's own.
    #[error(
        "{path} has a contender's name but is not ephemeral, so it never disappears by itself and no contender behind it can \
         lead: delete it (a tool that copies or restores znodes may have left it)"
    )]
    NotEphemeral {
        /// The znode.
        path: String,
    },

    /// The parent of the znodes is ephemeral, and ephemeral znodes have no children.
    #[error(
        "{path} is an ephemeral znode and cannot be the directory of an election: choose another path (it may be \
         the path of an election in master mode)"
    )]
    ParentEphemeral {
        /// The election's path.
        path: String,
    },

    /// The directory's counter of sequential znodes has reached its end, 2147483647: ZooKeeper would give out that
    /// number again and again. Or the next number's name is taken, by a znode that was restored, say.
    #[error(
        "the sequence counter of {path} is used up: move the election to another path, or delete {path} when no \
         contender is left (a new directory counts from 0)"
    )]
    SequenceExhausted {
        /// The election's directory.
        path: String,
    },

    /// The quota that was set on the path is used up.
    #[error("the quota of {path} is used up: raise it (`setquota` in zkCli.sh), or choose another path")]
    QuotaExceeded {
        /// The znode that was to be created.
        path: String,
    },

    /// The session watches so many paths that it would not survive a reconnection.
    ///
    /// A client registers all its watches anew after a reconnection, and does not survive it with more than
    /// about 128 KiB of paths. The limit is 100 KiB: a contender that waits watches two znodes, a leader and
    /// an observer one.
    #[error(
        "the session watches too many paths ({bytes} bytes of path names): open another session for further \
         elections"
    )]
    TooManyWatches {
        /// The bytes of path names that would be watched.
        bytes: usize,
    },

    /// The [fence](crate::Fence) has failed for the previous leader, which has not resigned. This contender has given up the
    /// leadership. The next leader fences the same previous leader.
    #[error(
        "the previous leader, {identity}, could not be fenced: {source}; this contender has given up the leadership. Make \
         sure that the previous leader no longer acts, then campaign again"
    )]
    FencingFailed {
        /// The identity of the previous leader.
        identity: String,
        /// What the fence says.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },

    /// The znode at the breadcrumb's path holds other data. The znode was not changed, and this contender has given up the
    /// leadership.
    #[error(
        "{path} holds data that is not a breadcrumb: choose another path, or delete the znode if it is not needed and no \
         former leader still acts"
    )]
    NoBreadcrumb {
        /// The breadcrumb's path.
        path: String,
    },

    /// The contender campaigns or leads already. Its place and its leadership are not touched.
    #[error(
        "this contender campaigns or leads already: use the campaign that is under way, or build another election \
         for a second contender"
    )]
    AlreadyCampaigning,

    /// The campaign was ended by [`withdraw`](crate::Election::withdraw).
    #[error("the campaign was withdrawn")]
    Withdrawn,

    /// The session was closed by [`close`](crate::Session::close), or all of its tasks have ended with their
    /// runtime.
    #[error("the session is closed: connect again")]
    SessionClosed,

    /// The ZooKeeper session is over and cannot be opened again, because the application brought its own
    /// client ([`from_client`](crate::Session::from_client)). The znodes go with the session. So it is with a client that
    /// began on a read-only server, where there are no sessions of the ensemble.
    #[error(
        "the ZooKeeper session is over (or began on a read-only server), and only the application can open another: \
         make a new client, and build the elections from it"
    )]
    SessionLost,

    /// A znode's removal is not confirmed: the ZooKeeper session ended meanwhile, the ensemble could not be reached, or the
    /// runtime of the session's tasks was shut down. The ensemble removes the znode with the session, within the session
    /// timeout; until then it stands in front of its successor.
    #[error("the removal of the contender's znode is not confirmed: it goes with the session at the latest")]
    RemovalUnconfirmed,

    /// The leadership is over, but its work (the future given to [`hold`](crate::Leadership::hold) or the
    /// [`LeaderTask`](crate::LeaderTask)) was not dropped in time, because it blocks its thread or nobody polls
    /// it. Its znode was removed all the same; or, by [`Session::close`](crate::Session::close), was left to expire
    /// with the session.
    #[error(
        "the leader's work is still running {waited:?} after its leadership has ended, and the next leader may begin: let \
         the work await regularly, or run its blocking parts in steps that check `is_valid()`; or set a longer `grace`"
    )]
    WorkContinues {
        /// How long the work was waited for.
        waited: Duration,
    },

    /// The contender's task panicked, by a fault of this crate or of what the application has plugged into it (a
    /// `tracing` subscriber). Its znode, if it had one, is found and removed, after the work of a leadership has ended;
    /// [`withdraw`](crate::Election::withdraw) waits for it. The session and its other contenders are not touched.
    #[error(
        "an internal error has ended the campaign: {reason}; the contender's znode, if there is one, is being removed: \
         campaign again, and report the error"
    )]
    ContenderFailed {
        /// What the panic says.
        reason: String,
    },

    /// The ensemble did not answer in time. Reading can be tried again at once.
    #[error("no answer from the ensemble within {waited:?}: {reason}")]
    Unavailable {
        /// How long it was tried.
        waited: Duration,
        /// What the last attempt met.
        reason: String,
    },

    /// ZooKeeper answered with an error that this crate does not expect.
    #[error("cannot {operation} {path}: {source}")]
    ZooKeeper {
        /// The operation.
        operation: &'static str,
        /// The znode.
        path: String,
        /// The error of the ZooKeeper client.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a leadership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The lease ended: the ensemble has not confirmed for too long that it keeps the session, because no server
    /// could be reached, or none that has a quorum, or because this process stood still. The znode is deleted as
    /// soon as the ensemble can be reached; campaign again for a place at the tail.
    #[error("the lease ended before it could be renewed")]
    LeaseExpired,
    /// The ZooKeeper session is over, and the znode with it.
    #[error("the ZooKeeper session expired")]
    SessionExpired,
    /// Somebody deleted the contender's znode.
    #[error("the contender's znode was deleted")]
    NodeDeleted,
    /// The leader resigned, withdrew or dropped its leadership.
    #[error("resigned")]
    Resigned,
    /// The contender's task panicked, see [`Error::ContenderFailed`]. The znode is removed after the leader's work has
    /// ended.
    #[error("an internal error of the contender")]
    ContenderFailed,
    /// The application closed the session, or the runtime of the session's tasks was shut down.
    #[error("the session was closed")]
    SessionClosed,
}

/// A text that names no [`Mode`](crate::Mode).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown mode {given:?}: write \"sequential\" or \"master\"")]
pub struct ParseModeError {
    pub(crate) given: String,
}

/// Why a request to ZooKeeper failed. The variants differ in what follows.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The znode does not exist (for a create: its parent does not).
    NoNode,
    /// The znode exists already.
    NodeExists,
    /// The connection was lost, or the answer is overdue. The request may have been executed, or may be later.
    Unknown(String),
    /// The request was not executed. It may succeed when it is repeated.
    Rejected(String),
    /// The request was not executed, and will fail until something is changed.
    Refused(Error),
}

/// The text of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no text)")
}

impl Failure {
    /// What happened, for logs and error messages.
    pub(crate) fn reason(&self) -> String {
        match self {
            Failure::NoNode => "the znode does not exist".into(),
            Failure::NodeExists => "the znode exists".into(),
            Failure::Unknown(reason) | Failure::Rejected(reason) => reason.clone(),
            Failure::Refused(error) => error.to_string(),
        }
    }
}
