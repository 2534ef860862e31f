//! Parses the election addresses that a caller gives.

use std::fmt;
use std::str::FromStr;

use crate::config::{MemberAddress, bracketed, is_of_host};

/// The address of an election port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerAddress {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Why a text is not a list of election addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text has no address.
    #[error("no server is given: write host:port[,host:port...] of election ports, e.g. 127.0.0.1:3888")]
    Empty,
    /// An address is empty or has no host.
    #[error("{address:?} names no server: write host:port[,host:port...]")]
    NoHost {
        /// The address.
        address: String,
    },
    /// A host has a character that no host name has, such as a space or a control character.
    #[error(
        "{address:?} is not the address of a server: write a host name or an IP address, without other characters"
    )]
    Host {
        /// The address.
        address: String,
    },
    /// An address has no port.
    #[error("{address:?} has no port: write {address}:3888, with the election port of the server")]
    NoPort {
        /// The address.
        address: String,
    },
    /// A port is not a number from 1 to 65535.
    #[error("{address:?}: {port:?} is not a port: write host:port, with a number from 1 to 65535")]
    Port {
        /// The address.
        address: String,
        /// The text in place of the port.
        port: String,
    },
    /// An IPv6 address has no brackets, so its port is ambiguous.
    #[error("{address:?} looks like an IPv6 address: write it in brackets, [::1]:3888")]
    Ipv6 {
        /// The address.
        address: String,
    },
}

/// Parses `host:port[,host:port...]`.
pub(super) fn parse_addresses(text: &str) -> Result<Vec<ServerAddress>, AddressError> {
    if text.trim().is_empty() {
        return Err(AddressError::Empty);
    }
    text.split(',').map(|address| address.trim().parse()).collect()
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = || text.to_owned();
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, port)) => (host, port.strip_prefix(':')),
                None => return Err(AddressError::Ipv6 { address: address() }),
            },
            None if text.matches(':').count() > 1 => return Err(AddressError::Ipv6 { address: address() }),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() {
            return Err(AddressError::NoHost { address: address() });
        }
        if !host.chars().all(is_of_host) {
            return Err(AddressError::Host { address: address() });
        }
        let Some(port) = port else { return Err(AddressError::NoPort { address: address() }) };
        match port.parse() {
            Ok(0) | Err(_) => Err(AddressError::Port { address: address(), port: port.to_owned() }),
            Ok(port) => Ok(Self { host: host.to_owned(), port }),
        }
    }
}

impl From<&MemberAddress> for ServerAddress {
    fn from(member: &MemberAddress) -> Self {
        Self { host: member.host.clone(), port: member.election_port }
    }
}

/// `host:port`, with an IPv6 address in brackets.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", bracketed(&self.host), self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_print() {
        let list = parse_addresses(" zk1:3888, [::1]:3889,10.0.0.3:65535").unwrap();
        let printed: Vec<String> = list.iter().map(ServerAddress::to_string).collect();
        assert_eq!(printed, ["zk1:3888", "[::1]:3889", "10.0.0.3:65535"]);
        assert_eq!(list[1].host, "::1");
    }

    #[test]
    fn an_error_says_what_is_wrong_and_what_to_write() {
        for (text, error, advice) in [
            ("", AddressError::Empty, "write host:port"),
            (" ", AddressError::Empty, "e.g. 127.0.0.1:3888"),
            ("zk1:3888,", AddressError::NoHost { address: String::new() }, "write host:port"),
            (":3888", AddressError::NoHost { address: ":3888".into() }, "write host:port"),
            ("zk\u{1b}[2J", AddressError::Host { address: "zk\u{1b}[2J".into() }, "zk\\u{1b}[2J"),
            ("[zk 1]:1", AddressError::Host { address: "[zk 1]:1".into() }, "\"[zk 1]:1\" is not"),
            ("zk1", AddressError::NoPort { address: "zk1".into() }, "write zk1:3888"),
            ("[::1]", AddressError::NoPort { address: "[::1]".into() }, "write [::1]:3888"),
            ("zk1:0", AddressError::Port { address: "zk1:0".into(), port: "0".into() }, "1 to 65535"),
            ("zk1:x", AddressError::Port { address: "zk1:x".into(), port: "x".into() }, "\"x\" is not"),
            ("zk1:1/a", AddressError::Port { address: "zk1:1/a".into(), port: "1/a".into() }, "\"1/a\""),
            ("::1:3888", AddressError::Ipv6 { address: "::1:3888".into() }, "in brackets, [::1]:3888"),
            ("[::1:3888", AddressError::Ipv6 { address: "[::1:3888".into() }, "in brackets"),
        ] {
            let refused = parse_addresses(text).unwrap_err();
            assert_eq!(refused, error, "{text:?}");
            assert!(refused.to_string().contains(advice), "{refused}");
        }
    }
}
