//! Watches an election without taking part:
//!
//! ```text
//! cargo run --example observe -- --connect 127.0.0.1:2181 --path /app/leader_election
//! ```
//!
//! The first line tells who leads now, each later one a change: the time, the leader's identity, its token and
//! its znode, or `nobody leads`. The line beneath shows the queue in the order of turns, the leader first. It is
//! read after the change and may be one change ahead. In master mode (`--mode master`) it holds the master alone.
//!
//! Start some contenders (`cargo run --example contender -- --id a`), kill and stop them, and see what changes. While no
//! server can be reached, nothing is known and no line is printed. Ends on Ctrl-C.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use zookeeper_election::{Contender, Election, Error, Mode, Session};

#[derive(Parser)]
struct Options {
    /// The servers: host:port[,host:port...][/chroot].
    #[arg(long, default_value = "127.0.0.1:2181")]
    connect: String,
    /// The path of the election.
    #[arg(long, default_value = "/app/leader_election")]
    path: String,
    /// How the leader is found: the same as the contenders'.
    #[arg(long, default_value = "sequential")]
    mode: Mode,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| "zookeeper_election=warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let outcome = tokio::select! {
        outcome = observe(Options::parse()) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn observe(options: Options) -> Result<(), Error> {
    let session = Session::connect(&options.connect).await?;
    let election = session.election(&options.path).mode(options.mode).build()?;
    let mut leaders = election.observe();
    loop {
        let leader = leaders.next().await?;
        println!("{} {}", humantime::format_rfc3339_millis(SystemTime::now()), describe(leader));
        println!("    queue: {}", queue(&election).await);
    }
}

fn describe(leader: Option<Contender>) -> String {
    match leader {
        Some(leader) => format!("{} leads with token {} ({})", leader.identity, leader.token, leader.node),
        None => "nobody leads".into(),
    }
}

async fn queue(election: &Election) -> String {
    match election.contenders().await {
        Ok(contenders) if contenders.is_empty() => "empty".into(),
        Ok(contenders) => {
            let identities: Vec<_> = contenders.into_iter().map(|it| it.identity).collect();
            identities.join(", ")
        }
        // The next change may well be readable again.
        Err(error) => format!("unknown: {error}"),
    }
}
