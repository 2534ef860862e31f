//! The journal of a contender: a line for each act and for each event, written by its process, read by the test.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

use crate::checker::Act;

/// The clock of all journals: one for all processes of a machine.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// A token as it is written down: in hexadecimal.
pub(crate) fn parse_token(text: &str) -> i64 {
    i64::from_str_radix(text.trim_start_matches("0x"), 16).expect("a token")
}

/// The writer's end. Every line is handed to the kernel at once, so that SIGKILL loses none.
pub(crate) struct Writer(File);

impl Writer {
    /// Appends to a file.
    pub(crate) fn append(path: &Path) -> Self {
        Self(File::options().create(true).append(true).open(path).expect("the journal"))
    }

    /// Writes down what happened, and when.
    pub(crate) fn note(&mut self, at: u64, event: &str) {
        self.0.write_all(format!("{at} {event}\n").as_bytes()).expect("the journal");
    }

    /// Writes down an act.
    pub(crate) fn act(&mut self, at: u64, token: i64) {
        self.note(at, &format!("act {token:#x}"));
    }
}

/// The reader's end: what it has read so far.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    by: usize,
    rest: Vec<u8>,
    pub(crate) acts: Vec<Act>,
    /// All but the acts, with their times.
    pub(crate) events: Vec<(u64, String)>,
}

impl Reader {
    /// Of the journal of the contender with this number.
    pub(crate) fn open(path: &Path, by: usize) -> Self {
        let file = File::options().create(true).read(true).append(true).open(path).expect("the journal");
        Self { file, by, rest: Vec::new(), acts: Vec::new(), events: Vec::new() }
    }

    /// Reads what has been written since the last time.
    pub(crate) fn refresh(&mut self) {
        self.file.read_to_end(&mut self.rest).expect("the journal");
        let complete = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.rest.drain(..complete).collect();
        for line in String::from_utf8(lines).expect("text").lines() {
            let (at, event) = line.split_once(' ').expect("a time and an event");
            let at = at.parse().expect("a time");
            match event.strip_prefix("act ") {
                Some(token) => self.acts.push(Act { at, token: parse_token(token), by: self.by }),
                None => self.events.push((at, event.to_owned())),
            }
        }
    }

    /// The last event that begins with `what`, without it.
    pub(crate) fn last(&self, what: &str) -> Option<&str> {
        self.events.iter().rev().find_map(|(_, event)| event.strip_prefix(what)).map(str::trim)
    }
}
