//! Why a guarded write was not committed.

use zookeeper_client::Error as ClientError;

use crate::error::Lost;

/// The most bytes that a [`GuardedWrite`](super::GuardedWrite) has as a request: ZooKeeper's default for `jute.maxbuffer`, less what the
/// servers add among themselves. They close the connection of a client that sends more.
pub const MAX_GUARDED_BYTES: usize = 0xf_ffff - 1024;

/// Why a [`GuardedWrite`](super::GuardedWrite) was not committed.
///
/// After [`Unknown`](Self::Unknown) it may have been. After any other error nothing was written, and nothing will be.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardedError {
    /// The leadership has ended: the lease was over, so that nothing was sent, or ZooKeeper found the leading znode gone
    /// ([`Lost::NodeDeleted`]). Campaign again to write again.
    #[error("nothing was written, the leadership is lost: {reason}; campaign again")]
    NotLeading {
        /// Why it has ended.
        reason: Lost,
    },

    /// The breadcrumb, or the counter of a master's path, has changed since this leadership wrote it: a later leader has
    /// written it, or it was changed or deleted by hand. This leadership can write no more: campaign again.
    #[error(
        "nothing was written, and this leadership can write no more: {path} was written by a later leader, or changed \
         or deleted by hand; campaign again"
    )]
    Superseded {
        /// The path of the breadcrumb, or of the counter.
        path: String,
    },

    /// ZooKeeper refused one of the operations. The leadership goes on.
    #[error("nothing was written, since operation {index} failed: cannot {operation} {path}: {source}{}", advice(.source))]
    Failed {
        /// Which one, counted from 0.
        index: usize,
        /// What it is: `create`, `set the data of`, `delete` or `check`.
        operation: &'static str,
        /// Its path.
        path: String,
        /// The answer: `NoNode`, `NodeExists`, `BadVersion`, `NoAuth`, `NotEmpty` and others.
        source: ClientError,
    },

    /// The connection was lost, or no answer came in time. The transaction was committed as a whole or not at all, or may be
    /// later, as long as the znode of this leadership exists. See [`commit`](super::GuardedWrite::commit) on trying again.
    #[error(
        "the outcome is unknown: {reason}; send it again only if a second execution would fail (a create, or the version \
         that was read before)"
    )]
    Unknown {
        /// What happened.
        reason: String,
    },

    /// ZooKeeper refused the transaction as a whole. It may be tried again.
    #[error("nothing was written, ZooKeeper refused the transaction: {reason}")]
    Rejected {
        /// What it says.
        reason: String,
    },

    /// There is nothing to commit. Nothing was sent.
    #[error(
        "the transaction is empty: add a `create`, `set_data`, `delete` or `check` before `commit` (to check \
         validity, call `is_valid`)"
    )]
    Empty,

    /// ZooKeeper does not accept this path, or not for this operation. Nothing was sent.
    #[error("invalid path {path:?}: {reason}; write an absolute path, for example \"/app/state\"")]
    InvalidPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The access control list of a new znode is empty. Nothing was sent.
    #[error("the ACL for {path} is empty: write `&Acls::anyone_all()`, or who may do what")]
    EmptyAcl {
        /// The path.
        path: String,
    },

    /// The transaction is too long. Nothing was sent, because ZooKeeper closes the connection of a client that sends more
    /// than 1 MB.
    #[error(
        "the transaction has {bytes} bytes, more than the {MAX_GUARDED_BYTES} allowed: make several of it, or keep large \
         data elsewhere and write where it is"
    )]
    TooLarge {
        /// Its length as a request.
        bytes: usize,
    },
}

/// What to do about the error of an operation.
fn advice(error: &ClientError) -> &'static str {
    match error {
        ClientError::NoNode => "; create the znode, or for a create its parent, before",
        ClientError::NodeExists => "; use `set_data`, or another path",
        ClientError::BadVersion => "; read the znode again for its version",
        ClientError::NoAuth => "; give the session credentials that the ACL admits",
        ClientError::NotEmpty => "; delete its children before",
        ClientError::NoChildrenForEphemerals => "; an ephemeral znode has no children: choose another parent",
        ClientError::InvalidAcl => {
            "; check the schemes and ids of the ACL, and for `auth` the session's credentials"
        }
        _ => "",
    }
}
