//! The frames that clients send: the connect request, and the requests of a session.

use std::sync::Arc;

use crate::protocol::acl::RequestedAcl;
use crate::protocol::jute::{Malformed, Reader};
use crate::session_id::SessionId;

/// The data of a znode. `None` is not the same as empty data.
pub(crate) type Data = Option<Arc<[u8]>>;

/// The first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    /// The greatest zxid that the client has seen.
    pub last_zxid: i64,
    /// The requested session timeout in milliseconds.
    pub timeout: i32,
    /// The session to resume; 0 opens a new one.
    pub session: SessionId,
    /// The password of the session to resume.
    pub password: Vec<u8>,
    /// Whether the client knows read-only servers. It then expects one more byte in the response.
    pub knows_read_only: bool,
}

/// The frame of a request, of which the header is decoded.
#[derive(Clone, Copy, Debug)]
pub struct RequestFrame<'a> {
    /// The number that the client gave to the request.
    pub xid: i32,
    /// The op code, which is the kind of request.
    pub op_code: i32,
    record: Reader<'a>,
}

/// A request of a session.
///
/// A record that cannot be decoded is a request too, because the server answers it with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A write as a transaction of its own.
    Write(Write),
    /// A transaction of several writes: either all of them succeed or none has an effect.
    Multi(Vec<Write>),
    /// Closes the session.
    CloseSession,
    /// Changes the members of the ensemble.
    Reconfig,
    /// A write that cannot be decoded.
    MalformedWrite,
    /// A read that cannot be decoded.
    MalformedRead,
    /// Credentials that cannot be decoded.
    MalformedAuth,
    /// A heartbeat.
    Ping,
    /// Reads the stat of a znode if the znode exists.
    Exists {
        /// The path of the znode.
        path: String,
        /// Whether to set a watch on the existence and data of the znode.
        watch: bool,
    },
    /// Reads the data of a znode.
    Data {
        /// The path of the znode.
        path: String,
        /// Whether to set a watch on the data.
        watch: bool,
    },
    /// Lists the names of a znode's children.
    Children {
        /// The path of the parent.
        path: String,
        /// Whether to set a watch on the list of children.
        watch: bool,
        /// Whether the reply includes the stat of the parent.
        with_stat: bool,
    },
    /// Reads the ACL of a znode.
    Acl {
        /// The path of the znode.
        path: String,
    },
    /// Several reads in one request.
    MultiRead(Vec<Read>),
    /// Makes everything visible that was committed before.
    Sync {
        /// The path, which the reply repeats.
        path: Option<String>,
    },
    /// Lists the session's ephemeral znodes.
    Ephemerals {
        /// The prefix of the paths to list.
        prefix: String,
    },
    /// Counts the descendants of a znode.
    CountBelow {
        /// The path of the znode.
        path: String,
    },
    /// Lists the identities that the client has proven.
    WhoAmI,
    /// Sets a watch that stays until it is removed.
    AddWatch {
        /// The path to watch.
        path: String,
        /// Whether the watch includes the descendants of the path.
        recursive: bool,
    },
    /// Checks whether the client has a watch.
    CheckWatches {
        /// The watched path.
        path: String,
        /// The kind of watch.
        kind: WatcherType,
    },
    /// Removes a watch.
    RemoveWatches {
        /// The watched path.
        path: String,
        /// The kind of watch.
        kind: WatcherType,
    },
    /// Sets the watches again that a client had on its previous connection.
    SetWatches(SetWatches),
    /// Authenticates the client.
    Auth {
        /// The authentication scheme.
        scheme: String,
        /// The credentials, in the encoding of the scheme.
        credentials: Option<Vec<u8>>,
    },
}

/// A write, alone or as a part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The path. Whether it may be missing depends on the action.
    pub path: Option<String>,
    /// The change at this path.
    pub action: Action,
}

/// The change that a [`Write`] makes at its path. Version -1 stands for any version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Creates a znode.
    Create {
        /// The data of the new znode.
        data: Data,
        /// The ACL of the new znode.
        acl: Vec<RequestedAcl>,
        /// One of the constants of [`create`].
        flags: i32,
        /// In milliseconds; -1 for none.
        time_to_live: i64,
        /// The form of the reply.
        answer: CreateAnswer,
    },
    /// Deletes the znode.
    Delete {
        /// The expected version of the data.
        version: i32,
    },
    /// Sets the data of the znode.
    SetData {
        /// The new data.
        data: Data,
        /// The expected version of the data.
        version: i32,
    },
    /// Sets the ACL of the znode.
    SetAcl {
        /// The new ACL.
        acl: Vec<RequestedAcl>,
        /// The expected version of the ACL.
        version: i32,
    },
    /// Changes nothing, and fails if the znode has another version.
    Check {
        /// The expected version of the data.
        version: i32,
    },
    /// A create in a transaction whose flags announce a time to live that the record does not contain.
    WithoutTimeToLive,
}

