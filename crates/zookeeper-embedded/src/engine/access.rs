//! Access control: authentication of clients, and the checks of ACLs.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use crate::protocol::acl::{Acl, Id, RequestedAcl};
use crate::protocol::code::Code;

/// The most entries that `auth` entries of one ACL become: more than a request of 1 MB can name one by one.
const MAX_AUTH_ENTRIES: usize = 1 << 17;

/// The identity of a client at this address.
pub(super) fn address_id(address: IpAddr) -> Id {
    Id::new("ip", address.to_canonical().to_string())
}

/// The identity that these credentials prove; `None` for an unknown scheme or missing credentials.
pub(super) fn authenticate(scheme: &str, credentials: Option<&[u8]>, address: IpAddr) -> Option<Id> {
    match scheme {
        "ip" => Some(address_id(address)),
        "digest" => {
            let credentials = String::from_utf8_lossy(credentials?);
            let user = credentials.split(':').next().unwrap_or_default();
            let hash = STANDARD.encode(Sha1::digest(credentials.as_bytes()));
            Some(Id::new("digest", format!("{user}:{hash}")))
        }
        _ => None,
    }
}

/// The user name of an identity: for a digest, the part before the hash.
pub(super) fn user(id: &Id) -> &str {
    match id.scheme.as_str() {
        "digest" => id.id.split(':').next().unwrap_or_default(),
        _ => &id.id,
    }
}

/// Refuses with `NoAuth` unless one entry grants one of `permissions` to a client with the identities `ids`.
pub(super) fn check(acl: &[Acl], permissions: i32, ids: &[Id]) -> Result<(), Code> {
    let allows = |entry: &Acl| {
        entry.permissions & permissions != 0
            && (is_anyone(&entry.id) || ids.iter().any(|proven| matches_id(&entry.id, proven)))
    };
    if acl.is_empty() || acl.iter().any(allows) { Ok(()) } else { Err(Code::NO_AUTH) }
}

/// The ACL to store for a requested one: without duplicates, and with `auth` replaced by the identities that the client
/// has proven.
pub(super) fn resolve(requested: &[RequestedAcl], ids: &[Id]) -> Result<Arc<[Acl]>, Code> {
    let mut resolved = Vec::new();
    let mut seen = HashSet::new();
    for entry in requested {
        if !seen.insert(entry) {
            continue;
        }
        let RequestedAcl { permissions, scheme, id } = entry;
        match scheme.as_deref() {
            Some("auth") => {
                // The address does not count: the client has not proven it.
                let mut proven = ids.iter().filter(|id| id.scheme == "digest").peekable();
                proven.peek().ok_or(Code::INVALID_ACL)?;
                resolved.extend(proven.map(|id| Acl { permissions: *permissions, id: id.clone() }));
                if resolved.len() > MAX_AUTH_ENTRIES {
                    return Err(Code::INVALID_ACL);
                }
            }
            Some(scheme @ ("world" | "digest" | "ip")) => {
                let id = Id::new(scheme, id.clone().ok_or(Code::MARSHALLING_ERROR)?);
                if !is_anyone(&id) && !is_valid(&id) {
                    return Err(Code::INVALID_ACL);
                }
                resolved.push(Acl { permissions: *permissions, id });
            }
            _ => return Err(Code::INVALID_ACL),
        }
    }
    if resolved.is_empty() { Err(Code::INVALID_ACL) } else { Ok(resolved.into()) }
}

/// The ACL as it is shown to a client without ADMIN permission: without the hashes of digests.
pub(super) fn masked(acl: &[Acl]) -> Arc<[Acl]> {
    let mask = |id: &Id| match id.id.split_once(':') {
        Some((user, _)) if id.scheme == "digest" => Id::new("digest", format!("{user}:x")),
        _ => id.clone(),
    };
    acl.iter().map(|entry| Acl { permissions: entry.permissions, id: mask(&entry.id) }).collect()
}

/// Whether the identity of an ACL entry covers an identity that a client has proven.
fn matches_id(granted: &Id, proven: &Id) -> bool {
    granted.scheme == proven.scheme
        && match granted.scheme.as_str() {
            "ip" => {
                matches!((Network::parse(&granted.id), proven.id.parse()), (Some(network), Ok(IpAddr::V4(address)))
                if network.contains(address.to_bits()))
            }
            "digest" => granted.id == proven.id,
            _ => false,
        }
}

