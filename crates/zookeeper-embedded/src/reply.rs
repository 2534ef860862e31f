//! What a server sends: the connect response, replies, and events of watches.

use std::sync::Arc;

use crate::acl::Acl;
use crate::code::Code;
use crate::jute::{Write as _, frame};
use crate::request::{Data, op};
use crate::session_id::SessionId;

/// The `xid` of what is no reply to a request.
const EVENT: i32 = -1;

/// The answer to a [`ConnectRequest`](super::request::ConnectRequest).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    /// The negotiated timeout in milliseconds; 0 when the session does not exist any more.
    pub timeout: i32,
    /// The session; 0 when the one that was asked for does not exist any more.
    pub session: SessionId,
    /// What the client proves with that the session is its own.
    pub password: [u8; 16],
    /// Whether to tell that this server is not read-only.
    pub knows_read_only: bool,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request's own number.
    pub xid: i32,
    /// The last transaction that the server has carried out.
    pub zxid: i64,
    /// What was asked for, or why not.
    pub result: Result<Body, Code>,
}

/// What a reply carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Empty,
    /// The path of a created znode.
    Path(String),
    /// The path of a sync, as it was asked for.
    Synced(Option<String>),
    PathAndStat(String, Stat),
    Stat(Stat),
    Data(Data, Stat),
    Children(Vec<String>),
    ChildrenAndStat(Vec<String>, Stat),
    Acl(Arc<[Acl]>, Stat),
    /// The results of a transaction, or of several reads.
    Multi(Vec<Outcome>),
    /// Schemes, and whom the client has proven to be in each.
    Identities(Vec<(String, String)>),
    Count(i32),
    /// A code of its own behind the reply's: 0.
    Done,
}

/// The result of one part of a transaction, or of several reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Created(String),
    CreatedWithStat(String, Stat),
    Deleted,
    /// Data were set; alone, outside of a transaction, or an ACL.
    Set(Stat),
    Checked,
    Data(Data, Stat),
    Children(Vec<String>),
    /// `None` for an operation that would have been carried out if no later one had failed.
    Failed(Option<Code>),
}

/// What a server tells about a znode besides its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The transaction that created it.
    pub czxid: i64,
    /// The transaction that set its data last.
    pub mzxid: i64,
    /// When it was created, in milliseconds since 1970.
    pub ctime: i64,
    /// When its data was set last, in milliseconds since 1970.
    pub mtime: i64,
    /// How often its data was set.
    pub version: i32,
    /// How often its children changed.
    pub cversion: i32,
    /// How often its ACL was set.
    pub aversion: i32,
    /// The session that it ends with; 0 if it does not.
    pub ephemeral_owner: i64,
    /// Bytes of data.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
    /// The transaction that changed its children last.
    pub pzxid: i64,
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    pub path: String,
}

/// What happened at the path of an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Created = 1,
    Deleted = 2,
    DataChanged = 3,
    ChildrenChanged = 4,
}

impl ConnectResponse {
    /// The answer to a client whose session does not exist any more.
    pub const fn expired(knows_read_only: bool) -> Self {
        Self { timeout: 0, session: SessionId::from_raw(0), password: [0; 16], knows_read_only }
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        frame(out, |out| {
            out.int(0); // protocol version
            out.int(self.timeout);
            out.long(self.session.raw());
            out.buffer(Some(&self.password));
            if self.knows_read_only {
                out.bool(false);
            }
        });
    }
}

impl Reply {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        frame(out, |out| {
            out.int(self.xid);
            out.long(self.zxid);
            match &self.result {
                Ok(body) => {
                    out.int(0);
                    body.encode(out);
                }
                Err(code) => out.int(code.number()),
            }
        });
    }
}

impl Event {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        const CONNECTED: i32 = 3;
        frame(out, |out| {
            out.int(EVENT);
            out.long(-1);
            out.int(0);
            out.int(self.kind as i32);
            out.int(CONNECTED);
            out.string(&self.path);
        });
    }
}

impl Body {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Empty => {}
            Self::Path(path) => out.string(path),
            Self::Synced(path) => out.buffer(path.as_deref().map(str::as_bytes)),
            Self::PathAndStat(path, stat) => {
                out.string(path);
                stat.encode(out);
            }
            Self::Stat(stat) => stat.encode(out),
            Self::Data(data, stat) => {
                out.buffer(data.as_deref());
                stat.encode(out);
            }
            Self::Children(names) => strings(out, names),
            Self::ChildrenAndStat(names, stat) => {
                strings(out, names);
                stat.encode(out);
            }
            Self::Acl(acl, stat) => {
                out.vector(acl, |out, entry| {
                    out.int(entry.permissions);
                    out.string(&entry.id.scheme);
                    out.string(&entry.id.id);
                });
                stat.encode(out);
            }
            Self::Multi(outcomes) => {
                outcomes.iter().for_each(|outcome| outcome.encode(out));
                multi_header(out, -1, true, -1);
            }
            Self::Identities(identities) => out.vector(identities, |out, (scheme, user)| {
                out.string(scheme);
                out.string(user);
            }),
            Self::Count(count) => out.int(*count),
            Self::Done => out.int(0),
        }
    }
}

impl Outcome {
    /// About how many bytes of data and names it carries.
    pub fn size(&self) -> usize {
        match self {
            Self::Data(data, _) => data.as_ref().map_or(0, |data| data.len()),
            Self::Children(names) => names.iter().map(|name| 4 + name.len()).sum(),
            _ => 0,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Created(path) => {
                multi_header(out, op::CREATE, false, 0);
                out.string(path);
            }
            Self::CreatedWithStat(path, stat) => {
                multi_header(out, op::CREATE2, false, 0);
                out.string(path);
                stat.encode(out);
            }
            Self::Deleted => multi_header(out, op::DELETE, false, 0),
            Self::Checked => multi_header(out, op::CHECK, false, 0),
            Self::Set(stat) => {
                multi_header(out, op::SET_DATA, false, 0);
                stat.encode(out);
            }
            Self::Data(data, stat) => {
                multi_header(out, op::GET_DATA, false, 0);
                out.buffer(data.as_deref());
                stat.encode(out);
            }
            Self::Children(names) => {
                multi_header(out, op::GET_CHILDREN, false, 0);
                strings(out, names);
            }
            Self::Failed(code) => {
                let code = code.map_or(0, Code::number);
                multi_header(out, op::ERROR, false, code);
                out.int(code);
            }
        }
    }
}

impl Stat {
    fn encode(&self, out: &mut Vec<u8>) {
        out.long(self.czxid);
        out.long(self.mzxid);
        out.long(self.ctime);
        out.long(self.mtime);
        out.int(self.version);
        out.int(self.cversion);
        out.int(self.aversion);
        out.long(self.ephemeral_owner);
        out.int(self.data_length);
        out.int(self.num_children);
        out.long(self.pzxid);
    }
}

fn multi_header(out: &mut Vec<u8>, op_code: i32, done: bool, error: i32) {
    out.int(op_code);
    out.bool(done);
    out.int(error);
}

fn strings(out: &mut Vec<u8>, strings: &[String]) {
    out.vector(strings, |out, it| out.string(it));
}
