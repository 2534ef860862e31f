//! A contender: what its process does, and how the main process starts it, hears of it and ends it.
//!
//! The contender's process writes its reports to its standard output, a line each: the instant, and what the
//! contender is from then on. It ends when its standard input does, which is when the main process closes it or dies.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::io::{self, Write};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use zookeeper_election::{Election, Error, FencingToken, Leadership, Session, Standing};

use crate::clock;

/// How long a contender tries to open its session.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(6);
/// How long all contenders together may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a contender reports of itself.
pub(crate) enum Report {
    Waiting {
        node: String,
        behind: String,
    },
    Leading {
        node: String,
        token: FencingToken,
    },
    SteppedDown {
        why: String,
    },
    Failed {
        why: String,
    },
    /// The process has ended: there are no more reports.
    Ended,
}

/// A report, and when and whose it was.
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) at: Duration,
    pub(crate) report: Report,
}

/// Where a contender stands, as far as the main process has heard.
pub(crate) enum State {
    Joining,
    Waiting { node: String, behind: String },
    Leading { node: String, token: FencingToken, since: Duration },
    Killed { node: String, at: Duration },
}

/// What the contender's process does: campaigns, leads, and campaigns again, until its standard input ends.
pub(crate) async fn contend(name: &str, servers: &str, path: &str, session_timeout: Duration) {
    let (input, mut ended) = oneshot::channel::<Infallible>();
    // A thread, since nothing waits for it at the end of the process.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(input);
    });
    let contending = async {
        let builder = Session::builder().session_timeout(session_timeout).connect_timeout(CONNECT_TIMEOUT);
        let session = tokio::select! {
            session = builder.connect(servers) => session?,
            _ = &mut ended => return Ok(()),
        };
        let election = session.election(path).identity(name).build()?;
        tokio::select! {
            Err(error) = lead_again_and_again(&election) => return Err(error),
            _ = &mut ended => {}
        }
        session.close().await
    };
    if let Err(error) = contending.await {
        report(&Report::Failed { why: error.to_string() });
    }
}

async fn lead_again_and_again(election: &Election) -> Result<Infallible, Error> {
    loop {
        let leadership = campaign(election).await?;
        let (node, token) = (leadership.node().to_owned(), leadership.token());
        report(&Report::Leading { node, token });
        // An application would do its work here; this one only leads.
        let Err(lost) = leadership.hold(pending::<Infallible>()).await;
        report(&Report::SteppedDown { why: lost.to_string() });
    }
}

/// Campaigns, and reports the places in the queue meanwhile.
async fn campaign(election: &Election) -> Result<Leadership, Error> {
    let mut standings = election.standings();
    let campaign = election.campaign();
    tokio::pin!(campaign);
    loop {
        tokio::select! {
            biased;
            won = &mut campaign => return won,
            Ok(()) = standings.changed() => {
                if let Standing::Waiting { node: Some(node), behind } = &*standings.borrow_and_update() {
                    report(&Report::Waiting { node: node.clone(), behind: behind.clone() });
                }
            }
        }
    }
}

fn report(report: &Report) {
    // Fails when the main process has died: then this one ends as well.
    let _ = writeln!(io::stdout(), "{} {report}", clock::now().as_nanos());
}

/// A contender's process, as the main process sees it.
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) state: State,
    process: Child,
}

impl Contender {
    /// Starts this program as a contender, whose reports go to `events`.
    pub(crate) fn start(
        name: String,
        servers: &str,
        path: &str,
        session_timeout: Duration,
        events: mpsc::UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--contender", &name, "--connect", servers, "--path", path, "--session-timeout"])
            .arg(humantime::format_duration(session_timeout).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // Out of reach of the terminal's Ctrl-C: it ends when the main process wants it to.
            .process_group(0)
            .spawn()?;
        let pid = process.id().unwrap_or_default();
        let stdout = process.stdout.take().expect("it is piped");
        tokio::spawn(follow(name.clone(), stdout, events));
        Ok(Self { name, pid, state: State::Joining, process })
    }

    /// The contender's znode, once it is known.
    pub(crate) fn node(&self) -> Option<&str> {
        match &self.state {
            State::Joining => None,
            State::Waiting { node, .. } | State::Leading { node, .. } | State::Killed { node, .. } => {
                Some(node)
            }
        }
    }

    /// Kills the process, and returns when it is dead.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        let node = self.node().unwrap_or_default().to_owned();
        self.state = State::Killed { node, at: clock::now() };
        self.process.kill().await
    }
}

/// Lets contenders resign and end, the last one of the queue first, so that nobody leads meanwhile who did not before.
pub(crate) async fn stop(mut contenders: Vec<Contender>) {
    contenders.sort_by(|one, other| other.node().cmp(&one.node()));
    let deadline = Instant::now() + STOP_TIMEOUT;
    for mut contender in contenders {
        drop(contender.process.stdin.take());
        // Whoever takes longer is killed when it is dropped.
        let _ = timeout_at(deadline, contender.process.wait()).await;
    }
}

/// Hands on what a contender reports, until its process has ended.
async fn follow(name: String, stdout: ChildStdout, events: mpsc::UnboundedSender<Event>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some((at, report)) = parse(&line) {
            let _ = events.send(Event { name: name.clone(), at, report });
        }
    }
    let _ = events.send(Event { name, at: clock::now(), report: Report::Ended });
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { node, behind } => write!(f, "waiting {node} {behind}"),
            Self::Leading { node, token } => write!(f, "leading {node} {}", token.zxid()),
            Self::SteppedDown { why } => write!(f, "stepped-down {why}"),
            Self::Failed { why } => write!(f, "failed {why}"),
            Self::Ended => f.write_str("ended"),
        }
    }
}

/// Reads a line that [`report`] has written.
fn parse(line: &str) -> Option<(Duration, Report)> {
    let (at, line) = line.split_once(' ')?;
    let (what, rest) = line.split_once(' ')?;
    let report = match (what, rest.split_once(' ')) {
        ("waiting", Some((node, behind))) => Report::Waiting { node: node.into(), behind: behind.into() },
        ("leading", Some((node, zxid))) => {
            Report::Leading { node: node.into(), token: FencingToken::from_zxid(zxid.parse().ok()?) }
        }
        ("stepped-down", _) => Report::SteppedDown { why: rest.into() },
        ("failed", _) => Report::Failed { why: rest.into() },
        _ => return None,
    };
    Some((Duration::from_nanos(at.parse().ok()?), report))
}
