//! Access control lists: who may do what with a znode.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use crate::code::Code;

/// Reading data, children and ACL.
pub const READ: i32 = 1;
/// Setting data.
pub const WRITE: i32 = 1 << 1;
/// Creating children.
pub const CREATE: i32 = 1 << 2;
/// Deleting children.
pub const DELETE: i32 = 1 << 3;
/// Setting the ACL.
pub const ADMIN: i32 = 1 << 4;
/// All of these.
pub const ALL: i32 = READ | WRITE | CREATE | DELETE | ADMIN;

/// No list of `auth` entries becomes longer: more than a request of 1 MB can name one by one.
const LONGEST: usize = 1 << 17;

/// Somebody, in the words of an authentication scheme: `world:anyone`, `digest:user:hash`, `ip:10.0.0.0/8`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    pub scheme: String,
    pub id: String,
}

/// What somebody may do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acl {
    pub permissions: i32,
    pub id: Id,
}

/// An entry of an ACL that a client asks for; parts of it may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    pub permissions: i32,
    pub scheme: Option<String>,
    pub id: Option<String>,
}

impl Acl {
    /// These permissions for everybody.
    pub fn world(permissions: i32) -> Arc<[Self]> {
        [Self { permissions, id: Id::new("world", "anyone") }].into()
    }
}

impl Id {
    /// The id `id` of `scheme`.
    pub fn new(scheme: &str, id: impl Into<String>) -> Self {
        Self { scheme: scheme.to_owned(), id: id.into() }
    }

    /// The id of a client at this address.
    pub fn of_address(address: IpAddr) -> Self {
        Self::new("ip", address.to_canonical().to_string())
    }

    /// The id that credentials prove, if there is such a scheme and if it can be content with them.
    pub fn authenticate(scheme: &str, credentials: Option<&[u8]>, address: IpAddr) -> Option<Self> {
        match scheme {
            "ip" => Some(Self::of_address(address)),
            "digest" => {
                let credentials = String::from_utf8_lossy(credentials?);
                let user = credentials.split(':').next().unwrap_or_default();
                let hash = STANDARD.encode(Sha1::digest(credentials.as_bytes()));
                Some(Self::new("digest", format!("{user}:{hash}")))
            }
            _ => None,
        }
    }

    /// The name to show for it: for a digest the user without the hash.
    pub fn user(&self) -> &str {
        match self.scheme.as_str() {
            "digest" => self.id.split(':').next().unwrap_or_default(),
            _ => &self.id,
        }
    }

    /// The same without a digest's hash, for those who may not see it.
    fn masked(&self) -> Self {
        match self.id.split_once(':') {
            Some((user, _)) if self.scheme == "digest" => Self::new("digest", format!("{user}:x")),
            _ => self.clone(),
        }
    }

    /// Whether an ACL that names this id means a client that has proven `proven`.
    fn means(&self, proven: &Self) -> bool {
        self.scheme == proven.scheme
            && match self.scheme.as_str() {
                "ip" => {
                    matches!((Network::parse(&self.id), proven.id.parse()), (Some(network), Ok(IpAddr::V4(address)))
                    if network.contains(address.to_bits()))
                }
                "digest" => self.id == proven.id,
                _ => false,
            }
    }

    /// Whether the id is well formed, in a scheme that the server knows.
    fn is_valid(&self) -> bool {
        match self.scheme.as_str() {
            "ip" => Network::parse(&self.id).is_some(),
            // Two parts, as Java splits: empty ones at the end do not count.
            "digest" => self.id.trim_end_matches(':').matches(':').count() == 1,
            _ => false,
        }
    }

    fn is_anyone(&self) -> bool {
        self.scheme == "world" && self.id == "anyone"
    }
}

/// A range of IPv4 addresses: an address, and how many of its leading bits count.
struct Network {
    address: u32,
    mask: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, bits.parse().ok().filter(|bits| *bits <= 32)?),
            None => (text, 32),
        };
        let address: std::net::Ipv4Addr = address.parse().ok()?;
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        Some(Self { address: address.to_bits() & mask, mask })
    }

    const fn contains(&self, address: u32) -> bool {
        address & self.mask == self.address
    }
}

