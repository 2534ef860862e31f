//! Three contenders, and a leader that is killed again and again:
//!
//! ```text
//! cargo run --example failover
//! ```
//!
//! Nothing has to be installed or started: the program serves ZooKeeper itself (crate `zookeeper-embedded`), runs
//! each contender as a process of its own, and kills the leader with SIGKILL when it has led for two seconds. You see
//! the queue (who leads with which token, who waits behind whom) and a time line of the leaderships. The killed
//! leader's znode stays in front of the others until its session expires, 1.6 s to 2.25 s after the kill; then the
//! next contender leads. The killed one is started anew at once and joins at the tail: `a2` after `a1`.
//!
//! After three fail-overs it prints how long each took, and whether two contenders ever led at once or a token did not
//! grow. Its exit status is 1 if they did, or if a fail-over did not come in time.
//!
//! `--connect 127.0.0.1:2181` takes a real ensemble instead. Its servers' ticks then bound the session timeout: 4 s at
//! least, at the usual tick of 2 s. `--plain` prints a line for each change, as without a terminal. Ctrl-C ends it.

mod clock;
#[path = "../common/mod.rs"]
mod common;
mod contender;
mod picture;
mod record;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use zookeeper_election::BoxError;

use self::contender::{Contender, Event, Report, State};
use self::picture::Picture;
use self::record::Record;

/// The embedded server's tick; its session timeouts are 2 to 20 of them.
const TICK: Duration = Duration::from_millis(250);
/// How long a leader leads before it is killed.
const TERM: Duration = Duration::from_secs(2);
/// How often the picture is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// Three contenders in processes of their own, whose leader is killed again and again.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    place: common::PlaceOrEmbedded,
    /// How many times the leader is killed.
    #[arg(long, default_value_t = 3)]
    failovers: usize,
    /// How long the server waits for a contender that it does not hear of. The embedded server moves it between 500 ms
    /// and 5 s, a real ensemble into its own bounds.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    session_timeout: Duration,
    /// A line for each change, and no picture.
    #[arg(long)]
    plain: bool,
    /// Be the contender of this name: how the program starts itself.
    #[arg(long, hide = true)]
    contender: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    common::log("error");
    match (&options.contender, &options.place.connect) {
        (Some(name), Some(servers)) => {
            contender::contend(name, servers, &options.place.path, options.session_timeout).await;
            ExitCode::SUCCESS
        }
        _ => common::exit_code(show(&options).await),
    }
}

/// From the first contender to the summary.
async fn show(options: &Options) -> Result<(), BoxError> {
    // Serves until it is dropped, at the end.
    let (servers, server) = options.place.servers(TICK).await?;
    let picture = Picture::new(options.plain, clock::now());
    let (reports, events) = mpsc::unbounded_channel();
    let mut run =
        Run { options, servers, contenders: Vec::new(), record: Record::default(), reports, events, picture };

    let (kind, asked) = if server.is_some() { ("embedded server", "") } else { ("ensemble", " asked for:") };
    let timeout = humantime::format_duration(options.session_timeout);
    run.picture
        .title(&format!("{kind} {}, {}, session timeout{asked} {timeout}", run.servers, options.place.path));
    let outcome = tokio::select! {
        outcome = run.kill_again_and_again() => outcome,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
    };
    run.draw();
    contender::stop(run.contenders).await;
    let verdict = run.picture.summary(clock::now(), &run.record);
    outcome?;
    Ok(verdict?)
}

struct Run<'a> {
    options: &'a Options,
    servers: String,
    /// Those that run, and the one killed last until another one leads.
    contenders: Vec<Contender>,
    record: Record,
    reports: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
    picture: Picture,
}

