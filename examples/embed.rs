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

mod common;

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::time::sleep;
use zookeeper_election::zookeeper_client::{Client, Error as ClientError};
use zookeeper_election::{BoxError, Error, LeaderTask, Leadership, Session, async_trait};

use common::say;

const CONFIG: &str = "/app/config";

/// An application that shares its ZooKeeper client with an election.
#[derive(Parser)]
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
    common::exit_code(serve(&options).await)
}

/// The application: from one client to the next, until it is stopped.
async fn serve(options: &Options) -> Result<(), BoxError> {
    let (place, id) = (&options.place, &*options.identity.id);
    let stopped = common::stopped()?;
    tokio::pin!(stopped);
    loop {
        let client = tokio::select! {
            client = connect(&place.connect, id) => client,
            () = &mut stopped => return Ok(()),
        };
        let session = Session::from_client(client.clone());
        let election = session.election(&place.path).identity(id).build()?;
        let mut scheduler = Scheduler { id };
        tokio::select! {
            ended = election.run(&mut scheduler) => match ended {
                // The session is over and its client of no use: on to the next one.
                Err(Error::SessionLost) => say(id, "the session is lost"),
                ended => return Ok(ended?),
            },
            never = follow_config(id, &client) => match never {},
            () = &mut stopped => {
                // The scheduler has ended with its future. Now the others may lead; the client stays open.
                session.close().await?;
                say(id, "stopped");
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

async fn connect(servers: &str, id: &str) -> Client {
    loop {
        let connector = Client::connector().with_session_timeout(Duration::from_secs(6));
        match connector.connect(servers).await {
            Ok(client) => return client,
            Err(error) => say(id, &format!("no ZooKeeper session yet: {error}")),
        }
        sleep(Duration::from_secs(1)).await;
    }
}
