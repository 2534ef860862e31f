//! Finds out what listens at an address where no session could be opened.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_millis(500);

/// What listens at an address.
pub(super) enum ProbeResult {
    /// A ZooKeeper server, in this state.
    ZooKeeper(String),
    /// Something else, which answered this.
    Other(String),
    /// Nothing that answers, for this reason.
    Nothing(String),
}

/// Asks with the four-letter word `srvr`, which ZooKeeper answers on its client port even when it has no
/// quorum or does not permit the word. Other servers answer something else to it, or to the empty line that
/// follows.
pub(super) async fn probe(address: &str) -> ProbeResult {
    let mut stream = match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return ProbeResult::Nothing(error.to_string()),
        Err(_) => return ProbeResult::Nothing("the connection attempt is not answered".into()),
    };
    let mut answer = Vec::new();
    for question in [&b"srvr"[..], b"\r\n\r\n"] {
        if stream.write_all(question).await.is_err() {
            break;
        }
        let _ = timeout(PATIENCE, (&mut stream).take(4096).read_to_end(&mut answer)).await;
        if !answer.is_empty() {
            break;
        }
    }
    judge(&answer)
}

fn judge(answer: &[u8]) -> ProbeResult {
    const TLS_ALERT: u8 = 0x15;
    let text = String::from_utf8_lossy(answer);
    let first_line = text.lines().next().unwrap_or_default();
    if answer.is_empty() {
        ProbeResult::Nothing("connected, but it says nothing".into())
    } else if answer[0] == TLS_ALERT {
        ProbeResult::Other("it expects TLS".into())
    } else if text.contains("not currently serving requests") {
        ProbeResult::ZooKeeper("a ZooKeeper server without a quorum".into())
    } else if text.contains("Zookeeper version") || text.contains("not in the whitelist") {
        ProbeResult::ZooKeeper("a ZooKeeper server, which did not open a session".into())
    } else {
        let excerpt: String = first_line.chars().filter(|c| !c.is_control()).take(80).collect();
        ProbeResult::Other(format!("it answers {excerpt:?}"))
    }
}
