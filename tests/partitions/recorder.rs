//! A contender in a process of its own, which campaigns for ever and records what it does while it leads.
//!
//! The process is this test program again, told by its environment to run only [`contend`].

use std::env;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use testkit::PATIENCE;
use testkit::process::dying_with_us;
use tokio::time::timeout;
use zookeeper_election::{Leadership, Session};

use crate::journal::{Writer, now};

/// What a contender is told.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    pub(crate) connect: String,
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) session_timeout: Duration,
    pub(crate) journal: String,
}

const VARIABLE: &str = "PARTITIONS_CONTENDER";

impl Orders {
    /// The command that carries them out.
    pub(crate) fn command(&self) -> Command {
        let Self { connect, path, id, session_timeout, journal } = self;
        let millis = session_timeout.as_millis();
        let orders = format!("{connect} {path} {id} {millis} {journal}");
        let mut command = dying_with_us("env");
        command.arg(format!("{VARIABLE}={orders}")).arg(env::current_exe().expect("this program"));
        command.args(["--ignored", "--exact", "recorder::contend", "--nocapture", "--test-threads=1"]);
        command
    }

    fn from_environment() -> Option<Self> {
        let orders = env::var(VARIABLE).ok()?;
        let orders: Vec<String> = orders.split(' ').map(str::to_owned).collect();
        let [connect, path, id, millis, journal] = orders.try_into().expect("five orders");
        let session_timeout = Duration::from_millis(millis.parse().expect("milliseconds"));
        Some(Self { connect, path, id, session_timeout, journal })
    }
}

#[test]
#[ignore = "the program of the contenders, which the other tests start"]
fn contend() {
    let Some(orders) = Orders::from_environment() else { return };
    let mut journal = Writer::append(Path::new(&orders.journal));
    // The acts are done by this thread and not by the runtime's. After a pause of the process it may be the
    // first to run again: before the library has heard of anything.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let connecting = Session::builder().session_timeout(orders.session_timeout).connect(&orders.connect);
    let session = runtime.block_on(connecting).expect("a session");
    let builder = session.election(&orders.path).identity(&orders.id);
    let election = builder.build().expect("an election");
    loop {
        journal.note(now(), "campaigns");
        match runtime.block_on(election.campaign()) {
            Ok(leadership) => {
                let token = leadership.token().zxid();
                let session = session.id().map(|id| id.to_string()).unwrap_or_default();
                journal.note(now(), &format!("leads {token:#x} {session}"));
                lead(&leadership, &mut journal);
                let lost = runtime.block_on(async { timeout(PATIENCE, leadership.lost()).await });
                match lost {
                    Ok(lost) => journal.note(now(), &format!("lost {token:#x} {lost:?}")),
                    Err(_) => {
                        journal.note(now(), &format!("error: {token:#x} is invalid, and nobody says why"))
                    }
                }
            }
            Err(error) => {
                journal.note(now(), &format!("error: {error}"));
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Acts every 5 ms, for as long as the leadership is valid.
///
/// The clock is read first, then the leadership is asked: if it is valid at the second moment it was so at the first,
/// and the record claims nothing that the library has not promised. In the other order a pause between the two would
/// date an act later than the promise, and blame the library for it. Nothing is missed by this order: a leadership that
/// is valid for too long is so at the next act, too.
fn lead(leadership: &Leadership, journal: &mut Writer) {
    let token = leadership.token().zxid();
    loop {
        let at = now();
        if !leadership.is_valid() {
            return;
        }
        journal.act(at, token);
        thread::sleep(Duration::from_millis(5));
    }
}
