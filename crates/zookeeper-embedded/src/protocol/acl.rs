//! Access control lists as they are transmitted.

use std::sync::Arc;

/// Permission to read data, children and ACL.
pub(crate) const READ: i32 = 1;
/// Permission to set data.
pub(crate) const WRITE: i32 = 1 << 1;
/// Permission to create children.
pub(crate) const CREATE: i32 = 1 << 2;
/// Permission to delete children.
pub(crate) const DELETE: i32 = 1 << 3;
/// Permission to set the ACL.
pub(crate) const ADMIN: i32 = 1 << 4;
/// All permissions.
pub(crate) const ALL: i32 = READ | WRITE | CREATE | DELETE | ADMIN;

/// An identity in an authentication scheme: `world:anyone`, `digest:user:hash`, `ip:10.0.0.0/8`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    /// The authentication scheme.
    pub scheme: String,
    /// The identity, in the notation of the scheme.
    pub id: String,
}

/// An entry of an access control list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acl {
    /// The permissions, a union of the constants of this module.
    pub permissions: i32,
    /// The identity that has these permissions.
    pub id: Id,
}

/// An entry of an ACL as a client sends it. Scheme and id can be missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestedAcl {
    /// The permissions, a union of the constants of this module.
    pub permissions: i32,
    /// The authentication scheme.
    pub scheme: Option<String>,
    /// The identity, in the notation of the scheme.
    pub id: Option<String>,
}

impl Acl {
    /// A list that grants these permissions to every client.
    pub fn world(permissions: i32) -> Arc<[Self]> {
        [Self { permissions, id: Id::new("world", "anyone") }].into()
    }
}

impl Id {
    /// The id `id` of `scheme`.
    pub fn new(scheme: &str, id: impl Into<String>) -> Self {
        Self { scheme: scheme.to_owned(), id: id.into() }
    }
}

/// A requested entry that grants all permissions to every client.
#[cfg(any(feature = "engine", test))]
pub fn anyone() -> RequestedAcl {
    RequestedAcl { permissions: ALL, scheme: Some("world".into()), id: Some("anyone".into()) }
}
