//! What servers send, in a readable form that is the same for servers that behave the same.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::operations::Operation;
use crate::wire::{self, Reader};
use testkit::OpCode;

/// A frame after the connect response.
#[derive(Debug)]
pub enum Frame<'a> {
    Reply(Reply<'a>),
    Event(Event),
}

/// A reply, whose record is not read yet.
#[derive(Debug)]
pub struct Reply<'a> {
    pub xid: i32,
    pub zxid: i64,
    pub error: i32,
    pub body: &'a [u8],
}

/// A watch event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    pub kind: i32,
    pub path: String,
    /// The event, in words.
    pub text: String,
}

/// What a reply says.
#[derive(Clone, Debug)]
pub struct Answer {
    pub zxid: i64,
    pub error: i32,
    /// The errors of the request and of the parts of a multi.
    pub errors: Vec<i32>,
    /// The path of the node that the request created.
    pub created: Option<String>,
    /// The reply, in words.
    pub text: String,
}

/// In the text of an answer that does not have the form that it must have.
pub const UNDECODABLE: &str = "undecodable";

/// What the owner of an ephemeral node is called.
pub type Owners<'a> = &'a dyn Fn(i64) -> String;

/// Reads a frame's header, and the record if it is an event.
pub fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut reader = Reader(bytes);
    let (xid, zxid, error) = (reader.int()?, reader.long()?, reader.int()?);
    if xid != EVENT {
        return Some(Frame::Reply(Reply { xid, zxid, error, body: reader.0 }));
    }
    let (kind, state) = (reader.int()?, reader.int()?);
    let path = wire::text(reader.buffer()??);
    let name = event_name(kind);
    let mut text = format!("event {name} {path:?}");
    if (state, zxid, error, reader.0) != (SYNC_CONNECTED, -1, 0, &[]) {
        let _ = write!(text, " state {state} zxid {zxid} error {error} and {:02x?}", reader.0);
    }
    Some(Frame::Event(Event { kind, path, text }))
}

impl Reply<'_> {
    /// Reads the record, which answers `operation`.
    pub fn answer(&self, operation: &Operation, owners: Owners<'_>) -> Answer {
        let &Self { xid, zxid, error, body } = self;
        let mut record = Record { reader: Reader(body), errors: vec![error], created: None, owners };
        let mut text = format!("xid {xid} zxid {zxid} {}", error_name(error));
        // Behind an error code no client reads on; 3.8.0 sends an empty list with a refused multiRead.
        if error == 0 {
            match record.read(operation.code()) {
                Some(read) if record.reader.0.is_empty() => text.push_str(&read),
                _ => {
                    let _ = write!(text, " {UNDECODABLE} {body:02x?}");
                }
            }
        }
        let Record { errors, created, .. } = record;
        Answer { zxid, error, errors, created, text }
    }
}

/// A reply's record that is being read.
struct Record<'a> {
    reader: Reader<'a>,
    errors: Vec<i32>,
    created: Option<String>,
    owners: Owners<'a>,
}

