//! A store that refuses old tokens, and a leader that is stopped at the worst moment: after it has found its lease
//! valid, and before it writes.
//!
//! ```text
//! cargo run --example fenced_write                 # ends by itself after about 4 s
//! cargo run --example fenced_write -- --unfenced   # the same, with a store that looks at no token: status 1
//! ```
//!
//! The store is an SQLite database; ZooKeeper is the embedded server, or what `--connect` names. Two processes contend
//! for the lead, and whoever leads writes to the store what it works on. `a` leads first. It asks whether its lease is
//! valid, which it is, and stops itself (SIGSTOP) before it writes, as a long pause of a virtual machine would. Its
//! session expires, `b` leads and writes, and then `a` goes on (SIGCONT) with its write. No lease can prevent that: the
//! store has to refuse it, and does, because `b` has written with a greater token.
//!
//! The example ends with status 1 if the late write was accepted.

mod common;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use rusqlite::{Connection, params};
use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use zookeeper_election::{BoxError, FencingToken, Leadership, Session};

/// The embedded server's tick; its session timeouts are 2 to 20 of them.
const TICK: Duration = Duration::from_millis(500);
/// How long each step may take, on a slow machine and with a real ensemble.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store that refuses the late write of a leader that was stopped before it wrote.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    place: common::PlaceOrEmbedded,
    /// How long the session of a stopped process lives.
    #[arg(long, default_value = "2s")]
    session_timeout: humantime::Duration,
    /// Lets the store accept every write.
    #[arg(long)]
    unfenced: bool,
    /// The database, for the processes that this one starts.
    #[arg(long, hide = true)]
    store: Option<PathBuf>,
    /// The name of this process, for those.
    #[arg(long, hide = true)]
    contender: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let done = match (&options.contender, &options.store) {
        (Some(name), Some(store)) => contend(name, &options, store).await.map(|()| true),
        _ => direct(&options).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What the leader works on, and the greatest token that has been written with.
struct Store {
    database: Connection,
    fenced: bool,
}

impl Store {
    fn open(path: &Path, fenced: bool) -> rusqlite::Result<Self> {
        let database = Connection::open(path)?;
        database.busy_timeout(Duration::from_secs(5))?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS job (id INTEGER PRIMARY KEY, state TEXT NOT NULL, token INTEGER NOT NULL);
             INSERT OR IGNORE INTO job VALUES (1, 'new', 0);",
        )?;
        Ok(Self { database, fenced })
    }

    /// Writes unless a leader with a greater token has written. The comparison and the write are one statement, and
    /// so one transaction: nobody comes between.
    fn write(&self, state: &str, token: FencingToken) -> rusqlite::Result<bool> {
        let condition = if self.fenced { "token <= ?2" } else { "?2 = ?2" };
        let update = format!("UPDATE job SET state = ?1, token = ?2 WHERE id = 1 AND {condition}");
        Ok(self.database.execute(&update, params![state, token.zxid()])? == 1)
    }

    fn state(&self) -> rusqlite::Result<String> {
        self.database.query_row("SELECT state FROM job WHERE id = 1", [], |row| row.get(0))
    }
}

/// A contender's process: leads when it is its turn, and ends when its standard input does.
async fn contend(name: &str, options: &Options, store: &Path) -> Result<(), BoxError> {
    let store = Store::open(store, !options.unfenced)?;
    let servers = options.place.connect.as_deref().ok_or("no servers")?;
    let builder =
        Session::builder().session_timeout(options.session_timeout.into()).connect_timeout(PATIENCE);
    let session = builder.connect(servers).await?;
    let election = session.election(&options.place.path).identity(name).build()?;
    let mut input = tokio::io::stdin();
    let mut byte = [0];
    tokio::select! {
        leadership = election.campaign() => lead(name, &leadership?, &store)?,
        _ = input.read(&mut byte) => {}
    }
    let _ = input.read(&mut byte).await;
    // With an expired session there is nothing to remove.
    let _ = session.close().await;
    Ok(())
}