/// The form of the reply to a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateAnswer {
    /// The path.
    Path,
    /// The path and the stat.
    PathAndStat,
    /// The path and the stat; the znode is a container.
    PathAndStatOfContainer,
}

/// A read in a [`Request::MultiRead`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Reads the data of the znode at this path.
    Data(String),
    /// Lists the children of the znode at this path.
    Children(String),
}

/// The kind of watch to check or remove (ZooKeeper's `WatcherType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatcherType {
    /// A watch on the list of children.
    Children,
    /// A watch on existence and data.
    Data,
    /// Any watch.
    Any,
}

/// The watches of a client by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetWatches {
    /// The greatest zxid that the client has seen. Later changes are reported at once.
    pub seen: i64,
    /// Paths with a watch on the data of an existing znode.
    pub data: Vec<String>,
    /// Paths with a watch on a missing znode.
    pub exists: Vec<String>,
    /// Paths with a watch on the list of children.
    pub children: Vec<String>,
    /// Paths with a persistent watch.
    pub persistent: Vec<String>,
    /// Paths with a persistent recursive watch.
    pub recursive: Vec<String>,
}

impl ConnectRequest {
    /// Decodes the frame.
    ///
    /// # Errors
    ///
    /// If the frame is too short, or contains an invalid length.
    pub fn decode(frame: &[u8]) -> Result<Self, Malformed> {
        let mut record = Reader::new(frame);
        let _protocol_version = record.int()?;
        Ok(Self {
            last_zxid: record.long()?,
            timeout: record.int()?,
            session: SessionId::from_raw(record.long()?),
            password: record.buffer()?.unwrap_or_default().to_vec(),
            knows_read_only: record.bool().is_ok(),
        })
    }
}

impl<'a> RequestFrame<'a> {
    /// Reads the header of the frame.
    ///
    /// # Errors
    ///
    /// If the frame is shorter than a header.
    pub fn read(frame: &'a [u8]) -> Result<Self, Malformed> {
        let mut record = Reader::new(frame);
        Ok(Self { xid: record.int()?, op_code: record.int()?, record })
    }

    /// Decodes the request; `None` for an unknown op code.
    pub fn request(&self) -> Option<Request> {
        Request::decode(self.op_code, self.record)
    }
}

impl Request {
    /// Decodes the record of a request; `None` for an unknown op code.
    fn decode(op_code: i32, mut record: Reader<'_>) -> Option<Self> {
        let decoded = match op_code {
            op::CREATE
            | op::CREATE2
            | op::CREATE_CONTAINER
            | op::CREATE_TTL
            | op::DELETE
            | op::SET_DATA
            | op::SET_ACL
            | op::CHECK => Write::decode(op_code, &mut record).map(Self::Write),
            op::MULTI => decode_multi(record).and_then(|multi| match multi {
                Multi::Writes(writes) => Ok(Self::Multi(writes)),
                Multi::Reads(_) => Err(Malformed),
            }),
            op::CLOSE_SESSION => Ok(Self::CloseSession),
            op::RECONFIG => Ok(Self::Reconfig),
            op::AUTH => Ok(decode_auth(record).unwrap_or(Self::MalformedAuth)),
            _ => return Self::decode_read(op_code, record).map(|read| read.unwrap_or(Self::MalformedRead)),
        };
        Some(decoded.unwrap_or(Self::MalformedWrite))
    }

