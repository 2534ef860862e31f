//! ZooKeeper's client framing, as far as the proxy acts on it: frames, the ids of requests, and their op codes.

use std::fmt;

/// The op code of a request: what it asks for.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct OpCode(pub i32);

macro_rules! op_codes {
    ($($name:ident = $code:literal,)*) => {
        impl OpCode {
            $(
                #[doc = concat!("Op code ", $code, ".")]
                pub const $name: OpCode = OpCode($code);
            )*
        }

        impl fmt::Debug for OpCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($code => f.write_str(stringify!($name)),)*
                    code => write!(f, "OpCode({code})"),
                }
            }
        }
    };
}

op_codes! {
    CREATE = 1,
    DELETE = 2,
    EXISTS = 3,
    GET_DATA = 4,
    SET_DATA = 5,
    GET_ACL = 6,
    SET_ACL = 7,
    GET_CHILDREN = 8,
    SYNC = 9,
    PING = 11,
    GET_CHILDREN2 = 12,
    CHECK = 13,
    MULTI = 14,
    CREATE2 = 15,
    RECONFIG = 16,
    CHECK_WATCHES = 17,
    REMOVE_WATCHES = 18,
    CREATE_CONTAINER = 19,
    CREATE_TTL = 21,
    MULTI_READ = 22,
    AUTH = 100,
    SET_WATCHES = 101,
    SASL = 102,
    GET_EPHEMERALS = 103,
    GET_ALL_CHILDREN_NUMBER = 104,
    SET_WATCHES2 = 105,
    ADD_WATCH = 106,
    WHO_AM_I = 107,
    MULTI_CREATE = 1014,
    CLOSE = -11,
}

/// The id that a request and its reply carry; the connect frames carry none.
pub(crate) fn xid(frame: &[u8]) -> Option<i32> {
    int(frame, 4)
}

/// The op code of a request other than the connect request. A transaction that begins with a create has one of its own,
/// `MULTI_CREATE`, which ZooKeeper does not know.
pub(crate) fn op_code(frame: &[u8]) -> Option<OpCode> {
    let code = int(frame, 8).map(OpCode)?;
    let creates = matches!(int(frame, 12).map(OpCode), Some(OpCode::CREATE | OpCode::CREATE2));
    Some(if code == OpCode::MULTI && creates { OpCode::MULTI_CREATE } else { code })
}

/// Whether a request does this at this path or below it, by itself or as a part of a transaction.
pub(crate) fn does(frame: &[u8], what: OpCode, path: &str) -> bool {
    let at_path = |rest: &[u8]| {
        let length = int(rest, 0).and_then(|length| usize::try_from(length).ok());
        let given = length.and_then(|length| rest.get(4..4 + length));
        let below = given.and_then(|given| given.strip_prefix(path.as_bytes()));
        below.is_some_and(|below| below.is_empty() || below[0] == b'/')
    };
    match int(frame, 8).map(OpCode) {
        // Each part begins with its op code, `false`, and -1.
        Some(OpCode::MULTI) => {
            let header = [what.0.to_be_bytes().as_slice(), &[0], &(-1_i32).to_be_bytes()].concat();
            let parts = frame.windows(header.len()).enumerate().filter(|(_, bytes)| *bytes == header);
            parts.into_iter().any(|(start, _)| at_path(&frame[start + header.len()..]))
        }
        Some(op_code) => op_code == what && at_path(&frame[12..]),
        None => false,
    }
}

/// Cuts a stream of bytes into frames.
///
/// A stream that is not framed, such as a four-letter word and its answer, is returned as it comes.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The bytes that have been read and not yet returned: read into it.
    pub buffer: Vec<u8>,
    unframed: bool,
}

impl Frames {
    /// The next complete frame, with its length prefix.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        if !self.unframed {
            let length = usize::try_from(int(&self.buffer, 0)?).unwrap_or(usize::MAX);
            if length <= LONGEST {
                let complete = self.buffer.len() >= 4 + length;
                return complete.then(|| self.buffer.drain(..4 + length).collect());
            }
            self.unframed = true;
        }
        let bytes = std::mem::take(&mut self.buffer);
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Whether the stream turned out not to be framed.
    pub(crate) fn unframed(&self) -> bool {
        self.unframed
    }
}

/// Longer than any frame in a test, and less than four letters read as a length.
const LONGEST: usize = 16 << 20;

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    let bytes = bytes.get(at..at + 4)?;
    bytes.try_into().ok().map(i32::from_be_bytes)
}