impl<'a> Record<'a> {
    fn read(&mut self, code: OpCode) -> Option<String> {
        let reader = &mut self.reader;
        Some(match code {
            OpCode::CREATE => self.new_path()?,
            OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
                self.new_path()? + &self.stat()?
            }
            OpCode::EXISTS | OpCode::SET_DATA | OpCode::SET_ACL => self.stat()?,
            OpCode::GET_DATA => self.data()? + &self.stat()?,
            OpCode::GET_ACL => self.acl()? + &self.stat()?,
            OpCode::GET_CHILDREN | OpCode::GET_EPHEMERALS => self.sorted(Reader::string)?,
            OpCode::GET_CHILDREN2 => self.sorted(Reader::string)? + &self.stat()?,
            OpCode::SYNC => format!(" {}", reader.string()?),
            OpCode::GET_ALL_CHILDREN_NUMBER | OpCode::ADD_WATCH => format!(" {}", reader.int()?),
            OpCode::WHO_AM_I => {
                self.sorted(|reader| Some(format!("{}:{}", reader.string()?, reader.string()?)))?
            }
            OpCode::MULTI | OpCode::MULTI_READ => self.results()?,
            // The others are answered by the header alone.
            _ => String::new(),
        })
    }

    fn results(&mut self) -> Option<String> {
        let mut text = String::from(" [");
        loop {
            let (code, done, error) = (self.reader.int()?, self.reader.bool()?, self.reader.int()?);
            if done {
                return (code == -1 && error == -1).then(|| text + "]");
            }
            if code == -1 {
                let same = self.reader.int()?;
                self.errors.push(error);
                let _ = write!(text, " {}({})", error_name(error), error_name(same));
            } else {
                let code = OpCode(code);
                let _ = write!(text, " {code:?}({error}){}", self.read(code)?);
            }
            text.push(';');
        }
    }

    fn new_path(&mut self) -> Option<String> {
        let path = wire::text(self.reader.buffer()??);
        let text = format!(" {path:?}");
        self.created = Some(path);
        Some(text)
    }

    fn data(&mut self) -> Option<String> {
        let data = self.reader.buffer()?.map(String::from_utf8_lossy);
        Some(data.map_or_else(|| " null".to_owned(), |data| format!(" {data:?}")))
    }

    /// A list whose order means nothing.
    fn sorted(&mut self, one: impl FnMut(&mut Reader<'a>) -> Option<String>) -> Option<String> {
        let mut items = self.reader.list(one)?;
        items.sort();
        Some(format!(" [{}]", items.join(", ")))
    }

    fn acl(&mut self) -> Option<String> {
        let entry = |reader: &mut Reader<'_>| Some((reader.int()?, reader.string()?, reader.string()?));
        let mut entries = self.reader.list(entry)?;
        // The scheme `auth` becomes all users of the connection, in no particular order.
        let same_kind = |a: &(i32, String, String), b: &(i32, String, String)| (a.0, &a.1) == (b.0, &b.1);
        entries.chunk_by_mut(same_kind).for_each(<[_]>::sort);
        let entries: Vec<String> =
            entries.iter().map(|(permissions, scheme, id)| format!("{permissions} {scheme}:{id}")).collect();
        Some(format!(" [{}]", entries.join(", ")))
    }

    fn stat(&mut self) -> Option<String> {
        let reader = &mut self.reader;
        let (czxid, mzxid, ctime, mtime) = (reader.long()?, reader.long()?, reader.long()?, reader.long()?);
        let (version, cversion, aversion) = (reader.int()?, reader.int()?, reader.int()?);
        let (owner, length, children) = (reader.long()?, reader.int()?, reader.int()?);
        let pzxid = reader.long()?;
        // Created and modified by the same transaction.
        let times = match czxid == mzxid && ctime == mtime {
            true => time(ctime),
            false => format!("{}/{}", time(ctime), time(mtime)),
        };
        let owner = match owner {
            0 => String::new(),
            i64::MIN => " container".to_owned(),
            session => format!(" owner={}", (self.owners)(session)),
        };
        Some(format!(
            " {{czxid={czxid} mzxid={mzxid} pzxid={pzxid} version={version} cversion={cversion} \
             aversion={aversion} length={length} children={children} time={times}{owner}}}"
        ))
    }
}

/// A time of the server's clock, which is the same clock as here.
fn time(milliseconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_millis();
    let now = i64::try_from(now).expect("a time before the year 292 million");
    match milliseconds {
        0 => "0".to_owned(),
        _ if (now - 3_600_000..=now).contains(&milliseconds) => "now".to_owned(),
        other => other.to_string(),
    }
}

/// The xid of watch events.
const EVENT: i32 = -1;

/// The only state that servers report.
const SYNC_CONNECTED: i32 = 3;

/// The name of an error code.
pub fn error_name(code: i32) -> String {
    let name = match code {
        0 => "Ok",
        -2 => "RuntimeInconsistency",
        -5 => "MarshallingError",
        -6 => "Unimplemented",
        -8 => "BadArguments",
        -101 => "NoNode",
        -102 => "NoAuth",
        -103 => "BadVersion",
        -108 => "NoChildrenForEphemerals",
        -110 => "NodeExists",
        -111 => "NotEmpty",
        -112 => "SessionExpired",
        -114 => "InvalidACL",
        -115 => "AuthFailed",
        -121 => "NoWatcher",
        other => return format!("error {other}"),
    };
    name.to_owned()
}

/// The name of a kind of event.
pub fn event_name(kind: i32) -> String {
    let name = match kind {
        1 => "NodeCreated",
        2 => "NodeDeleted",
        3 => "NodeDataChanged",
        4 => "NodeChildrenChanged",
        other => return format!("of kind {other}"),
    };
    name.to_owned()
}
