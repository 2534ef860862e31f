//! A complete program in master mode:
//!
//! ```text
//! cargo run --example master_mode -- --connect 127.0.0.1:2181 --path /app/master --id a
//! ```
//!
//! Start two of them with different ids. The first becomes master and prints a line a second with its token, the
//! other is silent. Stop the master with Ctrl-C or SIGTERM: the other takes over at once, with a greater token.
//! Kill it (`kill -9`): the other takes over when its session has expired, about 6 s later.

use std::convert::Infallible;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use zookeeper_election::{BoxError, FencingToken, Mode, Session};

#[derive(Parser)]
struct Options {
    /// The servers: host:port[,host:port...][/chroot].
    #[arg(long, default_value = "127.0.0.1:2181")]
    connect: String,
    /// The path of the master's znode.
    #[arg(long, default_value = "/app/master")]
    path: String,
    /// The name that this contender publishes.
    #[arg(long)]
    id: String,
}

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().with_env_filter("zookeeper_election=warn").init();
    if let Err(error) = serve(Options::parse()).await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn serve(Options { connect, path, id }: Options) -> Result<(), BoxError> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut stopped = pin!(async {
        tokio::select! { _ = interrupted.recv() => (), _ = terminated.recv() => () }
    });
    let session = tokio::select! {
        session = Session::connect(&connect) => session?,
        () = &mut stopped => return Ok(()),
    };
    let election = session.election(&path).mode(Mode::Master).identity(&id).build()?;
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

fn say(id: &str, what: &str) {
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    println!("{now} {id} {what}");
}