/// Three writes. Before the third, `a` is stopped.
fn lead(name: &str, leadership: &Leadership, store: &Store) -> Result<(), BoxError> {
    let token = leadership.token();
    say(&format!("leads with token {token}"));
    for step in 1..=3 {
        let state = format!("{name}{step}");
        if !leadership.is_valid() {
            say("leads no more");
            break;
        }
        if (name, step) == ("a", 3) {
            say("finds its lease valid, and is stopped before it writes");
            // From here on nothing of this process runs, until somebody sends SIGCONT.
            kill_process(getpid(), Signal::STOP)?;
        }
        let written = store.write(&state, token)?;
        say(&format!("writes {state} with token {token}: {}", if written { "accepted" } else { "refused" }));
        if !written {
            break;
        }
    }
    say(if leadership.is_valid() { "finds its lease valid" } else { "finds its lease over" });
    Ok(())
}

fn say(what: &str) {
    // Fails when the main process has died: then this one ends as well.
    let _ = writeln!(io::stdout(), "{what}");
}

/// The main process: starts the two, stops at nothing but the order of events, and looks at the store in the end.
async fn direct(options: &Options) -> Result<bool, BoxError> {
    // Serves until it is dropped, at the end.
    let (servers, _server) = options.place.servers(TICK).await?;
    let directory = std::env::temp_dir().join(format!("fenced_write-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let path = directory.join("store.sqlite");
    let played = tokio::select! {
        played = play(options, &servers, &path) => played,
        // Drops the processes, which kills them: a stopped one would not end by itself.
        interrupted = tokio::signal::ctrl_c() => Err(interrupted.map_or_else(Into::into, |()| "interrupted".into())),
    };
    let state = Store::open(&path, true).and_then(|store| store.state());
    std::fs::remove_dir_all(&directory)?;
    let late = played?;
    let refused = late.ends_with("refused");
    println!("in the store: {}", state?);
    println!("the late write was {}", if refused { "refused" } else { "accepted, and what b wrote is lost" });
    Ok(refused)
}

/// Returns what became of the late write.
async fn play(options: &Options, servers: &str, store: &Path) -> Result<String, BoxError> {
    let began = Instant::now();
    let start = |name| Contender::start(name, options, servers, store, began);
    let mut a = start("a")?;
    a.until("leads with token").await?;
    let mut b = start("b")?;
    a.until("is stopped before it writes").await?;
    b.until("writes b3").await?;
    a.signal(Signal::CONT)?;
    let late = a.until("writes a3").await?;
    a.until("finds its lease").await?;
    b.end().await?;
    a.end().await?;
    Ok(late)
}

/// A contender's process, as the main process sees it.
struct Contender {
    name: &'static str,
    process: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
    began: Instant,
}

impl Contender {
    fn start(
        name: &'static str,
        options: &Options,
        servers: &str,
        store: &Path,
        began: Instant,
    ) -> Result<Self, BoxError> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--contender", name, "--connect", servers, "--path", &options.place.path])
            .arg("--store")
            .arg(store);
        command.args(["--session-timeout", &options.session_timeout.to_string()]);
        if options.unfenced {
            command.arg("--unfenced");
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = process.stdout.take().ok_or("it is piped")?;
        Ok(Self { name, process, lines: BufReader::new(stdout).lines(), began })
    }

    /// Prints what the process says, until it says this.
    async fn until(&mut self, what: &str) -> Result<String, BoxError> {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line());
            let line = line.await.map_err(|_| format!("{} does not say: {what}", self.name))??;
            let line = line.ok_or_else(|| format!("{} has ended before it said: {what}", self.name))?;
            println!("{:7.3} s  {} {line}", self.began.elapsed().as_secs_f64(), self.name);
            if line.contains(what) {
                return Ok(line);
            }
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), BoxError> {
        let pid = self.process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        println!("{:7.3} s  {} goes on (SIGCONT)", self.began.elapsed().as_secs_f64(), self.name);
        Ok(kill_process(pid.ok_or("the process has ended")?, signal)?)
    }

    /// Lets the process resign and end.
    async fn end(mut self) -> Result<(), BoxError> {
        drop(self.process.stdin.take());
        timeout(PATIENCE, self.process.wait()).await??;
        Ok(())
    }
}
