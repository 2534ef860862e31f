//! What the examples share: options, logs, signals, exit status.

// Each example uses a part of it.
#![allow(dead_code)]

use std::io;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use zookeeper_election::Mode;
use zookeeper_embedded::Server;

/// Where the election takes place, on servers that are running already.
#[derive(Args)]
pub(crate) struct Place {
    /// The servers: host:port[,host:port...][/chroot].
    #[arg(long, default_value = "127.0.0.1:2181")]
    pub(crate) connect: String,
    /// The path of the election.
    #[arg(long, default_value = "/app/leader_election")]
    pub(crate) path: String,
}

/// Where the election takes place, on running servers or on the embedded one.
#[derive(Args)]
pub(crate) struct PlaceOrEmbedded {
    /// The servers: host:port[,host:port...][/chroot]. Without it, the embedded server.
    #[arg(long)]
    pub(crate) connect: Option<String>,
    /// The path of the election.
    #[arg(long, default_value = "/app/leader_election")]
    pub(crate) path: String,
}

impl PlaceOrEmbedded {
    /// The connect string, and the embedded server if there is one. That serves until it is dropped.
    pub(crate) async fn servers(&self, tick: Duration) -> io::Result<(String, Option<Server>)> {
        if let Some(servers) = &self.connect {
            return Ok((servers.clone(), None));
        }
        let server = Server::builder().tick(tick).start_on_free_port().await?;
        Ok((server.connect_string(), Some(server)))
    }
}

/// A contender's name.
#[derive(Args)]
pub(crate) struct Identity {
    /// The name that this contender publishes.
    #[arg(long)]
    pub(crate) id: String,
}

/// Parses `--mode`, whose values `--help` lists.
pub(crate) fn mode() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(["sequential", "master"]).try_map(|mode| mode.parse::<Mode>())
}

/// Logs to the standard error: what `RUST_LOG` asks for, or the library's messages from this level on.
pub(crate) fn log(level: &str) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("zookeeper_election={level}")));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

/// Ends when the process is sent SIGTERM, or SIGINT as by Ctrl-C. The signals are caught from the call on.
pub(crate) fn stopped() -> io::Result<impl Future<Output = ()>> {
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}

/// Prints a line of a contender, with the time.
pub(crate) fn say(id: &str, what: &str) {
    println!("{} {id} {what}", humantime::format_rfc3339_millis(SystemTime::now()));
}

/// The exit status, 1 after an error, which is printed.
pub(crate) fn exit_code(outcome: Result<(), impl std::fmt::Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