/// Whether the id is well formed, in a scheme that the server knows.
fn is_valid(id: &Id) -> bool {
    match id.scheme.as_str() {
        "ip" => Network::parse(&id.id).is_some(),
        // Two parts. As in Java's split, empty parts at the end do not count.
        "digest" => id.id.trim_end_matches(':').matches(':').count() == 1,
        _ => false,
    }
}

fn is_anyone(id: &Id) -> bool {
    id.scheme == "world" && id.id == "anyone"
}

/// A range of IPv4 addresses.
struct Network {
    address: u32,
    mask: u32,
}

impl Network {
    /// Parses `10.0.0.0/8`, or one address.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, bits.parse().ok().filter(|bits| *bits <= 32)?),
            None => (text, 32),
        };
        let address: Ipv4Addr = address.parse().ok()?;
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        Some(Self { address: address.to_bits() & mask, mask })
    }

    const fn contains(&self, address: u32) -> bool {
        address & self.mask == self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::acl::{ADMIN, ALL, READ, WRITE};

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

    fn acl(permissions: i32, scheme: &str, id: &str) -> Acl {
        Acl { permissions, id: Id::new(scheme, id) }
    }

    fn requested(permissions: i32, scheme: &str, id: &str) -> RequestedAcl {
        RequestedAcl { permissions, scheme: Some(scheme.into()), id: Some(id.into()) }
    }

    #[test]
    fn a_digest_is_that_of_zookeeper() {
        let id = authenticate("digest", Some(b"super:test"), CLIENT).unwrap();
        assert_eq!(id, Id::new("digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="));
        assert_eq!(user(&id), "super");
        assert_eq!(authenticate("kerberos", Some(b"x"), CLIENT), None);
    }

    #[test]
    fn permission_is_granted_to_the_identities_that_an_entry_covers() {
        let ids = [address_id(CLIENT), authenticate("digest", Some(b"a:b"), CLIENT).unwrap()];
        for network in ["10.1.2.3", "10.1.0.0/16", "10.255.0.0/8", "1.2.3.4/0"] {
            assert_eq!(check(&[acl(READ, "ip", network)], READ, &ids), Ok(()), "{network}");
        }
        for network in ["10.1.2.4", "10.2.0.0/16", "::1"] {
            assert_eq!(check(&[acl(READ, "ip", network)], READ, &ids), Err(Code::NO_AUTH), "{network}");
        }
        assert_eq!(check(&[acl(READ, "digest", &ids[1].id)], READ, &ids), Ok(()));
        assert_eq!(check(&[acl(READ, "digest", &ids[1].id)], WRITE, &ids), Err(Code::NO_AUTH));
        assert_eq!(check(&Acl::world(READ), READ | ADMIN, &ids), Ok(()));
    }

    #[test]
    fn an_acl_that_covers_no_client_is_refused() {
        let ids = [address_id(CLIENT)];
        for (scheme, id) in [
            ("world", "me"),
            ("auth", ""),
            ("digest", "user"),
            ("digest", "a:b:c"),
            ("digest", "a:"),
            ("ip", "10.0.0"),
            ("ip", "10.0.0.1/33"),
            ("x509", "CN=a"),
        ] {
            assert_eq!(resolve(&[requested(ALL, scheme, id)], &ids), Err(Code::INVALID_ACL), "{scheme}:{id}");
        }
        assert_eq!(resolve(&[], &ids), Err(Code::INVALID_ACL));
    }

    #[test]
    fn auth_becomes_the_identities_that_the_client_has_proven() {
        let digest = authenticate("digest", Some(b"a:b"), CLIENT).unwrap();
        let ids = [address_id(CLIENT), digest.clone()];
        let resolved =
            resolve(&[requested(READ, "auth", "ignored"), requested(READ, "auth", "ignored")], &ids).unwrap();
        assert_eq!(*resolved, [Acl { permissions: READ, id: digest }]);
        assert_eq!(masked(&resolved)[0].id.id, "a:x");
    }
}
