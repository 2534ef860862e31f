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

mod common;

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser;
use zookeeper_election::{Contender, Election, Error, Mode, Session};

/// Prints each change of leader, without taking part.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    place: common::Place,
    /// How the leader is found: the same as the contenders'.
    #[arg(long, default_value = "sequential", value_parser = common::mode())]
    mode: Mode,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    common::log("warn");
    common::exit_code(tokio::select! {
        outcome = observe(options) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    })
}

async fn observe(Options { place, mode }: Options) -> Result<(), Error> {
    let session = Session::connect(&place.connect).await?;
    let election = session.election(&place.path).mode(mode).build()?;
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
