//! The error codes of ZooKeeper's protocol.

use std::fmt;

/// An error code in a reply; 0, which is none, has no value of this type.
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
    /// An operation of a transaction that was not looked at, since an earlier one had failed.
    RUNTIME_INCONSISTENCY = -2,
    /// A record that cannot be read.
    MARSHALLING_ERROR = -5,
    /// Nothing that this server does.
    UNIMPLEMENTED = -6,
    /// A path or a flag that cannot be.
    BAD_ARGUMENTS = -8,
    /// No znode there, or no parent.
    NO_NODE = -101,
    /// Not permitted by the ACL.
    NO_AUTH = -102,
    /// Another version than the one that was expected.
    BAD_VERSION = -103,
    /// Ephemeral znodes have no children.
    NO_CHILDREN_FOR_EPHEMERALS = -108,
    /// There is a znode already.
    NODE_EXISTS = -110,
    /// A znode with children is not deleted.
    NOT_EMPTY = -111,
    /// An ACL that means nobody.
    INVALID_ACL = -114,
    /// Credentials of a scheme that this server does not know.
    AUTH_FAILED = -115,
    /// No such watch to be removed.
    NO_WATCHER = -121,
    /// The members of the ensemble are not to be changed.
    RECONFIG_DISABLED = -123,
}

impl Code {
    /// The number as it is transmitted.
    pub const fn number(self) -> i32 {
        self.0
    }
}
