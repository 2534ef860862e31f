//! One contender, in a terminal:
//!
//! ```text
//! cargo run --example contender -- --connect 127.0.0.1:2181 --path /app/leader_election --id a
//! ```
//!
//! Start three of them with different ids. The first one leads, each other one waits behind the one before.
//! Kill the leader (`kill -9`): the next one leads when the session timeout has passed since its last sign of
//! life. Stop it with Ctrl-C or SIGTERM: it resigns, and the next one leads at once. A line is printed for each
//! change: the time, the id, and what the contender is now.
//!
//! `RUST_LOG=zookeeper_election=debug` shows what the library does.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use zookeeper_election::{BoxError, Election, Error, Leadership, Mode, Session, Standing};

#[derive(Parser)]
struct Options {
    /// The servers: host:port[,host:port...][/chroot].
    #[arg(long, default_value = "127.0.0.1:2181")]
    connect: String,
    /// The path of the election.
    #[arg(long, default_value = "/app/leader_election")]
    path: String,
    /// The name that this contender publishes.
    #[arg(long)]
    id: String,
    /// How the leader is found.
    #[arg(long, default_value = "sequential")]
    mode: Mode,
    /// How long the ensemble waits for a contender that it does not hear of.
    #[arg(long, default_value = "6s", value_parser = humantime::parse_duration)]
    session_timeout: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(log_filter()).with_writer(std::io::stderr).init();
    match contend(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// `RUST_LOG`, or the library's warnings.
fn log_filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "zookeeper_election=warn".into())
}

async fn contend(options: Options) -> Result<(), BoxError> {
    let say = |what: &str| {
        println!("{} {} {what}", humantime::format_rfc3339_millis(SystemTime::now()), options.id);
    };
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let stopped = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    tokio::pin!(stopped);

    say("connecting");
    let builder = Session::builder().session_timeout(options.session_timeout);
    let session = tokio::select! {
        session = builder.connect(&options.connect) => session?,
        () = &mut stopped => return Ok(()),
    };
    let election = session.election(&options.path).mode(options.mode).identity(&options.id).build()?;

    loop {
        let leadership = tokio::select! {
            won = campaign(&election, &say) => won?,
            () = &mut stopped => break,
        };
        say(&format!("leading with token {}", leadership.token()));
        tokio::select! {
            lost = leadership.lost() => say(&format!("stepped down: {lost}")),
            () = &mut stopped => break,
        }
    }
    // Removes the znode, whether it leads or waits, and returns when ZooKeeper knows.
    session.close().await?;
    say("resigned");
    Ok(())
}

/// Campaigns, and says where the contender stands meanwhile.
async fn campaign(election: &Election, say: impl Fn(&str)) -> Result<Leadership, Error> {
    let mut standings = election.standings();
    let mut last = String::new();
    let campaign = election.campaign();
    tokio::pin!(campaign);
    loop {
        tokio::select! {
            biased;
            won = &mut campaign => return won,
            Ok(()) = standings.changed() => {
                let line = describe(&standings.borrow_and_update());
                if !line.is_empty() && line != last {
                    say(&line);
                    last = line;
                }
            }
        }
    }
}

fn describe(standing: &Standing) -> String {
    match standing {
        Standing::Connecting { after: None } => "connecting".into(),
        Standing::Connecting { after: Some(lost) } => format!("connecting ({lost})"),
        Standing::Joining { after: Some(lost) } => format!("joining again ({lost})"),
        Standing::Waiting { node: Some(node), behind } => format!("waiting as {node} behind {behind}"),
        Standing::Waiting { node: None, behind } => format!("waiting behind {behind}"),
        _ => String::new(),
    }
}
