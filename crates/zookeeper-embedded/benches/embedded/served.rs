//! An embedded server in a process that does nothing else: this program, started again.

use std::env;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use zookeeper_embedded::Server;

use crate::clients::within;

/// The only argument of the process.
pub(crate) const SERVE: &str = "--serve";

/// A process with a server. Dropping it ends it.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let program = env::current_exe().expect("the path of this program");
        let mut command = Command::new(program);
        command.arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("this program, started again");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = within("a server in another process", lines.next_line()).await.expect("an answer");
        Self { child, address: line.expect("an address") }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("a process")
    }
}

/// The process: says where it listens, and ends when its input ends.
pub(crate) async fn serve() {
    let server = Server::start().await.expect("a server");
    println!("{}", server.connect_string());
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
}
