//! Transcripts of the machine: text files with events (`>`) and the actions that followed.
//!
//! `UPDATE_TRANSCRIPTS=1 cargo test --lib transcripts` rewrites the actions. Review the changes.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::{Action, ElectionSpec, Event, Machine, Reply, Request, Seen, Ticket};
use crate::error::{Error, Failure, Lost};
use crate::lease::Lease;
use crate::timestamp::Timestamp;
use crate::types::{FencingToken, Mode, Standing};
use crate::znode::Node;

#[test]
fn transcripts_hold() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/machine/transcripts");
    let mut differing = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let expected = std::fs::read_to_string(&path).unwrap();
        let actual = replay(&expected);
        count += 1;
        if actual == expected {
            continue;
        }
        if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
            std::fs::write(&path, actual).unwrap();
        } else {
            differing.push(format!("{}: the machine did\n\n{actual}", path.display()));
        }
    }
    assert!(count >= 10, "only {count} transcripts found");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// Feeds the events of a transcript, and writes it again with the machine's actions.
fn replay(transcript: &str) -> String {
    let mut replay =
        Replay::new(if transcript.starts_with("mode: master") { Mode::Master } else { Mode::Sequential });
    let mut written = String::new();
    for line in transcript.lines() {
        if let Some(event) = line.strip_prefix("> ") {
            writeln!(written, "{line}").unwrap();
            written.push_str(&replay.feed(event));
        } else if !line.starts_with("    ") {
            writeln!(written, "{line}").unwrap();
        }
    }
    written
}

/// A machine, and the tickets that it waits for.
struct Replay {
    machine: Machine,
    now: Timestamp,
    path: &'static str,
    own: Ticket,
    other: Ticket,
    proving: bool,
}

impl Replay {
    fn new(mode: Mode) -> Self {
        let path = if mode == Mode::Master { "/app/master" } else { "/app" };
        let spec = ElectionSpec { mode, path: path.into(), prefix: "guid_".into() };
        let now = Timestamp::from_nanos(1_000_000_000);
        Self { machine: Machine::new(spec, 0), now, path, own: Ticket(0), other: Ticket(0), proving: false }
    }

    fn feed(&mut self, line: &str) -> String {
        let event = self.event(line);
        self.machine.handle(self.now, event);
        self.now = self.now + Duration::from_millis(1);
        let mut lines = String::new();
        while let Some(action) = self.machine.poll_action() {
            writeln!(lines, "    {}", self.describe(action)).unwrap();
        }
        let proving = self.machine.proving(self.now).is_some();
        if proving != self.proving {
            self.proving = proving;
            lines.push_str(if proving { "    (proves the session)\n" } else { "    (proves no more)\n" });
        }
        if self.machine.connected && self.machine.retry_at.is_some_and(|at| at > self.now) {
            lines.push_str("    (pauses)\n");
        }
        lines
    }