/// Refuses with `NoAuth` unless one of the entries gives one of `permissions` to a client that has proven `ids`.
pub fn check(acl: &[Acl], permissions: i32, ids: &[Id]) -> Result<(), Code> {
    let allows = |entry: &Acl| {
        entry.permissions & permissions != 0
            && (entry.id.is_anyone() || ids.iter().any(|proven| entry.id.means(proven)))
    };
    if acl.is_empty() || acl.iter().any(allows) { Ok(()) } else { Err(Code::NO_AUTH) }
}

/// The ACL that a client asked for, without duplicates, and with `auth` replaced by what the client has proven.
pub fn resolve(asked: &[Asked], ids: &[Id]) -> Result<Arc<[Acl]>, Code> {
    let mut resolved = Vec::new();
    let mut seen = HashSet::new();
    for entry in asked {
        if !seen.insert(entry) {
            continue;
        }
        let Asked { permissions, scheme, id } = entry;
        match scheme.as_deref() {
            Some("auth") => {
                // An address is nothing that a client has proven.
                let mut proven = ids.iter().filter(|id| id.scheme == "digest").peekable();
                proven.peek().ok_or(Code::INVALID_ACL)?;
                resolved.extend(proven.map(|id| Acl { permissions: *permissions, id: id.clone() }));
                if resolved.len() > LONGEST {
                    return Err(Code::INVALID_ACL);
                }
            }
            Some(scheme @ ("world" | "digest" | "ip")) => {
                let id = Id::new(scheme, id.clone().ok_or(Code::MARSHALLING_ERROR)?);
                if !id.is_anyone() && !id.is_valid() {
                    return Err(Code::INVALID_ACL);
                }
                resolved.push(Acl { permissions: *permissions, id });
            }
            _ => return Err(Code::INVALID_ACL),
        }
    }
    if resolved.is_empty() { Err(Code::INVALID_ACL) } else { Ok(resolved.into()) }
}

/// The ACL as somebody sees it who may not administer the znode: without the hashes of digests.
pub fn masked(acl: &[Acl]) -> Arc<[Acl]> {
    acl.iter().map(|entry| Acl { permissions: entry.permissions, id: entry.id.masked() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3));

    fn acl(permissions: i32, scheme: &str, id: &str) -> Acl {
        Acl { permissions, id: Id::new(scheme, id) }
    }

    fn asked(permissions: i32, scheme: &str, id: &str) -> Asked {
        Asked { permissions, scheme: Some(scheme.into()), id: Some(id.into()) }
    }

    #[test]
    fn a_digest_is_that_of_zookeeper() {
        let id = Id::authenticate("digest", Some(b"super:test"), CLIENT).unwrap();
        assert_eq!(id, Id::new("digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="));
        assert_eq!(id.user(), "super");
        assert_eq!(Id::authenticate("kerberos", Some(b"x"), CLIENT), None);
    }

    #[test]
    fn permission_is_given_to_whom_an_entry_means() {
        let ids = [Id::of_address(CLIENT), Id::authenticate("digest", Some(b"a:b"), CLIENT).unwrap()];
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
    fn an_acl_that_means_nobody_is_refused() {
        let ids = [Id::of_address(CLIENT)];
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
            assert_eq!(resolve(&[asked(ALL, scheme, id)], &ids), Err(Code::INVALID_ACL), "{scheme}:{id}");
        }
        assert_eq!(resolve(&[], &ids), Err(Code::INVALID_ACL));
    }

    #[test]
    fn auth_becomes_what_the_client_has_proven() {
        let digest = Id::authenticate("digest", Some(b"a:b"), CLIENT).unwrap();
        let ids = [Id::of_address(CLIENT), digest.clone()];
        let resolved =
            resolve(&[asked(READ, "auth", "ignored"), asked(READ, "auth", "ignored")], &ids).unwrap();
        assert_eq!(*resolved, [Acl { permissions: READ, id: digest }]);
        assert_eq!(masked(&resolved)[0].id.id, "a:x");
    }
}
