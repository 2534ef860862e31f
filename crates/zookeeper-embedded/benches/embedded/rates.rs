//! How many requests a session gets through.

use std::time::Instant;

use zookeeper_client::Client;
use zookeeper_embedded::Server;

use crate::clients::{IN_FLIGHT, connect, create, make_directory, read};
use crate::served::Served;
use testkit::Ensemble;

/// Before rounds count: Java compiles what it has run often.
const WARM_UP: usize = 3;
pub(crate) const ROUNDS: usize = 15;

const ONE_BY_ONE: usize = 300;
const PIPELINED: usize = 3000;

/// Requests per second in the order of the rounds, of four servers each: embedded in this process, embedded in a
/// process of its own, real without and real with waiting for the disk.
///
/// All servers are measured in every round, in an order that is reversed with every round: whatever else the machine
/// does, it does to all.
pub(crate) async fn measure() -> [(&'static str, [Vec<f64>; 4]); 4] {
    let embedded = Server::start().await.expect("a server");
    let served = Served::start().await;
    let quick = Ensemble::builder(1).config("forceSync=no").start().await;
    let default = Ensemble::builder(1).config("forceSync=yes").start().await;
    let addresses =
        [embedded.connect_string(), served.address.clone(), quick.connect_string(), default.connect_string()];
    let mut clients = Vec::new();
    for address in &addresses {
        let client = connect(address).await;
        make_directory(&client).await;
        clients.push(client);
    }

    let mut rates: [[Vec<f64>; 4]; 4] = Default::default();
    for round in 0..WARM_UP + ROUNDS {
        for turn in 0..4 {
            let server = if round % 2 == 0 { turn } else { 3 - turn };
            let sample = sample(&clients[server]).await;
            if round >= WARM_UP {
                rates.iter_mut().zip(sample).for_each(|(rates, rate)| rates[server].push(rate));
            }
        }
    }
    let [creates, reads, pipelined_creates, pipelined_reads] = rates;
    [
        ("create, one by one", creates),
        ("getData, one by one", reads),
        ("create, 64 in flight", pipelined_creates),
        ("getData, 64 in flight", pipelined_reads),
    ]
}

async fn sample(client: &Client) -> [f64; 4] {
    let rate = |count: usize, begun: Instant| count as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    create(client, ONE_BY_ONE, 1).await;
    let creates = rate(ONE_BY_ONE, begun);
    let begun = Instant::now();
    read(client, ONE_BY_ONE, 1).await;
    let reads = rate(ONE_BY_ONE, begun);
    let begun = Instant::now();
    create(client, PIPELINED, IN_FLIGHT).await;
    let pipelined_creates = rate(PIPELINED, begun);
    let begun = Instant::now();
    read(client, PIPELINED, IN_FLIGHT).await;
    [creates, reads, pipelined_creates, rate(PIPELINED, begun)]
}
