//! How long it takes until a server serves.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zookeeper_embedded::Server;

use crate::clients::within;
use crate::served::Served;
use testkit::Ensemble;

const RUNS: usize = 200;
const RUNS_OF_A_PROCESS: usize = 10;
/// A real one takes about a second.
const RUNS_OF_REAL: usize = 3;

/// The times until the embedded server serves, in ms, from before the port is bound.
pub(crate) async fn embedded() -> Vec<f64> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let begun = Instant::now();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Server::builder().start(listener).expect("a server");
        ask(&server.connect_string()).await;
        times.push(milliseconds(begun));
        within("a server ends", server.shutdown()).await;
    }
    times
}

/// The same for a process that does nothing else.
pub(crate) async fn process() -> Vec<f64> {
    let mut times = Vec::new();
    for _ in 0..RUNS_OF_A_PROCESS {
        let begun = Instant::now();
        let served = Served::start().await;
        ask(&served.address).await;
        times.push(milliseconds(begun));
    }
    times
}

/// The same for a real server, which is asked every 30 ms whether it serves.
pub(crate) async fn real() -> Vec<f64> {
    let mut times = Vec::new();
    for _ in 0..RUNS_OF_REAL {
        let begun = Instant::now();
        let ensemble = Ensemble::start(1).await;
        ask(&ensemble.connect_string()).await;
        times.push(milliseconds(begun));
    }
    times
}

async fn ask(address: &str) {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"ruok").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    assert_eq!(within("an answer to `ruok`", asking).await.expect("an answer"), "imok");
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}
