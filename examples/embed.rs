//! An application that has a ZooKeeper client already, and a service that shall run on its leader only:
//!
//! ```text
//! cargo run --example embed -- --connect 127.0.0.1:2181 --id a
//! ```
//!
//! Every instance prints the data of the znode `/app/config` at the start and whenever it changes; the leader
//! also prints a line a second from its scheduler. Both use one client and one ZooKeeper session. Start two of
//! them, then:
//!
//! - write to `/app/config` (as `create /app/config x` in zkCli.sh): both print it, whoever leads;
//! - stop the leader with Ctrl-C or SIGTERM: its scheduler ends, and the other one leads at once;
//! - `kill -STOP` the leader for 10 s, then `kill -CONT`: its session has expired meanwhile, and the other one
//!   leads. It may print one more line with its old token before it hears of that; then it makes a new client and
//!   waits behind the other one.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use zookeeper_election::zookeeper_client::{Client, Error as ClientError};
use zookeeper_election::{BoxError, Error, LeaderTask, Leadership, Session, async_trait};

const CONFIG: &str = "/app/config";

#[derive(Parser)]
struct Options {
    /// The servers: host:port[,host:port...][/chroot].
    #[arg(long, default_value = "127.0.0.1:2181")]
    connect: String,
    /// The path of the election.
    #[arg(long, default_value = "/app/leader_election")]
    path: String,
    /// The name of this instance.
    #[arg(long)]
    id: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter("zookeeper_election=warn").with_writer(std::io::stderr).init();
    let options = Options::parse();
    let served = async {
        let (mut terminated, mut interrupted) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stopped = async {
            tokio::select! { _ = terminated.recv() => {}, _ = interrupted.recv() => {} }
        };
        serve(&options, stopped).await
    };
    match served.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The application: from one client to the next, until it is stopped.
async fn serve(options: &Options, stopped: impl Future<Output = ()>) -> Result<(), BoxError> {
    tokio::pin!(stopped);
    loop {
        let client = tokio::select! {
            client = connect(options) => client,
            () = &mut stopped => return Ok(()),
        };
        let session = Session::from_client(client.clone());
        let election = session.election(&options.path).identity(&options.id).build()?;
        let mut scheduler = Scheduler { id: &options.id };
        tokio::select! {
            ended = election.run(&mut scheduler) => match ended {
                // The session is over and its client of no use: on to the next one.
                Err(Error::SessionLost) => say(&options.id, "the session is lost"),
                ended => return Ok(ended?),
            },
            never = follow_config(&options.id, &client) => match never {},
            () = &mut stopped => {
                // The scheduler has ended with its future. Now the others may lead; the client stays open.
                session.close().await?;
                say(&options.id, "stopped");
                return Ok(());
            }
        }
    }
}

/// What runs on the leader only.
struct Scheduler<'a> {
    id: &'a str,
}

#[async_trait]
impl LeaderTask for Scheduler<'_> {
    /// Dropped as soon as the leadership is lost, and called again for the next one.
    async fn lead(&mut self, leadership: &Leadership) -> Result<(), BoxError> {
        loop {
            say(self.id, &format!("scheduling with token {}", leadership.token()));
            sleep(Duration::from_secs(1)).await;
        }
    }
}

/// What every instance does, leader or not. Once the session is over it waits to be dropped.
async fn follow_config(id: &str, client: &Client) -> Infallible {
    loop {
        let looked = async {
            let (_, changed) = client.check_and_watch_stat(CONFIG).await?;
            match client.get_data(CONFIG).await {
                Ok((data, _)) => say(id, &format!("config: {}", String::from_utf8_lossy(&data))),
                Err(ClientError::NoNode) => say(id, "config: none"),
                Err(error) => return Err(error),
            }
            changed.changed().await;
            Ok(())
        };
        if looked.await.is_err() {
            sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn connect(options: &Options) -> Client {
    loop {
        let connector = Client::connector().with_session_timeout(Duration::from_secs(6));
        match connector.connect(&options.connect).await {
            Ok(client) => return client,
            Err(error) => say(&options.id, &format!("no ZooKeeper session yet: {error}")),
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn say(id: &str, what: &str) {
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    println!("{now} {id} {what}");
}
