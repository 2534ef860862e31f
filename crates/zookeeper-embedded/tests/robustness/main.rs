//! The embedded server goes on serving its clients while others are broken, hostile, or too many.
//!
//! ```text
//! ROBUSTNESS_SEED=7 cargo test -p zookeeper-embedded --test robustness fuzz    # one batch of connections again
//! ```

// Held by a test that measures this process's memory or exhausts its file descriptors.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

mod crowds;
mod frames;
mod fuzz;
mod good;
mod silence;
mod wire;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, panic};

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use zookeeper_embedded::Server;

use good::Good;
use wire::LIMIT;

const BATCHES: u64 = 20;
const CONNECTIONS_PER_BATCH: u32 = 100;
const AT_ONCE: usize = 16;

/// A server whose sessions have timeouts between 1 s and 10 s.
async fn server() -> Server {
    Server::start().await.expect("a server")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuzz_whatever_connections_send_a_good_client_is_served_and_nothing_is_left_of_them() {
    let _alone = ALONE.lock().await;
    // Counted, because a panic in a task of the server only closes its connection.
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        hook(panic);
    }));
    let seeds = match env::var("ROBUSTNESS_SEED") {
        Ok(seed) => vec![seed.parse().expect("ROBUSTNESS_SEED, a number")],
        Err(_) => {
            let first = fastrand::u64(..1 << 40);
            (first..first + BATCHES).collect()
        }
    };
    let mut whole = 0;
    for seed in seeds {
        // Shown when the test fails: the last one is that of the batch.
        println!("ROBUSTNESS_SEED={seed}");
        whole += usize::from(batch(seed).await);
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "panics");
    }
    assert!(whole > 0 || env::var("ROBUSTNESS_SEED").is_ok(), "in no batch all znodes could be counted");
}

/// Many connections to a server, some at a time. Tells whether all znodes that are left could be counted.
async fn batch(seed: u64) -> bool {
    let mut rng = Rng::with_seed(seed);
    let server = server().await;
    let good = Good::connect(&server).await;
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS_PER_BATCH {
        if connections.len() == AT_ONCE {
            connections.join_next().await.expect("a connection").expect("no panic");
        }
        connections.spawn(converse(server.address(), rng.fork()));
    }
    good.works().await;
    while let Some(ended) = connections.join_next().await {
        ended.expect("no panic");
    }
    good.works().await;
    for session in server.sessions() {
        if session != good.session() {
            server.client(session).expire();
        }
    }
    good.is_alone().await;
    let counted = good.counts_all_znodes().await.is_some();
    timeout(LIMIT, server.shutdown()).await.expect("the end of the server");
    counted
}

/// Sends what the random numbers say, in pieces, and reads what comes until the server ends the connection.
async fn converse(address: SocketAddr, mut rng: Rng) {
    let bytes = fuzz::connection(&mut rng);
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut reading, mut writing) = stream.into_split();
    let sending = async move {
        let pieces = bytes.chunks(if rng.u32(..4) == 0 { rng.usize(1..500) } else { bytes.len().max(1) });
        for piece in pieces {
            if writing.write_all(piece).await.is_err() {
                break;
            }
        }
        // With the end of the pieces the server sees the end of the connection.
        writing.shutdown().await
    };
    let receiving = async {
        let mut received = Vec::new();
        reading.read_to_end(&mut received).await
    };
    let both = async { tokio::join!(sending, receiving) };
    let _ = timeout(LIMIT, both).await.expect("the server ends what the client has ended");
}
