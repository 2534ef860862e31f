//! The error codes of ZooKeeper's protocol.

use std::fmt;

/// An error code in a reply. Success, which is 0, is not an error code.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(i32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($code);)*
        }

        impl fmt::Debug for Code {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($code => f.write_str(stringify!($name)),)*
                    code => write!(f, "Code({code})"),
                }
            }
        }
    };
}

codes! {
    /// The operation was not checked because an earlier one of the transaction failed.
    RUNTIME_INCONSISTENCY = -2,
    /// A record that cannot be decoded.
    MARSHALLING_ERROR = -5,
    /// An operation that this server does not have.
    UNIMPLEMENTED = -6,
    /// An invalid path or flag.
    BAD_ARGUMENTS = -8,
    /// The znode, or its parent, does not exist.
    NO_NODE = -101,
    /// The ACL does not grant the permission.
    NO_AUTH = -102,
    /// The znode has another version than the request expects.
    BAD_VERSION = -103,
    /// The parent is an ephemeral znode, which cannot have children.
    NO_CHILDREN_FOR_EPHEMERALS = -108,
    /// The znode exists already.
    NODE_EXISTS = -110,
    /// The znode has children and cannot be deleted.
    NOT_EMPTY = -111,
    /// An ACL that is empty or malformed, or that covers no client.
    INVALID_ACL = -114,
    /// The credentials were not accepted.
    AUTH_FAILED = -115,
    /// The client has no such watch.
    NO_WATCHER = -121,
    /// The ensemble's members cannot be changed.
    RECONFIG_DISABLED = -123,
}

impl Code {
    /// The number as it is transmitted.
    pub const fn number(self) -> i32 {
        self.0
    }
}