    fn decode_read(op_code: i32, mut record: Reader<'_>) -> Option<Result<Self, Malformed>> {
        let mut decode = || {
            Ok(match op_code {
                op::PING => Some(Self::Ping),
                op::EXISTS => Some(Self::Exists { path: record.string()?, watch: record.bool()? }),
                op::GET_DATA => Some(Self::Data { path: record.string()?, watch: record.bool()? }),
                op::GET_CHILDREN | op::GET_CHILDREN2 => {
                    let with_stat = op_code == op::GET_CHILDREN2;
                    Some(Self::Children { path: record.string()?, watch: record.bool()?, with_stat })
                }
                op::GET_ACL => Some(Self::Acl { path: record.string()? }),
                op::MULTI_READ => match decode_multi(record)? {
                    Multi::Reads(reads) => Some(Self::MultiRead(reads)),
                    Multi::Writes(writes) if writes.is_empty() => Some(Self::MultiRead(Vec::new())),
                    Multi::Writes(_) => return Err(Malformed),
                },
                op::SYNC => Some(Self::Sync { path: record.optional_string()? }),
                op::GET_EPHEMERALS => {
                    Some(Self::Ephemerals { prefix: record.optional_string()?.unwrap_or_default() })
                }
                op::GET_ALL_CHILDREN_NUMBER => Some(Self::CountBelow { path: record.string()? }),
                op::WHO_AM_I => Some(Self::WhoAmI),
                op::ADD_WATCH => {
                    let path = record.string()?;
                    let recursive = match record.int()? {
                        0 => false,
                        1 => true,
                        _ => return Err(Malformed),
                    };
                    Some(Self::AddWatch { path, recursive })
                }
                op::CHECK_WATCHES => {
                    Some(Self::CheckWatches { path: record.string()?, kind: watcher_type(&mut record)? })
                }
                op::REMOVE_WATCHES => {
                    Some(Self::RemoveWatches { path: record.string()?, kind: watcher_type(&mut record)? })
                }
                op::SET_WATCHES | op::SET_WATCHES2 => {
                    let mut watches = SetWatches { seen: record.long()?, ..SetWatches::default() };
                    watches.data = paths(&mut record)?;
                    watches.exists = paths(&mut record)?;
                    watches.children = paths(&mut record)?;
                    if op_code == op::SET_WATCHES2 {
                        watches.persistent = paths(&mut record)?;
                        watches.recursive = paths(&mut record)?;
                    }
                    Some(Self::SetWatches(watches))
                }
                _ => None,
            })
        };
        decode().transpose()
    }
}

impl Write {
    fn decode(op_code: i32, record: &mut Reader<'_>) -> Result<Self, Malformed> {
        let path = record.optional_string()?;
        let action = match op_code {
            op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => Action::Create {
                data: data(record)?,
                acl: acl(record)?,
                flags: record.int()?,
                time_to_live: if op_code == op::CREATE_TTL { record.long()? } else { -1 },
                answer: match op_code {
                    op::CREATE => CreateAnswer::Path,
                    op::CREATE_CONTAINER => CreateAnswer::PathAndStatOfContainer,
                    _ => CreateAnswer::PathAndStat,
                },
            },
            op::DELETE => Action::Delete { version: record.int()? },
            op::SET_DATA => Action::SetData { data: data(record)?, version: record.int()? },
            op::SET_ACL => Action::SetAcl { acl: acl(record)?, version: record.int()? },
            op::CHECK => Action::Check { version: record.int()? },
            _ => return Err(Malformed),
        };
        Ok(Self { path, action })
    }
}

/// The parts of a multi request, which are either all writes or all reads.
enum Multi {
    Writes(Vec<Write>),
    Reads(Vec<Read>),
}

fn decode_multi(mut record: Reader<'_>) -> Result<Multi, Malformed> {
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    loop {
        let op_code = record.int()?;
        let done = record.bool()?;
        let _error = record.int()?;
        if done {
            break;
        }
        match op_code {
            op::GET_DATA | op::GET_CHILDREN => {
                let path = record.string()?;
                let _watch = record.bool()?;
                reads.push(if op_code == op::GET_DATA { Read::Data(path) } else { Read::Children(path) });
            }
            op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                let mut write = Write::decode(op_code, &mut record)?;
                // In a transaction the flags alone decide what is created and what the reply contains.
                match &mut write.action {
                    Action::Create { flags: create::TTL | create::TTL_SEQUENTIAL, .. }
                        if op_code != op::CREATE_TTL =>
                    {
                        write.action = Action::WithoutTimeToLive;
                    }
                    Action::Create { flags, time_to_live, answer, .. } => {
                        let container = *flags == create::CONTAINER;
                        *answer =
                            if container { CreateAnswer::PathAndStatOfContainer } else { CreateAnswer::Path };
                        *time_to_live = -1;
                    }
                    _ => {}
                }
                writes.push(write);
            }
            op::DELETE | op::SET_DATA | op::CHECK => writes.push(Write::decode(op_code, &mut record)?),
            _ => return Err(Malformed),
        }
    }
    if writes.iter().any(|write| write.path.is_none()) {
        return Err(Malformed);
    }
    match (writes.is_empty(), reads.is_empty()) {
        (_, true) => Ok(Multi::Writes(writes)),
        (true, false) => Ok(Multi::Reads(reads)),
        (false, false) => Err(Malformed),
    }
}

