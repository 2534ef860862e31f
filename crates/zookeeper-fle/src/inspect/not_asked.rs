//! Why a member of the configuration was not asked.

use std::fmt;

use super::super::vote::ServerId;
use super::question::STRANGERS;

/// Why nobody asked a server that the configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAsked {
    /// 256 others have been asked, which is as many as are.
    TooMany,
    /// A configuration names this id, which is one of those by which the inspector asks: some server could take it for that
    /// one. So nobody else was asked.
    ReservedId(ServerId),
    /// Its address stands for all of its machine's (`0.0.0.0`, `::`), which here are this machine's.
    Unspecified,
    /// It has the same address as this server, which was asked there.
    SameAddress(ServerId),
    /// It was named too late: by a server that was itself named by one that was named by another, and so on.
    Late,
}

/// As it is said after `not asked: `.
impl fmt::Display for NotAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "too many servers are named"),
            Self::ReservedId(id) => {
                write!(
                    f,
                    "server {id} of a configuration has an id from {STRANGERS} on, as the inspector itself"
                )
            }
            Self::Unspecified => write!(f, "the address stands for all of its machine's: give another one"),
            Self::SameAddress(id) => write!(f, "server {id} has the same address"),
            Self::Late => write!(f, "the servers name each other one by one: give more of them"),
        }
    }
}
