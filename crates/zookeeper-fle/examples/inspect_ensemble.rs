//! Asks the servers of a ZooKeeper ensemble on their election ports for whom they vote, and says what that means:
//!
//! ```text
//! cargo run --example inspect_ensemble -- 127.0.0.1:3888
//! ```
//!
//! One address is enough, if its server runs: it names the others. `host:port[,host:port...]` gives several.
//! `--timeout 5s` is how long each server has to answer.
//!
//! Prints a table of the servers and below it what there is to say, one finding a line. The exit status is 0 if the
//! ensemble has settled under one leader and there is nothing else to look at, 1 if there is (a server that does not
//! answer, say), and 2 if the arguments are wrong.
//!
//! `--json` prints one JSON object for programs, with the same exit status:
//!
//! ```json
//! {
//!   "healthy": false,
//!   "leader": 3,
//!   "epoch": "0x2",
//!   "servers": [{
//!     "id": 3, "address": "127.0.0.1:3888", "role": "participant", "outcome": "answered", "state": "LEADING",
//!     "votes_for": 3, "zxid": "0x100000008", "epoch": "0x2", "round": 1, "config_version": "0x0",
//!     "round_trip_ms": 1.3, "reason": null
//!   }],
//!   "findings": [{"name": "not_reached", "trouble": true, "text": "server 2 is not reached: ..."}],
//!   "config": "server.1=...\nversion=0"
//! }
//! ```
//!
//! Ids and rounds are numbers; zxids, epochs and versions are texts in hexadecimal, as ZooKeeper prints them. What is not
//! known is `null`: `leader` and `epoch` without a settled ensemble, `id` where nothing tells who answered, and all that
//! a server did not say. `outcome` is `answered`, or a name of `NoAnswer::name` (`refused`, `closed`, `deaf` and so on),
//! and then `reason` says it in words. `findings` are listed with the main one first; their names are those of
//! `Finding::name`. `config` is the newest configuration that a server sent. With status 2 nothing is printed.
//!
//! What a server answers is to be read with care:
//!
//! - `zxid` is the one that the leader had when it was elected. No server's zxid of the moment is told.
//! - `round` is the server's own count at the moment, and begins again at 0 after a reconfiguration. Servers that follow
//!   the same leader can have different ones.
//! - A server in state `LOOKING` shows in `votes_for`, `zxid` and `epoch` the vote that it settled on last, or after its
//!   start its own history: not what it proposes at the moment.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use zookeeper_fle::{Answer, Finding, InspectedServer, Inspection, Inspector};

#[derive(Parser)]
struct Options {
    /// Election addresses: host:port[,host:port...].
    servers: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// How long each server has to answer.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("there is no runtime: {error}");
            return ExitCode::from(2);
        }
    };
    let inspector = Inspector::new().timeout(options.timeout);
    let outcome = runtime.block_on(inspector.inspect(&options.servers));
    // A name lookup that takes longer than the time-out goes on, and nobody waits for it.
    runtime.shutdown_background();
    match outcome {
        Ok(inspection) => {
            if options.json {
                println!("{}", document(&inspection));
            } else {
                println!("{inspection}");
            }
            if inspection.is_healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn document(inspection: &Inspection) -> Value {
    let leader = inspection.leader();
    json!({
        "healthy": inspection.is_healthy(),
        "leader": leader.map(|(id, _)| id.0),
        "epoch": leader.map(|(_, epoch)| epoch.to_string()),
        "servers": inspection.servers.iter().map(server).collect::<Vec<_>>(),
        "findings": inspection.findings.iter().map(finding).collect::<Vec<_>>(),
        "config": inspection.config.as_ref().map(ToString::to_string),
    })
}

fn server(server: &InspectedServer) -> Value {
    let answer = server.outcome.as_ref().ok();
    let ballot = answer.map(|answer| answer.ballot);
    // The least number stands for none: the vote of an observer that has not settled yet.
    let vote = ballot.map(|ballot| ballot.vote).filter(|vote| vote.leader.0 != i64::MIN);
    json!({
        "id": server.id.map(|id| id.0),
        "address": server.address,
        "role": server.role.map(|role| role.to_string()),
        "outcome": server.outcome.as_ref().map_or_else(|no_answer| no_answer.name(), |_| "answered"),
        "state": ballot.map(|ballot| ballot.state.to_string()),
        "votes_for": vote.map(|vote| vote.leader.0),
        "zxid": vote.map(|vote| vote.zxid.to_string()),
        "epoch": vote.map(|vote| vote.epoch.to_string()),
        "round": ballot.map(|ballot| ballot.round.0),
        "config_version": answer.and_then(Answer::config_version).map(|version| version.to_string()),
        "round_trip_ms": answer.map(|answer| answer.round_trip.as_secs_f64() * 1000.0),
        "reason": server.outcome.as_ref().err().map(ToString::to_string),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({ "name": finding.name(), "trouble": finding.is_trouble(), "text": finding.to_string() })
}