    fn event(&mut self, line: &str) -> Event {
        let words: Vec<&str> = line.split_whitespace().collect();
        let node = |name: &str, token: &str| Node {
            path: if name == "master" { self.path.into() } else { format!("{}/{name}", self.path) },
            token: FencingToken::from_zxid(token.parse().unwrap()),
            incarnation: None,
        };
        let failure = |word: &str| match word {
            "no-node" => Failure::NoNode,
            "exists" => Failure::NodeExists,
            "unknown" => Failure::Unknown("connection loss".into()),
            "rejected" => Failure::Rejected("throttled".into()),
            "refused" => Failure::Refused(Error::NotAuthorized { operation: "create", path: "/app".into() }),
            other => panic!("no failure {other:?}"),
        };
        let seen = |words: &[&str]| match *words {
            ["present"] => Ok(Seen::Present),
            ["absent"] => Ok(Seen::Absent),
            ["other"] => Ok(Seen::Other),
            ["orphan", name, token] => Ok(Seen::Orphan(node(name, token))),
            [word] => Err(failure(word)),
            _ => panic!("nothing seen: {words:?}"),
        };
        let done = |word: &str| if word == "ok" { Ok(()) } else { Err(failure(word)) };
        let reply = match words[..] {
            ["campaign"] => return Event::Campaign,
            ["withdraw"] => return Event::Withdraw(Lost::Resigned),
            ["connected"] => return Event::Connected,
            ["suspended"] => return Event::Suspended,
            ["session", "lost"] => return Event::SessionLost { reopening: true },
            ["session", "lost", "for", "good"] => return Event::SessionLost { reopening: false },
            ["own", "deleted"] => return Event::OwnChanged { deleted: true },
            ["own", "changed"] => return Event::OwnChanged { deleted: false },
            ["ahead", "changed"] => return Event::AheadChanged,
            ["time", "passes"] => {
                self.now = self
                    .machine
                    .poll_timeout()
                    .unwrap_or_else(|| panic!("no pause at {line:?}, after {:?}", self.machine.reported));
                return Event::Tick;
            }
            ["the", "lease", "ends"] => {
                self.now = self.machine.leading().expect("a leadership").lease.end();
                return Event::Tick;
            }
            ["the", "session", "timeout", "shrinks"] => {
                return Event::Shortened(Lease::until(self.now + Duration::from_millis(10)));
            }
            ["proven"] => return Event::Proven { sent: self.now, lease: self.lease() },
            ["proven", "before", "it", "was", "created"] => {
                return Event::Proven { sent: Timestamp::from_nanos(0), lease: self.lease() };
            }
            ["own", "is", ref words @ ..] => return Event::Reply(self.own, Reply::Watched(seen(words))),
            ["created", name, token] => Reply::Created(Ok((node(name, token), self.lease()))),
            ["created", name, token, "without", "a", "lease"] => {
                Reply::Created(Ok((node(name, token), Lease::OVER)))
            }
            ["created", word] => Reply::Created(Err(failure(word))),
            ["found"] => Reply::Found(Ok(Vec::new())),
            ["found", "unknown"] => Reply::Found(Err(failure("unknown"))),
            ["found", name, token] => Reply::Found(Ok(vec![node(name, token)])),
            ["found", name, token, other, another] => {
                Reply::Found(Ok(vec![node(name, token), node(other, another)]))
            }
            ["listed", word @ ("no-node" | "unknown" | "refused")] => Reply::Listed(Err(failure(word))),
            ["listed", ref names @ ..] => {
                Reply::Listed(Ok(names.iter().map(|name| name.to_string()).collect()))
            }
            ["ahead", "is", ref words @ ..] => Reply::Watched(seen(words)),
            ["parents", word] => Reply::ParentsCreated(done(word)),
            ["removed", word] => Reply::Removed(done(word)),
            _ => panic!("no event {line:?}"),
        };
        Event::Reply(self.other, reply)
    }

    /// What a transaction grants that commits now.
    fn lease(&self) -> Lease {
        Lease::until(self.now + Duration::from_secs(1))
    }

    fn describe(&mut self, action: Action) -> String {
        match action {
            Action::Ask(ticket, request) => {
                match request {
                    Request::WatchOwn(_) => self.own = ticket,
                    _ => self.other = ticket,
                }
                match request {
                    Request::Create => "create".into(),
                    Request::CreateParents => "create parents".into(),
                    Request::FindOwn(_) => "find own".into(),
                    Request::List => "list".into(),
                    Request::WatchOwn(node) => format!("watch own {}", node.path),
                    Request::WatchAhead(path) => format!("watch ahead {path}"),
                    Request::Remove { node, verify: false } => format!("remove {}", node.path),
                    Request::Remove { node, verify: true } => format!("remove {} if it is ours", node.path),
                }
            }
            Action::Unwatch => "unwatch".into(),
            Action::Lead(node, _) => format!("LEAD on {} with {}", node.path, node.token),
            Action::Extend(_) => "EXTEND".into(),
            Action::Shorten(_) => "SHORTEN".into(),
            Action::Forget(node) => format!("forget {}", node.path),
            Action::StepDown(lost) => format!("STEP DOWN: {lost}"),
            Action::GiveUp(error) => format!("give up: {}", short(&error)),
            Action::RemovalFailed(error) => format!("removal failed: {}", short(&error)),
            Action::Left(error) => format!("left behind: {}", short(&error)),
            Action::Report(standing) => match standing {
                Standing::Idle => "is idle".into(),
                Standing::Connecting { after: None } => "is connecting".into(),
                Standing::Connecting { after: Some(lost) } => format!("is connecting, after {lost}"),
                Standing::Joining { after: None } => "is joining".into(),
                Standing::Joining { after: Some(lost) } => format!("is joining, after {lost}"),
                Standing::Waiting { behind, .. } => format!("is waiting behind {behind}"),
                Standing::Leading { .. } => "is leading".into(),
                Standing::Leaving => "is leaving".into(),
            },
        }
    }
}

/// The name of an error's variant.
fn short(error: &Error) -> String {
    format!("{error:?}").split(['{', '(', ' ']).next().unwrap().to_owned()
}
