//! How findings name a server.

use std::fmt;

use crate::vote::ServerId;

/// A server in a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ServerRef {
    /// By its id.
    Server(ServerId),
    /// By its address: the id is unknown, or gave different answers
    /// ([`Finding::Contradiction`](super::Finding::Contradiction)).
    At(String),
}

/// `server 3`, or `the server at 127.0.0.1:3888`.
impl fmt::Display for ServerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(id) => write!(f, "server {id}"),
            Self::At(address) => write!(f, "the server at {address}"),
        }
    }
}
