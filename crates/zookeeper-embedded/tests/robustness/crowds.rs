//! Many connections at once.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{Instant, sleep};
use zookeeper_embedded::Server;

use crate::good::Good;
use crate::wire::{LIMIT, Raw, books, resident};
use crate::{ALONE, server};

const CROWD: usize = 10_000;
/// Both ends are in this process. The server keeps only some thousands of connections without a session.
const FILES: u64 = 16_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_that_say_nothing_disturb_nobody() {
    let _alone = ALONE.lock().await;
    may_open_files();
    let server = server().await;
    let good = Good::connect(&server).await;
    let before = resident();
    let mut crowd = Vec::new();
    for i in 0..CROWD {
        crowd.push(Raw::open(server.address()).await);
        if i % 1000 == 999 {
            good.works().await;
        }
    }
    let kept = settled(&server).await;
    assert!((1000..CROWD as i64).contains(&kept), "{kept} connections");
    let grown = resident().saturating_sub(before);
    println!("{kept} of {CROWD} connections kept, {grown} KiB");
    assert!(grown < 200 * 1024, "{grown} KiB");
    good.works().await;
    let newcomer = Good::connect(&server).await;
    newcomer.works().await;
    drop((newcomer, crowd));
    good.is_alone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_that_are_left_alone_expire() {
    let _alone = ALONE.lock().await;
    may_open_files();
    let server = server().await;
    let good = Good::connect(&server).await;
    let mut crowd = Vec::new();
    for _ in 0..1000 {
        crowd.push(Raw::connect(server.address(), Duration::from_secs(1)).await);
    }
    good.works().await;
    good.is_alone().await;
    for mut raw in crowd {
        assert!(raw.ends().await.is_empty());
    }
}

/// The number of connections when the server has accepted all.
async fn settled(server: &Server) -> i64 {
    let end = Instant::now() + LIMIT;
    let mut before = 0;
    loop {
        let now = books(server.address()).await["num_alive_connections"];
        if now == before {
            return now;
        }
        assert!(Instant::now() < end, "{before} connections, then {now}");
        before = now;
        sleep(Duration::from_millis(100)).await;
    }
}

/// Raises this process's limit of open files.
fn may_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < FILES) {
        let raised = Rlimit { current: Some(FILES), maximum };
        let outcome = setrlimit(Resource::Nofile, raised);
        assert!(
            outcome.is_ok(),
            "{FILES} open files are needed, and the limit is {maximum:?}: raise `ulimit -Hn`"
        );
    }
}
