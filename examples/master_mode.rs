//! A complete program in master mode:
//!
//! ```text
//! cargo run --example master_mode -- --connect 127.0.0.1:2181 --path /app/master --id a
//! ```
//!
//! Start two of them with different ids. The first becomes master and prints a line a second with its token, the
//! other is silent. Stop the master with Ctrl-C or SIGTERM: the other takes over at once, with a greater token.
//! Kill it (`kill -9`): the other takes over when its session has expired, about 6 s later.

mod common;

use std::convert::Infallible;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use zookeeper_election::{BoxError, FencingToken, Mode, Session};

use common::say;

/// A complete program in master mode: the master prints a line a second.
#[derive(Parser)]
#[command(mut_arg("path", |path| path.help("The path of the master's znode").default_value("/app/master")))]
struct Options {
    #[command(flatten)]
    place: common::Place,
    #[command(flatten)]
    identity: common::Identity,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    common::log("warn");
    common::exit_code(serve(options).await)
}

async fn serve(options: Options) -> Result<(), BoxError> {
    let (place, id) = (options.place, options.identity.id);
    let mut stopped = pin!(common::stopped()?);
    let session = tokio::select! {
        session = Session::connect(&place.connect) => session?,
        () = &mut stopped => return Ok(()),
    };
    let election = session.election(&place.path).mode(Mode::Master).identity(&id).build()?;
    loop {
        let leadership = tokio::select! {
            won = election.campaign() => won?,
            () = &mut stopped => break,
        };
        tokio::select! {
            Err(lost) = leadership.hold(work(&id, leadership.token())) => say(&id, &format!("stepped down: {lost}")),
            () = &mut stopped => { leadership.resign().await?; say(&id, "resigned"); break }
        }
    }
    Ok(session.close().await?)
}

/// What only the master does. Dropped between two seconds when it is master no longer.
async fn work(id: &str, token: FencingToken) -> Infallible {
    loop {
        say(id, &format!("master with token {token}"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
