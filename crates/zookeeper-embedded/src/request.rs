//! What clients send: the connect request, and the requests of a session.

use std::sync::Arc;

use crate::acl::Asked;
use crate::jute::{Malformed, Reader};
use crate::session_id::SessionId;

/// The data of a znode; a znode may have none, which is not the same as empty data.
pub type Data = Option<Arc<[u8]>>;

/// The first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    /// The greatest zxid that the client has seen.
    pub last_zxid: i64,
    /// The session timeout that the client wants, in milliseconds.
    pub timeout: i32,
    /// The session to take up again, or 0 for a new one.
    pub session: SessionId,
    /// The password of the session to take up again.
    pub password: Vec<u8>,
    /// Whether the client knows of read-only servers, which answer with one byte more.
    pub knows_read_only: bool,
}

/// A request of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// One write.
    Write(Write),
    /// Several writes: all of them, or none.
    Multi(Vec<Write>),
    /// Ends the session.
    CloseSession,
    /// A change of the ensemble.
    Reconfig,
    /// A write that cannot be decoded.
    MalformedWrite,
    /// A read that cannot be decoded.
    MalformedRead,
    /// Credentials that cannot be decoded.
    MalformedAuth,
    /// A heartbeat.
    Ping,
    /// Whether there is a znode, and its stat.
    Exists { path: String, watch: bool },
    /// A znode's data.
    Data { path: String, watch: bool },
    /// The names of a znode's children, with its stat or without.
    Children { path: String, watch: bool, with_stat: bool },
    /// A znode's ACL.
    Acl { path: String },
    /// Several reads.
    MultiRead(Vec<Read>),
    /// Everything that was committed before is visible after.
    Sync { path: Option<String> },
    /// The session's ephemeral znodes below a prefix.
    Ephemerals { prefix: String },
    /// The number of znodes below a path.
    CountBelow { path: String },
    /// Who the client has proven to be.
    WhoAmI,
    /// A watch that stays.
    AddWatch { path: String, recursive: bool },
    /// Whether the client has a watch.
    CheckWatches { path: String, which: WhichWatches },
    /// The end of a watch.
    RemoveWatches { path: String, which: WhichWatches },
    /// The watches that a client had before it connected again.
    SetWatches(SetWatches),
    /// Credentials.
    Auth { scheme: String, credentials: Option<Vec<u8>> },
}

/// A write, alone or as a part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where; what it means that there is no path depends on the action.
    pub path: Option<String>,
    pub action: Action,
}

/// What a [`Write`] does at its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Creates a znode.
    Create { data: Data, acl: Vec<Asked>, flags: i32, time_to_live: i64, answer: CreateAnswer },
    /// Deletes the znode if it has this version, or any for -1.
    Delete { version: i32 },
    /// Sets the data of the znode if it has this version, or any for -1.
    SetData { data: Data, version: i32 },
    /// Sets the ACL of the znode if its ACL has this version, or any for -1.
    SetAcl { acl: Vec<Asked>, version: i32 },
    /// Nothing, if the znode has this version, or any for -1.
    Check { version: i32 },
    /// A create in a transaction whose flags promise a time to live that its record does not have.
    WithoutTimeToLive,
}

/// What a create answers with; the last one also makes the znode a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateAnswer {
    Path,
    PathAndStat,
    PathAndStatOfContainer,
}

/// A read as a part of a [`Request::MultiRead`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Data(String),
    Children(String),
}

/// Which watches on a path are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichWatches {
    Children,
    Data,
    Any,
}

/// The watches of a client, by their kinds, and what it has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetWatches {
    pub seen: i64,
    pub data: Vec<String>,
    pub exists: Vec<String>,
    pub children: Vec<String>,
    pub persistent: Vec<String>,
    pub recursive: Vec<String>,
}

impl ConnectRequest {
    /// Decodes the frame.
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

impl Request {
    /// Decodes the record of a request with this op code; `None` if there is no such op code.
    ///
    /// A record that cannot be decoded is a request as well, one that is answered with an error.
    pub fn decode(op_code: i32, mut record: Reader<'_>) -> Option<Self> {
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
                    Some(Self::CheckWatches { path: record.string()?, which: which_watches(&mut record)? })
                }
                op::REMOVE_WATCHES => {
                    Some(Self::RemoveWatches { path: record.string()?, which: which_watches(&mut record)? })
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

/// The parts of a transaction, which are all of one kind.
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
                // In a transaction the flags alone tell what is created, and what is answered.
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

fn acl(record: &mut Reader<'_>) -> Result<Vec<Asked>, Malformed> {
    let entry = |record: &mut Reader<'_>| {
        let permissions = record.int()?;
        Ok(Asked { permissions, scheme: record.optional_string()?, id: record.optional_string()? })
    };
    Ok(record.vector(entry)?.unwrap_or_default())
}

fn paths(record: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    record.vector(Reader::string)?.ok_or(Malformed)
}

fn which_watches(record: &mut Reader<'_>) -> Result<WhichWatches, Malformed> {
    Ok(match record.int()? {
        1 => WhichWatches::Children,
        2 => WhichWatches::Data,
        3 => WhichWatches::Any,
        _ => return Err(Malformed),
    })
}

/// The flags of a create.
pub mod create {
    pub const PERSISTENT: i32 = 0;
    pub const EPHEMERAL: i32 = 1;
    pub const PERSISTENT_SEQUENTIAL: i32 = 2;
    pub const EPHEMERAL_SEQUENTIAL: i32 = 3;
    pub const CONTAINER: i32 = 4;
    pub const TTL: i32 = 5;
    pub const TTL_SEQUENTIAL: i32 = 6;
}

/// The op codes of requests, and of the results in a transaction's reply.
pub mod op {
    pub const ERROR: i32 = -1;
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const CREATE_TTL: i32 = 21;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CLOSE_SESSION: i32 = -11;
}
