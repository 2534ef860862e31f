//! An ensemble that serves clients does not notice that it is inspected.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use zookeeper_client::{Acls, Client, CreateMode};
use zookeeper_fle::Inspection;

use crate::{election_address, finds, id, inspect};
use testkit::{Ensemble, PATIENCE, eventually};

/// All that servers may log about an inspection: a connection of a stranger, whose id begins like this, comes and goes.
/// With the exception whose stack trace may follow.
const MAY_LOG: &[(&str, Option<&str>)] = &[
    ("INFO QuorumCnxManager - Received connection request from /127.0.0.1:", None),
    ("INFO FastLeaderElection - Backward compatibility mode (36 bits), server id: 4611686018427", None),
    (
        "INFO FastLeaderElection - Backward compatibility mode (before reconfig), server id: 4611686018427",
        None,
    ),
    ("WARN QuorumCnxManager - Connection broken for id 4611686018427", Some("java.io.EOFException")),
    ("WARN QuorumCnxManager - Interrupting SendWorker thread from RecvWorker. sid: 4611686018427", None),
    (
        "WARN QuorumCnxManager - Interrupted while waiting for message on queue",
        Some("java.lang.InterruptedException"),
    ),
    ("WARN QuorumCnxManager - Send worker leaving thread id 4611686018427", None),
    // A slow disk.
    ("WARN FileTxnLog - fsync-ing the write ahead log", None),
];

/// A line of a stack trace below the exception.
const FRAME: &str = "\tat ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_inspections_under_load_change_nothing() {
    let ensemble = Ensemble::start(5).await;
    let all = [0, 1, 2, 3, 4].map(|i| election_address(&ensemble, i)).join(",");
    let leader = ensemble.leader().await;
    let before = finds("all is well", &all, Inspection::is_healthy).await;
    assert_eq!(before.leader().unwrap().0, id(leader), "{before}");

    // Clients write all the while.
    let client = Client::connect(&ensemble.connect_string()).await.expect("a session");
    let written = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&written);
    let mut writer = tokio::spawn(async move {
        let mode = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
        loop {
            client.create("/node-", b"", &mode).await.expect("a node");
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let has_written = async |more: u64| {
        let goal = written.load(Ordering::Relaxed) + more;
        eventually("writes", PATIENCE, async || (written.load(Ordering::Relaxed) >= goal).then_some(()))
            .await;
    };
    has_written(10).await;
    let logged = [0, 1, 2, 3, 4].map(|i| ensemble.server(i).log().len());

    for batch in 0..10 {
        let one = election_address(&ensemble, batch % 5);
        let twenty = (0..20).map(|i| inspect(if i % 2 == 0 { &all } else { &one }));
        for inspection in join_all(twenty).await {
            assert!(inspection.is_healthy(), "{inspection}");
            assert_eq!(inspection.leader(), before.leader(), "{inspection}");
            assert_eq!(inspection.servers.len(), 5, "{inspection}");
        }
        has_written(1).await;
    }

    let logs = [0, 1, 2, 3, 4].map(|i| ensemble.server(i).log());
    assert!(!writer.is_finished(), "every write succeeds: {:?}", (&mut writer).await);
    writer.abort();
    eprintln!("written meanwhile: {}", written.load(Ordering::Relaxed));
    assert_eq!(ensemble.leader().await, leader);
    let mut unexpected = BTreeSet::new();
    for (i, (log, before)) in logs.iter().zip(logged).enumerate() {
        let lines = log[before..].lines();
        assert!(
            lines.clone().filter(|line| line.contains(MAY_LOG[0].0)).count() > 100,
            "server {} was asked",
            id(i)
        );
        // What may come next of a stack trace: first the exception, then its frames.
        let mut trace: Option<&str> = None;
        for line in lines {
            if trace.is_some_and(|next| line.starts_with(next)) {
                trace = Some(FRAME);
                continue;
            }
            // After the time and the thread.
            let told = line.split_once("] ").map_or(line, |(_, told)| told);
            match MAY_LOG.iter().find(|(allowed, _)| told.starts_with(allowed)) {
                Some((_, exception)) => trace = *exception,
                None => {
                    trace = None;
                    unexpected.insert(format!("server {}: {line}", id(i)));
                }
            }
        }
    }
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}
