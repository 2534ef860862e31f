//! Requests, by the shapes of their records, and what they are on the wire.

use std::fmt;

use crate::wire::Writer;
use testkit::OpCode;

/// A request.
#[derive(Clone, Debug)]
pub enum Operation {
    /// `CREATE`, `CREATE2`, `CREATE_CONTAINER`, and `CREATE_TTL`, which alone sends the time to live.
    Create { code: OpCode, path: String, data: Data, acl: Acl, flags: i32, ttl: i64 },
    /// `EXISTS`, `GET_DATA`, `GET_CHILDREN` and `GET_CHILDREN2`.
    Read { code: OpCode, path: String, watch: bool },
    /// What takes a path and a number: a version for `DELETE` and `CHECK`, a mode for `ADD_WATCH`, a type for
    /// `REMOVE_WATCHES`.
    Numbered { code: OpCode, path: String, number: i32 },
    /// `GET_ACL`, `SYNC`, `GET_EPHEMERALS` and `GET_ALL_CHILDREN_NUMBER`.
    Path { code: OpCode, path: String },
    /// `SET_DATA`.
    SetData { path: String, data: Data, version: i32 },
    /// `SET_ACL`.
    SetAcl { path: String, acl: Acl, version: i32 },
    /// `PING`, `WHO_AM_I` and `CLOSE`.
    Bare { code: OpCode },
    /// `MULTI` and `MULTI_READ`.
    Many { code: OpCode, operations: Vec<Operation> },
    /// `SET_WATCHES`, with three lists of paths, and `SET_WATCHES2`, with five.
    SetWatches { code: OpCode, relative_zxid: i64, paths: Vec<Vec<String>> },
    /// `AUTH`.
    Auth { scheme: String, data: Data },
    /// Another request, damaged on the way.
    Damaged { operation: Box<Operation>, damage: Damage },
}

/// What a node holds; null and empty are different.
pub type Data = Option<&'static str>;

/// An access control list; it may be null.
pub type Acl = Option<Vec<AclEntry>>;

/// An entry of an access control list.
#[derive(Clone)]
pub struct AclEntry {
    pub permissions: i32,
    pub scheme: Option<&'static str>,
    pub id: Option<&'static str>,
}

/// A way to damage a record.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    /// So many bytes are missing at the end, or all if there are fewer.
    Truncated(usize),
    /// The record is followed by bytes that do not belong to it.
    Followed,
    /// The length of the path, which the record begins with, is this one.
    Length(i32),
    /// The path, which the record begins with, is null.
    NullPath,
}

impl Operation {
    /// What the request asks for.
    pub fn code(&self) -> OpCode {
        match self {
            Self::Create { code, .. }
            | Self::Read { code, .. }
            | Self::Numbered { code, .. }
            | Self::Path { code, .. }
            | Self::Bare { code }
            | Self::Many { code, .. }
            | Self::SetWatches { code, .. } => *code,
            Self::SetData { .. } => OpCode::SET_DATA,
            Self::SetAcl { .. } => OpCode::SET_ACL,
            Self::Auth { .. } => OpCode::AUTH,
            Self::Damaged { operation, .. } => operation.code(),
        }
    }

    /// The request's record.
    pub fn body(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Create { code, path, data, acl, flags, ttl } => {
                writer.string(path);
                write_data(&mut writer, *data);
                write_acl(&mut writer, acl);
                writer.int(*flags);
                if *code == OpCode::CREATE_TTL {
                    writer.long(*ttl);
                }
            }
            Self::Read { path, watch, .. } => {
                writer.string(path);
                writer.bool(*watch);
            }
            Self::Numbered { path, number, .. } => {
                writer.string(path);
                writer.int(*number);
            }
            Self::Path { path, .. } => writer.string(path),
            Self::SetData { path, data, version } => {
                writer.string(path);
                write_data(&mut writer, *data);
                writer.int(*version);
            }
            Self::SetAcl { path, acl, version } => {
                writer.string(path);
                write_acl(&mut writer, acl);
                writer.int(*version);
            }
            Self::Bare { .. } => {}
            Self::Many { operations, .. } => {
                for operation in operations {
                    write_multi_header(&mut writer, operation.code().0, false);
                    writer.0.extend(operation.body());
                }
                write_multi_header(&mut writer, -1, true);
            }
            Self::SetWatches { relative_zxid, paths, .. } => {
                writer.long(*relative_zxid);
                paths.iter().for_each(|paths| writer.strings(paths));
            }
            Self::Auth { scheme, data } => {
                writer.int(0);
                writer.string(scheme);
                write_data(&mut writer, *data);
            }
            Self::Damaged { operation, damage } => return damage.done_to(operation.body()),
        }
        writer.0
    }

    /// Whether no other request may be pending while this one is.
    ///
    /// ZooKeeper checks a request before it applies the earlier ones, against their pending changes. In these cases the
    /// check of a later request sees another state while this one is pending. Authentication overtakes requests.
    pub fn is_solitary(&self) -> bool {
        match self {
            Self::Auth { .. } => true,
            // While it is under way the list before it counts.
            Self::SetAcl { .. } => true,
            // While it is under way it counts as ephemeral.
            Self::Create { code, flags, .. } => *code == OpCode::CREATE_CONTAINER && matches!(flags, 1 | 3),
            // If it fails so that it counts as malformed, its first parts are not withdrawn while it is under way.
            Self::Many { operations, .. } => operations.iter().any(Self::can_break_a_multi),
            Self::Damaged { operation, .. } => operation.is_solitary(),
            _ => false,
        }
    }

    fn can_break_a_multi(&self) -> bool {
        match self {
            Self::Create { acl, flags, .. } => {
                let null = |entry: &AclEntry| entry.id.is_none();
                matches!(flags, 5 | 6) || acl.iter().flatten().any(null)
            }
            _ => false,
        }
    }
}

impl Damage {
    fn done_to(self, mut body: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Truncated(bytes) => body.truncate(body.len().saturating_sub(bytes)),
            Self::Followed => body.extend([0xff; 5]),
            Self::Length(length) => body[..4].copy_from_slice(&length.to_be_bytes()),
            Self::NullPath => {
                let length = i32::from_be_bytes(body[..4].try_into().expect("four bytes"));
                let end = 4 + usize::try_from(length).expect("a path");
                body.splice(..end, (-1_i32).to_be_bytes());
            }
        }
        body
    }
}

impl fmt::Debug for AclEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { permissions, scheme, id } = self;
        write!(f, "{permissions} {}:{}", scheme.unwrap_or("null"), id.unwrap_or("null"))
    }
}

fn write_data(writer: &mut Writer, data: Data) {
    writer.bytes(data.map(str::as_bytes));
}

fn write_acl(writer: &mut Writer, acl: &Acl) {
    let Some(entries) = acl else {
        return writer.int(-1);
    };
    writer.length(entries.len());
    for AclEntry { permissions, scheme, id } in entries {
        writer.int(*permissions);
        write_data(writer, *scheme);
        write_data(writer, *id);
    }
}

fn write_multi_header(writer: &mut Writer, code: i32, done: bool) {
    writer.int(code);
    writer.bool(done);
    writer.int(-1);
}
