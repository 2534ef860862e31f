//! Fail-over among processes of the `contender` example, killed and terminated.

use std::time::{Duration, Instant};

use crate::support::{
    ContenderProcess, Ensemble, PATIENCE, ZooKeeper, connect, contenders_become, eventually, on_both_servers,
    token_in, unique_path,
};
use rustix::process::Signal;
use tokio::net::TcpListener;
use zookeeper_embedded::Server;

on_both_servers! {
    the_next_in_the_queue_leads_when_the_leader_is_killed: 3 servers;
    a_master_that_is_killed_is_replaced: 3 servers;
    all_of_them_are_terminated_at_once_and_end_well;
}

/// What the servers tick, unless a test says otherwise.
const TICK: Duration = Duration::from_millis(500);

async fn start(servers: &str, path: &str, ids: &[&str], session_timeout: &str) -> Vec<ContenderProcess> {
    let mut processes: Vec<ContenderProcess> = Vec::new();
    for id in ids {
        let process = ContenderProcess::start(servers, path, id, &["--session-timeout", session_timeout]);
        process.says(if processes.is_empty() { "leading" } else { "waiting" }).await;
        processes.push(process);
    }
    processes
}

/// Waits until a process says that it waits behind the znode with this number.
async fn waits_behind(process: &ContenderProcess, number: u32) {
    let what = format!("{} waits behind number {number}", process.id);
    eventually(&what, PATIENCE, async || {
        let last = process.said().pop()?;
        (last.starts_with("waiting") && last.ends_with(&format!("guid_{number:010}"))).then_some(())
    })
    .await;
}

async fn the_next_in_the_queue_leads_when_the_leader_is_killed(zookeeper: ZooKeeper) {
    let path = unique_path("kill");
    let servers = zookeeper.connect_string();
    let mut queue = start(&servers, &path, &["a", "b", "c", "d", "e"], "6s").await;
    let observer = connect(&servers).await;
    let election = observer.election(&path).build().unwrap();
    let mut last_token = token_in(&queue[0].says("leading").await);

    // One in the middle first: nobody's leadership changes, and the one behind watches the next lower.
    queue[2].kill();
    waits_behind(&queue[3], 1).await;
    contenders_become(&election, &["a", "b", "d", "e"]).await;
    assert_eq!(queue[0].said().len(), 2, "connecting, leading: {:?}", queue[0].said());

    // Then twice the leader.
    for (leader, next, left) in [(0, 1, vec!["b", "d", "e"]), (1, 3, vec!["d", "e"])] {
        let killed = Instant::now();
        queue[leader].kill();
        let token = token_in(&queue[next].says("leading").await);
        let took = killed.elapsed();
        println!("{} leads {took:?} after {} was killed", queue[next].id, queue[leader].id);
        assert!(token > last_token, "tokens grow");
        for other in &queue[next + 1..] {
            let last = other.said().pop().unwrap();
            assert!(last.starts_with("waiting") || other.id == "c", "{}: {last}", other.id);
        }
        // The session timeout, two ticks, and a second for a busy machine.
        assert!(took <= Duration::from_secs(6) + 2 * TICK + Duration::from_secs(1), "{took:?}");
        // The others keep their places.
        contenders_become(&election, &left).await;
        last_token = token;
    }
    // e waited behind d all the time, and said so once.
    assert_eq!(queue[4].said().len(), 2, "connecting, waiting: {:?}", queue[4].said());
}

mod a_leader_that_is_terminated_hands_over_without_the_session_timeout {
    use super::*;

    /// Permits a session timeout beyond the limit of this test's waiting: whoever waits for it fails.
    const TICK: Duration = Duration::from_secs(4);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn real() {
        let ensemble = Ensemble::builder(3).tick(TICK).start().await;
        a_leader_that_is_terminated_hands_over(&ensemble.connect_string()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn embedded() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::builder().tick(TICK).start(listener).unwrap();
        a_leader_that_is_terminated_hands_over(&server.connect_string()).await;
    }
}

async fn a_leader_that_is_terminated_hands_over(servers: &str) {
    let path = unique_path("terminate");
    let mut queue = start(servers, &path, &["a", "b", "c"], "60s").await;

    for (leader, next, signal) in [(0, 1, Signal::TERM), (1, 2, Signal::INT)] {
        let started = Instant::now();
        queue[leader].signal(signal);
        assert!(queue[leader].exits().await, "a clean end");
        assert_eq!(queue[leader].said().pop().as_deref(), Some("resigned"));
        queue[next].says("leading").await;
        println!("{} leads {:?} after {signal:?} to {}", queue[next].id, started.elapsed(), queue[leader].id);
    }
    queue[2].signal(Signal::TERM);
    assert!(queue[2].exits().await);
    let observer = connect(servers).await;
    contenders_become(&observer.election(&path).build().unwrap(), &[]).await;
}

async fn all_of_them_are_terminated_at_once_and_end_well(zookeeper: ZooKeeper) {
    let rounds = std::env::var("ROUNDS").map_or(10, |rounds| rounds.parse().expect("a number of rounds"));
    let servers = zookeeper.connect_string();
    let mut failures = Vec::new();
    for round in 0..rounds {
        let path = unique_path("at-once");
        let mut queue = start(&servers, &path, &["a", "b", "c"], "2s").await;
        queue.iter().for_each(|process| process.signal(Signal::TERM));
        for process in &mut queue {
            if !process.exits().await {
                failures.push(format!("round {round}: {}", process.id));
            }
        }
    }
    assert!(failures.is_empty(), "{rounds} rounds, ends with an error: {failures:?}");
}

async fn a_master_that_is_killed_is_replaced(zookeeper: ZooKeeper) {
    let path = unique_path("master");
    let servers = zookeeper.connect_string();
    let options = ["--mode", "master", "--session-timeout", "2s"];
    let mut a = ContenderProcess::start(&servers, &path, "a", &options);
    let first = token_in(&a.says("leading").await);
    let others = ["b", "c"].map(|id| ContenderProcess::start(&servers, &path, id, &options));
    for other in &others {
        assert_eq!(other.says("waiting").await, format!("waiting behind {path}"));
    }
    a.kill();
    let leaders = async || others.iter().filter(|it| it.said().pop().unwrap().starts_with("leading")).count();
    eventually("a new master", PATIENCE, async || (leaders().await == 1).then_some(())).await;
    let observer = connect(&servers).await;
    let election = observer.election(&path).mode(zookeeper_election::Mode::Master).build().unwrap();
    eventually("the new master is seen", PATIENCE, async || {
        election.leader().await.unwrap().filter(|master| master.token > first)
    })
    .await;
    assert_eq!(leaders().await, 1, "one of the two");
}
