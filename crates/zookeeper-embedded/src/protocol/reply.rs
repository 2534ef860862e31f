//! The frames that a server sends: the connect response, replies, and watch events.

use std::sync::Arc;

use crate::protocol::acl::Acl;
use crate::protocol::code::Code;
use crate::protocol::jute::{JuteWriter as _, frame};
use crate::protocol::request::{Data, op};
use crate::session_id::SessionId;

/// The `xid` of watch events, which reply to no request.
const EVENT: i32 = -1;

/// The response to a [`ConnectRequest`](super::request::ConnectRequest).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectResponse {
    /// The negotiated session timeout in milliseconds; 0 if the requested session has ended.
    pub(crate) timeout: i32,
    /// The session; 0 if the requested session has ended.
    pub(crate) session: SessionId,
    /// The password with which the client can resume the session.
    pub(crate) password: [u8; 16],
    /// Whether to append that this server is not read-only.
    pub(crate) knows_read_only: bool,
}

/// The reply to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The number of the request.
    pub(crate) xid: i32,
    /// The last committed transaction.
    pub(crate) zxid: i64,
    /// The result, or the error code.
    pub(crate) result: Result<Body, Code>,
}

/// The result in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// No content.
    Empty,
    /// The path of a created znode.
    Path(String),
    /// The path of a sync request.
    Synced(Option<String>),
    /// The path and stat of a created znode.
    PathAndStat(String, Stat),
    /// A stat.
    Stat(Stat),
    /// Data, with the stat.
    Data(Data, Stat),
    /// Names of children.
    Children(Vec<String>),
    /// Names of children, with the stat of the parent.
    ChildrenAndStat(Vec<String>, Stat),
    /// An ACL, with the stat.
    Acl(Arc<[Acl]>, Stat),
    /// The results of a transaction or of several reads.
    Multi(Vec<Outcome>),
    /// Pairs of a scheme and a user name.
    Identities(Vec<(String, String)>),
    /// A number of znodes.
    Count(i32),
    /// A second code 0 behind the one of the reply.
    Done,
}

/// The result of one part of a transaction or of a multi read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The path of a created znode.
    Created(String),
    /// The path and stat of a created znode.
    CreatedWithStat(String, Stat),
    /// The znode was deleted.
    Deleted,
    /// The stat after data, or outside of a transaction an ACL, was set.
    Set(Stat),
    /// The version is the expected one.
    Checked,
    /// Data, with the stat.
    Data(Data, Stat),
    /// Names of children.
    Children(Vec<String>),
    /// The error code; `None` for an operation that only failed because a later one did.
    Failed(Option<Code>),
}

/// The metadata of a znode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The transaction that created it.
    pub czxid: i64,
    /// The transaction that last set its data.
    pub mzxid: i64,
    /// When it was created, in milliseconds since 1970.
    pub ctime: i64,
    /// When its data was last set, in milliseconds since 1970.
    pub mtime: i64,
    /// How often its data was set.
    pub version: i32,
    /// How often a child was created or deleted.
    pub cversion: i32,
    /// How often its ACL was set.
    pub aversion: i32,
    /// The session of an ephemeral znode; 0 for others.
    pub ephemeral_owner: i64,
    /// The length of the data in bytes.
    pub data_length: i32,
    /// The number of children.
    pub num_children: i32,
    /// The transaction that last created or deleted a child.
    pub pzxid: i64,
}

/// The event of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The kind of change.
    pub kind: EventKind,
    /// The path of the change.
    pub path: String,
}

/// The kind of change that an [`Event`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The znode was created.
    Created = 1,
    /// The znode was deleted.
    Deleted = 2,
    /// The data of the znode was set.
    DataChanged = 3,
    /// A child of the znode was created or deleted.
    ChildrenChanged = 4,
}

impl ConnectResponse {
    /// The response to a client whose session has ended.
    pub(crate) const fn expired(knows_read_only: bool) -> Self {
        Self { timeout: 0, session: SessionId::from_raw(0), password: [0; 16], knows_read_only }
    }

    /// Appends the frame.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
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
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
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
    /// The approximate size of data and names in bytes.
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
