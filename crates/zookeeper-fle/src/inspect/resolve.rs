//! Looks up the host names of a server.

use std::io;
use std::net::SocketAddr;

use futures_util::future::join_all;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use super::addresses::ServerAddress;
use super::no_answer::NoAnswer;

/// The limit for the addresses of a server, and for its socket addresses. Without a limit, a configuration could make the
/// inspector connect to all of a network.
const MOST_ADDRESSES: usize = 8;

/// A socket address, and the address that it was looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resolved<'a> {
    pub(super) address: &'a ServerAddress,
    pub(super) socket: SocketAddr,
}

/// The socket addresses, in the order of the names.
///
/// The lookup of several names takes half of the time at most, so that time is left to connect.
pub(super) async fn resolve(
    addresses: &[ServerAddress],
    deadline: Instant,
) -> Result<Vec<Resolved<'_>>, NoAnswer> {
    let lookup = |host, port| async move { Ok(lookup_host((host, port)).await?.collect()) };
    resolve_by(lookup, addresses, deadline).await
}

async fn resolve_by<L, F>(
    lookup: L,
    addresses: &[ServerAddress],
    deadline: Instant,
) -> Result<Vec<Resolved<'_>>, NoAnswer>
where
    L: Fn(String, u16) -> F,
    F: Future<Output = io::Result<Vec<SocketAddr>>>,
{
    let addresses = &addresses[..addresses.len().min(MOST_ADDRESSES)];
    let now = Instant::now();
    let until = match addresses {
        [_] => deadline,
        _ => now + deadline.saturating_duration_since(now) / 2,
    };
    let lookups = addresses.iter().map(|it| timeout_at(until, lookup(it.host.clone(), it.port)));
    let (mut resolved, mut no_answer) = (Vec::<Resolved<'_>>::new(), NoAnswer::Unresolved);
    for (address, found) in addresses.iter().zip(join_all(lookups).await) {
        match found {
            Ok(Ok(sockets)) => {
                for socket in sockets {
                    if resolved.len() < MOST_ADDRESSES && !resolved.iter().any(|it| it.socket == socket) {
                        resolved.push(Resolved { address, socket });
                    }
                }
            }
            Ok(Err(_)) => {}
            Err(_) => no_answer = NoAnswer::LookupTimedOut,
        }
    }
    if resolved.is_empty() { Err(no_answer) } else { Ok(resolved) }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::*;
    use crate::inspect::addresses::parse_addresses;

    /// A resolver that has four addresses for `many` and never answers for `slow`.
    async fn lookup(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        match host.as_str() {
            "slow" => pending().await,
            "many" => Ok((1..=4).map(|i| SocketAddr::from(([10, 0, 0, i], port))).collect()),
            host => {
                let ip = host.parse().map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
                Ok(vec![SocketAddr::new(ip, port)])
            }
        }
    }

    #[tokio::test]
    async fn a_slow_name_leaves_time_for_the_other_addresses() {
        let addresses = parse_addresses("slow:1,127.0.0.1:2,nobody:3,127.0.0.1:2").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let resolved = resolve_by(lookup, &addresses, deadline).await;
        assert!(Instant::now() < deadline);
        let socket = "127.0.0.1:2".parse().unwrap();
        assert_eq!(resolved, Ok(vec![Resolved { address: &addresses[1], socket }]));
    }

    #[tokio::test]
    async fn a_name_that_has_no_address_is_told_from_one_that_is_not_found_in_time() {
        for (list, expected) in [
            ("nobody:1", NoAnswer::Unresolved),
            ("slow:1", NoAnswer::LookupTimedOut),
            ("slow:1,nobody:1", NoAnswer::LookupTimedOut),
        ] {
            let addresses = parse_addresses(list).unwrap();
            let deadline = Instant::now() + Duration::from_millis(10);
            assert_eq!(resolve_by(lookup, &addresses, deadline).await, Err(expected), "{list}");
        }
    }

    #[tokio::test]
    async fn no_more_than_eight_addresses_of_a_server_are_looked_at() {
        let nine: Vec<String> = (1..=9).map(|port| format!("127.0.0.1:{port}")).collect();
        for (list, last) in [(nine.join(","), "127.0.0.1:8"), ("many:1,many:2,many:3".into(), "10.0.0.4:2")] {
            let addresses = parse_addresses(&list).unwrap();
            let deadline = Instant::now() + Duration::from_secs(5);
            let resolved = resolve_by(lookup, &addresses, deadline).await.unwrap();
            assert_eq!((resolved.len(), resolved[7].socket), (8, last.parse().unwrap()));
        }
    }
}
