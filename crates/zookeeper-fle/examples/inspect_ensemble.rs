//! Asks the servers of a ZooKeeper ensemble on their election ports for their votes, and explains the answers:
//!
//! ```text
//! cargo run -p zookeeper-fle --features inspect --example inspect_ensemble -- 127.0.0.1:3888
//! ```
//!
//! The address of one running server is enough, because its answer names the others. `host:port[,host:port...]` gives
//! several. `--timeout 5s` is the time-out for each server.
//!
//! Prints a table of the servers and then the findings, one a line. The exit status is 0 if the ensemble has settled on a
//! leader and no finding is trouble, 1 if one is (for example a server without an answer), and 2 if the arguments are
//! wrong.
//!
//! `--json` prints one JSON object, with the same exit status:
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
//! Ids and rounds are numbers; zxids, epochs and versions are strings in hexadecimal, as ZooKeeper prints them. Unknown
//! values are `null`: `leader` and `epoch` unless the ensemble has settled, `id` of an unidentified answer, and all values
//! of a server without an answer. `outcome` is `answered` or a name from `NoAnswer::name` (`refused`, `closed`, `deaf` and so
//! on); then `reason` has the text. The main finding comes first; `name` is from `Finding::name`. `config` is the newest
//! configuration in the answers. With status 2, nothing is printed on standard output.
//!
//! Mind when you read an answer:
//!
//! - `zxid` is the leader's at the time of the election. No server tells its current zxid.
//! - `round` is counted by the server alone, and is 0 after a reconfiguration. Servers with the same leader can have
//!   different rounds.
//! - A `LOOKING` server shows in `votes_for`, `zxid` and `epoch` the vote that it settled on last, or after a start its vote
//!   for itself; not its current proposal.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use zookeeper_fle::{Answer, Finding, InspectedServer, Inspection, Inspector};

/// Asks the servers of a ZooKeeper ensemble on their election ports for their votes, and explains the answers.
///
/// cargo run -p zookeeper-fle --features inspect --example inspect_ensemble -- 127.0.0.1:3888
#[derive(Parser)]
#[command(about, verbatim_doc_comment)]
struct InspectorOptions {
    /// Election addresses, host:port[,host:port...]; one of a running server is enough.
    servers: String,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// The time-out for each server, at least 500ms.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

fn main() -> ExitCode {
    let options = InspectorOptions::parse();
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start a runtime: {error}");
            return ExitCode::from(2);
        }
    };
    let inspector = Inspector::new().timeout(options.timeout);
    let outcome = runtime.block_on(inspector.inspect(&options.servers));
    // Do not wait for a name lookup that has timed out.
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
    // The lowest number stands for none: the vote of an observer that has not settled yet.
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