fn decode_auth(mut record: Reader<'_>) -> Result<Request, Malformed> {
    let _kind = record.int()?;
    let scheme = record.optional_string()?.unwrap_or_default();
    Ok(Request::Auth { scheme, credentials: record.buffer()?.map(<[u8]>::to_vec) })
}

fn data(record: &mut Reader<'_>) -> Result<Data, Malformed> {
    Ok(record.buffer()?.map(Arc::from))
}

fn acl(record: &mut Reader<'_>) -> Result<Vec<RequestedAcl>, Malformed> {
    let entry = |record: &mut Reader<'_>| {
        let permissions = record.int()?;
        Ok(RequestedAcl { permissions, scheme: record.optional_string()?, id: record.optional_string()? })
    };
    Ok(record.vector(entry)?.unwrap_or_default())
}

fn paths(record: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    record.vector(Reader::string)?.ok_or(Malformed)
}

fn watcher_type(record: &mut Reader<'_>) -> Result<WatcherType, Malformed> {
    Ok(match record.int()? {
        1 => WatcherType::Children,
        2 => WatcherType::Data,
        3 => WatcherType::Any,
        _ => return Err(Malformed),
    })
}

/// The flags of a create.
pub mod create {
    /// A persistent znode.
    pub const PERSISTENT: i32 = 0;
    /// An ephemeral znode.
    pub const EPHEMERAL: i32 = 1;
    /// A persistent znode with a number behind its name.
    pub const PERSISTENT_SEQUENTIAL: i32 = 2;
    /// An ephemeral znode with a number behind its name.
    pub const EPHEMERAL_SEQUENTIAL: i32 = 3;
    /// A container.
    pub const CONTAINER: i32 = 4;
    /// A persistent znode with a time to live.
    pub const TTL: i32 = 5;
    /// A persistent znode with a time to live and a number behind its name.
    pub const TTL_SEQUENTIAL: i32 = 6;
}

/// The op codes of requests, and of the results in a transaction's reply.
pub(crate) mod op {
    /// A failed part of a transaction, in replies.
    pub(crate) const ERROR: i32 = -1;
    /// Creates a znode.
    pub(crate) const CREATE: i32 = 1;
    /// Deletes a znode.
    pub(crate) const DELETE: i32 = 2;
    /// Reads the stat of a znode.
    pub(crate) const EXISTS: i32 = 3;
    /// Reads data.
    pub(crate) const GET_DATA: i32 = 4;
    /// Sets data.
    pub(crate) const SET_DATA: i32 = 5;
    /// Reads an ACL.
    pub(crate) const GET_ACL: i32 = 6;
    /// Sets an ACL.
    pub(crate) const SET_ACL: i32 = 7;
    /// Lists children.
    pub(crate) const GET_CHILDREN: i32 = 8;
    /// Waits for committed changes.
    pub(crate) const SYNC: i32 = 9;
    /// A heartbeat.
    pub(crate) const PING: i32 = 11;
    /// Lists children, with the stat of the parent.
    pub(crate) const GET_CHILDREN2: i32 = 12;
    /// Checks a version.
    pub(crate) const CHECK: i32 = 13;
    /// A transaction.
    pub(crate) const MULTI: i32 = 14;
    /// Creates a znode; the reply has its stat.
    pub(crate) const CREATE2: i32 = 15;
    /// Changes the ensemble.
    pub(crate) const RECONFIG: i32 = 16;
    /// Checks for a watch.
    pub(crate) const CHECK_WATCHES: i32 = 17;
    /// Removes a watch.
    pub(crate) const REMOVE_WATCHES: i32 = 18;
    /// Creates a container.
    pub(crate) const CREATE_CONTAINER: i32 = 19;
    /// Creates a znode with a time to live.
    pub(crate) const CREATE_TTL: i32 = 21;
    /// Several reads.
    pub(crate) const MULTI_READ: i32 = 22;
    /// Authenticates the client.
    pub(crate) const AUTH: i32 = 100;
    /// Sets watches again after a reconnect.
    pub(crate) const SET_WATCHES: i32 = 101;
    /// Lists ephemeral znodes.
    pub(crate) const GET_EPHEMERALS: i32 = 103;
    /// Counts descendants.
    pub(crate) const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    /// Sets watches again, persistent ones included.
    pub(crate) const SET_WATCHES2: i32 = 105;
    /// Sets a persistent watch.
    pub(crate) const ADD_WATCH: i32 = 106;
    /// Lists identities.
    pub(crate) const WHO_AM_I: i32 = 107;
    /// Closes the session.
    pub(crate) const CLOSE_SESSION: i32 = -11;
}
