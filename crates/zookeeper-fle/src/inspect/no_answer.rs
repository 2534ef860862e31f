//! Why a server gave no answer.

use std::fmt;
use std::io::ErrorKind;

use crate::codec::DecodeError;
use crate::vote::ServerId;

use super::ids::FIRST_INSPECTOR_ID;

/// The reason why there is no answer from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The connection was refused: the server is not running, or still starting.
    Refused,
    /// The server closed the connection at once: it requires TLS or SASL, or this is not its election port. In rare cases
    /// another inspection asked it at the same moment with the same id.
    Closed,
    /// The server accepted the connection and did not answer in time.
    Deaf,
    /// The connection failed, or was not made in time ([`ErrorKind::TimedOut`]).
    Unreachable(ErrorKind),
    /// The bytes that came are not the election protocol.
    NotTheProtocol(DecodeError),
    /// The name lookup found no address.
    Unresolved,
    /// The name lookup did not end in time.
    LookupTimedOut,
    /// The configuration names the server, and the inspector did not ask it.
    NotAsked(NotAsked),
}

/// The reason why the inspector did not ask a server that the configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAsked {
    /// The inspector has asked 256 other servers, its limit.
    TooMany,
    /// A configuration contains this id, which is one of the inspector's own. The inspector asks no more servers, because
    /// they could take it for that server.
    ReservedId(ServerId),
    /// The address is `0.0.0.0` or `::`, which on this machine means this machine.
    Unspecified,
    /// This server has the same address, and was asked there.
    SameAddress(ServerId),
    /// The inspector's last round of questions had begun when an answer named it. There are four rounds.
    Late,
}

impl NoAnswer {
    /// A stable name for programs: `refused`, `closed`, `deaf`, `unreachable`, `not_the_protocol`, `unresolved`,
    /// `lookup_timed_out`, `not_asked`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::Deaf => "deaf",
            Self::Unreachable(_) => "unreachable",
            Self::NotTheProtocol(_) => "not_the_protocol",
            Self::Unresolved => "unresolved",
            Self::LookupTimedOut => "lookup_timed_out",
            Self::NotAsked(_) => "not_asked",
        }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => write!(f, "connection refused: not running, or still starting"),
            Self::Closed => write!(f, "connection closed: requires TLS or SASL, or not an election port"),
            Self::Deaf => write!(f, "connected, no answer"),
            Self::Unreachable(kind) => write!(f, "no connection: {kind}"),
            Self::NotTheProtocol(error) => write!(f, "not an election port: {error}"),
            Self::Unresolved => write!(f, "the host name has no address"),
            Self::LookupTimedOut => write!(f, "the host name was not resolved in time"),
            Self::NotAsked(reason) => write!(f, "not asked: {reason}"),
        }
    }
}

/// As it follows `not asked: `.
impl fmt::Display for NotAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "the configurations name too many servers"),
            Self::ReservedId(id) => write!(
                f,
                "server {id} of a configuration has an id of {FIRST_INSPECTOR_ID} or more, as the inspector itself"
            ),
            Self::Unspecified => {
                write!(f, "its address means every address of its own machine: give another one")
            }
            Self::SameAddress(id) => write!(f, "server {id} has the same address"),
            Self::Late => write!(f, "the servers name each other one by one: give more addresses"),
        }
    }
}
