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

mod common;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use zookeeper_election::{BoxError, Election, Error, Leadership, Mode, Session, Standing};

/// One contender, which prints a line for each change.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    place: common::Place,
    #[command(flatten)]
    identity: common::Identity,
    /// How the leader is found.
    #[arg(long, default_value = "sequential", value_parser = common::mode())]
    mode: Mode,
    /// How long the ensemble waits for a contender that it does not hear of.
    #[arg(long, default_value = "6s", value_parser = humantime::parse_duration)]
    session_timeout: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    common::log("warn");
    common::exit_code(contend(options).await)
}

async fn contend(options: Options) -> Result<(), BoxError> {
    let (place, id) = (options.place, options.identity.id);
    let say = |what: &str| common::say(&id, what);
    let stopped = common::stopped()?;
    tokio::pin!(stopped);

    say("connecting");
    let builder = Session::builder().session_timeout(options.session_timeout);
    let session = tokio::select! {
        session = builder.connect(&place.connect) => session?,
        () = &mut stopped => return Ok(()),
    };
    let election = session.election(&place.path).mode(options.mode).identity(&id).build()?;

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