impl Run<'_> {
    async fn kill_again_and_again(&mut self) -> Result<(), BoxError> {
        for name in ["a1", "b1", "c1"] {
            self.start(name.into())?;
            let placed = |run: &Self| run.contenders.iter().all(|it| it.node().is_some()).then_some(());
            self.until(&format!("{name} neither leads nor waits"), placed).await?;
        }
        for _ in 0..self.options.failovers {
            let nobody_leads = format!("nobody leads; are there others at {}?", self.options.place.path);
            let leader = self.until(&nobody_leads, |run| run.leader(TERM)).await?;
            let killed = self.kill(leader).await?;
            self.start(successor(&killed))?;
            let nobody_follows = format!("no contender leads after {killed} was killed");
            self.until(&nobody_follows, |run| run.leader(Duration::ZERO)).await?;
        }
        // A look at the last one.
        self.until("the last leader has stepped down", |run| run.leader(TERM / 2)).await.map(drop)
    }

    fn start(&mut self, name: String) -> io::Result<()> {
        let Self { options, servers, reports, .. } = self;
        let contender =
            Contender::start(name, servers, &options.place.path, options.session_timeout, reports.clone())?;
        self.contenders.push(contender);
        Ok(())
    }

    /// Kills a contender with SIGKILL, and tells its name.
    async fn kill(&mut self, contender: usize) -> Result<String, BoxError> {
        let contender = &mut self.contenders[contender];
        let at = clock::now();
        contender.kill().await?;
        self.record.killed(&contender.name, at, clock::now());
        self.picture.note(at, &contender.name, &format!("is killed (SIGKILL, process {})", contender.pid));
        Ok(contender.name.clone())
    }

    /// Which contender has led for so long.
    fn leader(&self, term: Duration) -> Option<usize> {
        let leads = |it: &Contender| match it.state {
            State::Leading { since, .. } => clock::now().saturating_sub(since) >= term,
            _ => false,
        };
        self.contenders.iter().position(leads)
    }

    /// Follows the contenders until `check` is content. `trouble` tells what is wrong when it takes too long.
    async fn until<T>(
        &mut self,
        trouble: &str,
        mut check: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, BoxError> {
        // What the server adds, ticks of a real one included, and a busy machine.
        let limit = 2 * self.options.session_timeout + TERM + Duration::from_secs(5);
        let following = async {
            loop {
                if let Some(value) = check(self) {
                    return Ok(value);
                }
                self.draw();
                tokio::select! {
                    Some(event) = self.events.recv() => self.apply(event)?,
                    () = sleep(FRAME) => {}
                }
            }
        };
        match timeout(limit, following).await {
            Ok(done) => done,
            Err(_) => Err(format!("not within {}: {trouble}", humantime::format_duration(limit)).into()),
        }
    }

    /// Takes note of what a contender has reported.
    fn apply(&mut self, Event { name, at, report }: Event) -> Result<(), BoxError> {
        let Some(contender) = self.contenders.iter().position(|it| it.name == name) else {
            return Ok(());
        };
        let killed = matches!(self.contenders[contender].state, State::Killed { .. });
        let (state, note) = match report {
            Report::Waiting { node, behind } => {
                let owner = self.contenders.iter().find(|it| it.node() == Some(&behind));
                let behind =
                    owner.map_or_else(|| behind.rsplit('/').next().unwrap_or_default(), |it| &it.name);
                (State::Waiting { node, behind: behind.into() }, format!("waits behind {behind}"))
            }
            Report::Leading { node, token } => {
                self.record.began(&name, token, at);
                (State::Leading { node, token, since: at }, format!("leads with token {token}"))
            }
            Report::SteppedDown { why } => {
                self.record.ended(&name, at);
                (State::Joining, format!("has stepped down: {why}"))
            }
            Report::Failed { why } => return Err(format!("{name}: {why}").into()),
            Report::Ended => {
                self.record.ended(&name, at);
                let unasked = format!("the process of {name} has ended, and not by this program");
                return if killed { Ok(()) } else { Err(unasked.into()) };
            }
        };
        if killed {
            // Said before, and heard after.
            return Ok(());
        }
        self.picture.note(at, &name, &note);
        let leads = matches!(state, State::Leading { .. });
        self.contenders[contender].state = state;
        if leads {
            // Somebody leads: the znodes before are gone.
            self.contenders.retain(|it| !matches!(it.state, State::Killed { .. }));
        }
        Ok(())
    }

    fn draw(&mut self) {
        self.picture.draw(clock::now(), &self.contenders, &self.record);
    }
}

/// The name of a contender's next life: `a2` after `a1`.
fn successor(name: &str) -> String {
    let (letter, life) = name.split_at(1);
    format!("{letter}{}", life.parse().unwrap_or(0) + 1)
}
