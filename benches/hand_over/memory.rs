//! How much a process grows with each contender that waits.
//!
//! Each case is measured in a process of its own, this program started again: memory that an earlier case has used
//! and given back to the allocator would be used again, and not show in the next.

use std::env;
use std::fs;
use std::future::pending;
use std::io::{self, BufRead};
use std::process::Stdio;

use testkit::{Ensemble, OpCode, Proxy};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;
use zookeeper_election::{Mode, Standing};

use crate::clients::{election, make_directory, plain, session, within};

/// The first argument of the process that is measured; then follow the path of its [`Growth`] and the servers.
pub(crate) const GROW: &str = "--measure-memory";

/// How many contenders there are before the first reading of the memory: they pay for what is needed once.
const FIRST: usize = 20;

/// A way to have many contenders in one process.
pub(crate) struct Growth {
    pub(crate) what: &'static str,
    /// Short: a session watches at most 100 KiB of path names, two names for each contender.
    path: &'static str,
    contenders: usize,
    each: Each,
    /// All start together, not one when the one before waits.
    together: bool,
}

enum Each {
    /// A contender on the session that all share.
    Contender,
    /// A contender on a session of its own.
    Session,
    /// A session of the bare client and no contender: the floor for the above.
    Client,
}

pub(crate) const GROWTHS: [Growth; 4] = [
    Growth {
        what: "1000 contenders, one session",
        path: "/m",
        contenders: 1000,
        each: Each::Contender,
        together: false,
    },
    Growth {
        what: "1000 contenders, one session, at once",
        path: "/n",
        contenders: 1000,
        each: Each::Contender,
        together: true,
    },
    Growth {
        what: "200 contenders, a session each",
        path: "/o",
        contenders: 200,
        each: Each::Session,
        together: false,
    },
    Growth {
        what: "floor: 200 bare clients, no contender",
        path: "/p",
        contenders: 200,
        each: Each::Client,
        together: false,
    },
];

/// Has another process grow, and returns the KiB and the requests per contender.
pub(crate) async fn measure(growth: &Growth, ensemble: &Ensemble) -> (f64, f64) {
    let proxy = Proxy::start(ensemble.connect_string()).await;
    let program = env::current_exe().expect("the path of this program");
    let mut child = Command::new(program)
        .args([GROW, growth.path, &proxy.address()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("this program, started again");
    let mut told = child.stdin.take().expect("a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut reading = async |what| {
        let answer = within(what, answers.next_line()).await.expect("an answer");
        let kibibytes: f64 = answer.as_deref().unwrap_or_default().parse().expect(what);
        // The client that makes the directory closes its session at a time of its own, before or after a reading.
        let requests = proxy.requests().iter().filter(|op_code| **op_code != OpCode::CLOSE).count();
        told.write_all(b"go on\n").await.expect("a pipe");
        (kibibytes, requests as f64)
    };
    let before = reading("the first contenders wait").await;
    let after = reading("all contenders wait").await;
    let ended = within("the measured process ends", child.wait()).await;
    assert!(ended.expect("an exit status").success(), "{}: it failed", growth.what);

    let contenders = growth.contenders as f64;
    ((after.0 - before.0) / contenders, (after.1 - before.1) / contenders)
}

/// The process that is measured: prints its memory before and after, in KiB, and goes on when it is told to.
pub(crate) async fn grow(path: &str, connect_string: &str) {
    let growth = GROWTHS.iter().find(|growth| growth.path == path).expect("the path of a growth");
    let shared = session(connect_string).await;
    make_directory(&plain(connect_string).await, growth.path).await;

    // Both are kept here: one that is dropped is closed, and its memory given back.
    let mut clients = Vec::new();
    let mut sessions = Vec::new();
    // As an application would, each contender has a task that waits for its campaign.
    let mut tasks = JoinSet::new();
    let mut join = async |contenders: usize| {
        let mut standings = Vec::new();
        for contender in 0..contenders {
            let session = match growth.each {
                Each::Contender => shared.clone(),
                Each::Session => session(connect_string).await,
                Each::Client => {
                    clients.push(plain(connect_string).await);
                    continue;
                }
            };
            let election = election(&session, Mode::Sequential, growth.path);
            sessions.push(session);
            standings.push(election.standings());
            tasks.spawn(async move {
                let _leadership = election.campaign().await.expect("a leadership");
                pending::<()>().await
            });
            if !growth.together || contender + 1 == contenders {
                for mut standing in standings.drain(..) {
                    let placed = standing
                        .wait_for(|it| matches!(it, Standing::Waiting { .. } | Standing::Leading { .. }));
                    within("a contender has its place", placed).await.expect("a contender");
                }
            }
        }
    };
    join(FIRST).await;
    answer();
    join(growth.contenders).await;
    answer();
}

fn answer() {
    println!("{}", resident());
    // The other side counts now, while nothing is sent.
    let told = io::stdin().lock().read_line(&mut String::new()).expect("a pipe");
    assert!(told > 0, "nobody listens any more");
}

/// What of this process is in memory, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).expect("VmRSS");
    number.parse().expect("VmRSS, a number")
}
