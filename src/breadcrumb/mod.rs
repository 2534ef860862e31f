//! The breadcrumb: a persistent znode that names the last leader, until it resigns.

mod step;

use std::fmt;

use async_trait::async_trait;

pub(crate) use self::step::{BreadcrumbStep, erase};
use crate::error::BoxError;
use crate::types::FencingToken;

/// The leadership that was the last one before, and did not end by [`resign`](crate::Leadership::resign): what
/// [`ElectionBuilder::breadcrumb`](crate::ElectionBuilder::breadcrumb) leaves in ZooKeeper.
///
/// In the znode it is a text of three lines, which `get` in zkCli.sh shows as they are:
///
/// ```text
/// identity: host-a:8080
/// token: 0x100000004
/// node: /app/leader_election/guid_0000000001
/// ```
///
/// In an identity, a backslash, a line feed and a carriage return are written `\\`, `\n` and `\r`. Readers pass over
/// lines that they do not know. After a resignation the znode is empty. It is not deleted, so that its version grows with
/// each leader, on which guarded writes rely: do not delete it during a leadership.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Breadcrumb {
    /// What the leader published about itself.
    pub identity: String,
    /// Its token.
    pub token: FencingToken,
    /// The path of its znode, below the session's chroot.
    pub node: String,
}

/// Keeps a former leader from doing any more, for [`ElectionBuilder::fence`](crate::ElectionBuilder::fence): takes
/// away its access to a disk, stops its machine, revokes its credentials.
#[async_trait]
pub trait Fence: Send + Sync {
    /// Called by a contender that has won, before [`campaign`](crate::Election::campaign) returns, if the leader before
    /// it has not resigned. `Ok` says that the old leader acts no more.
    ///
    /// After an error or a panic, the contender gives up the leadership: [`Error::FencingFailed`](crate::Error::FencingFailed). The next leader calls its own
    /// hook for the same breadcrumb; so one that has failed, or was dropped because the lease ended meanwhile, is
    /// called again, and fencing twice must do no harm. The old leader may be this very process, in an earlier leadership.
    /// While the hook runs this contender is the leader to all others.
    async fn fence(&self, old: &Breadcrumb) -> Result<(), BoxError>;
}

impl Breadcrumb {
    /// Reads the text that [`Display`](fmt::Display) writes.
    fn parse(data: &[u8]) -> Option<Self> {
        let text = str::from_utf8(data).ok()?;
        let line = |name: &str| {
            text.split('\n').find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
        };
        let zxid = u64::from_str_radix(line("token")?.strip_prefix("0x")?, 16).ok()?;
        Some(Self {
            identity: unescape(&line("identity")?)?,
            token: FencingToken::from_zxid(zxid.cast_signed()),
            node: line("node").filter(|node| node.starts_with('/'))?,
        })
    }
}

impl fmt::Display for Breadcrumb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.identity.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        write!(f, "identity: {identity}\ntoken: {}\nnode: {}", self.token, self.node)
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut characters = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breadcrumb(identity: &str) -> Breadcrumb {
        let node = "/app/leader_election/guid_0000000001".into();
        Breadcrumb { identity: identity.into(), token: FencingToken::from_zxid(0x1_0000_0004), node }
    }

    #[test]
    fn it_reads_what_it_writes() {
        for identity in
            ["host-a:8080", "", "two\nlines\r\n", r"C:\new", "\\", "token: 0x1", "größe 選挙 \u{1f600}"]
        {
            let breadcrumb = breadcrumb(identity);
            let text = breadcrumb.to_string();
            assert_eq!(text.lines().count(), 3, "{text}");
            assert_eq!(Breadcrumb::parse(text.as_bytes()), Some(breadcrumb), "{text}");
        }
    }

    #[test]
    fn the_text_is_as_documented() {
        let text = "identity: host-a:8080\ntoken: 0x100000004\nnode: /app/leader_election/guid_0000000001";
        assert_eq!(breadcrumb("host-a:8080").to_string(), text);
        let of_a_later_version = format!("session: 0x1\n{text}\n");
        assert_eq!(Breadcrumb::parse(of_a_later_version.as_bytes()), Some(breadcrumb("host-a:8080")));
    }

    #[test]
    fn what_is_no_breadcrumb_is_not_taken_for_one() {
        for text in [
            &b""[..],
            b"x",
            b"identity: a\ntoken: 0x1",
            b"identity: a\ntoken: 1\nnode: /x",
            b"identity: a\ntoken: 0xg\nnode: /x",
            b"identity: a\ntoken: 0x1\nnode: x",
            b"identity: \\a\ntoken: 0x1\nnode: /x",
            b"identity: \\\ntoken: 0x1\nnode: /x",
            b"identity: \xff\ntoken: 0x1\nnode: /x",
        ] {
            assert_eq!(Breadcrumb::parse(text), None, "{}", text.escape_ascii());
        }
    }
}
