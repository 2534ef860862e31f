//! Contenders that only their znodes tell apart, on one session whose connection breaks all the time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{
    Fault, How, OpCode, PATIENCE, Proxy, When, ZooKeeper, connect, eventually, identities, on_both_servers,
    random, unique_path,
};
use zookeeper_election::{Election, Mode, Standing};

on_both_servers! {
    twins_in_a_queue;
    twins_for_one_znode;
}

const CONTENDERS: usize = 8;
const TIME: Duration = Duration::from_secs(8);

/// Campaigns, leads for a moment or gives up, again and again.
async fn contend(election: Arc<Election>, tokens: Arc<Mutex<HashSet<i64>>>, until: Instant) -> usize {
    let mut won = 0;
    while Instant::now() < until {
        let patience = Duration::from_millis(random() % 400);
        let Ok(outcome) = tokio::time::timeout(patience, election.campaign()).await else {
            continue;
        };
        let leadership = outcome.expect("nothing ends a campaign here");
        won += 1;
        let token = leadership.token();
        assert!(tokens.lock().unwrap().insert(token.zxid()), "two leaderships with the token {token}");
        let _ = leadership.hold(tokio::time::sleep(Duration::from_millis(random() % 20))).await;
        if random().is_multiple_of(2) {
            leadership.resign().await.expect("the session lives");
        }
    }
    won
}

async fn no_two_leaders_and_no_ghosts(zookeeper: ZooKeeper, mode: Mode) {
    let path = unique_path("stress");
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let session = connect(&proxy.address()).await;
    let id = session.id();
    let tokens = Arc::new(Mutex::new(HashSet::new()));
    let until = Instant::now() + TIME;
    let elections: Vec<Arc<Election>> = (0..CONTENDERS)
        .map(|_| Arc::new(session.election(&path).mode(mode).identity("twin").build().unwrap()))
        .collect();
    let tasks: Vec<_> = elections
        .iter()
        .map(|election| tokio::spawn(contend(election.clone(), tokens.clone(), until)))
        .collect();
    // A master's removal is a transaction, as are the proofs.
    const OPERATIONS: [&[OpCode]; 5] = [
        &[OpCode::MULTI_CREATE],
        &[OpCode::DELETE],
        &[OpCode::MULTI],
        &[OpCode::GET_DATA],
        &[OpCode::GET_CHILDREN],
    ];
    while Instant::now() < until {
        let when = if random().is_multiple_of(3) { When::Before } else { When::After };
        let how = if random().is_multiple_of(2) { How::Fin } else { How::Reset };
        proxy.arm(Fault::new(OPERATIONS[random() as usize % OPERATIONS.len()], when, how));
        tokio::time::sleep(Duration::from_millis(random() % 300)).await;
    }
    // The last fault may still be armed, and hit whoever cleans up.
    let mut won = 0;
    for task in tasks {
        let task = tokio::time::timeout(PATIENCE, task).await.expect("an end");
        won += task.expect("no contender fails");
    }
    println!("{won} leaderships in {TIME:?}");
    assert!(won >= 10, "only {won} leaderships");
    assert_eq!(tokens.lock().unwrap().len(), won);
    for election in &elections {
        eventually("everybody idle", PATIENCE, async || {
            (election.standing() == Standing::Idle).then_some(())
        })
        .await;
    }
    assert!(identities(&elections[0]).await.is_empty(), "no ghost");
    assert_eq!(session.id(), id, "it was one session all the time, so nothing has gone by expiry");
}

async fn twins_in_a_queue(zookeeper: ZooKeeper) {
    no_two_leaders_and_no_ghosts(zookeeper, Mode::Sequential).await;
}

async fn twins_for_one_znode(zookeeper: ZooKeeper) {
    no_two_leaders_and_no_ghosts(zookeeper, Mode::Master).await;
}
