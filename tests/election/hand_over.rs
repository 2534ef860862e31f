//! Hand-overs between living contenders, in both modes: never two leaders at once, and tokens that only grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{
    Contender, ZooKeeper, connect, contenders_become, identities, on_both_servers, unique_path,
};
use zookeeper_election::{BoxError, Error, LeaderTask, Leadership, Lost, Mode, async_trait};

on_both_servers! {
    ten_hand_overs_in_sequential_mode: 3 servers;
    ten_hand_overs_in_master_mode: 3 servers;
    the_work_is_dropped_when_the_leader_withdraws;
    a_task_that_fails_gives_the_lead_to_the_next_and_campaigns_again;
    one_election_campaigns_once_at_a_time;
    the_work_is_not_polled_after_the_end_by_a_task_that_has_used_up_its_budget;
}

/// Counts who leads at the moment.
#[derive(Default)]
struct Stage(AtomicUsize);

impl Stage {
    fn enter(&self) {
        assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "two leaders at once");
    }

    fn leave(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn ten_hand_overs(zookeeper: ZooKeeper, mode: Mode) {
    let path = unique_path("hand-over");
    let mut contenders = Vec::new();
    for id in ["a", "b", "c"] {
        contenders.push(Contender::join(&zookeeper.connect_string(), &path, mode, id).await);
    }
    let stage = Arc::new(Stage::default());
    let terms = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for mut contender in contenders {
        let (stage, terms) = (stage.clone(), terms.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let leadership = contender.leads().await;
                stage.enter();
                assert!(leadership.is_valid());
                let count = {
                    let mut terms = terms.lock().unwrap();
                    terms.push((contender.id.clone(), leadership.token()));
                    terms.len()
                };
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                stage.leave();
                leadership.resign().await.unwrap();
                if count > 10 {
                    return contender;
                }
                contender.campaign();
            }
        }));
    }
    let mut contenders = Vec::new();
    for task in tasks {
        contenders.push(task.await.unwrap());
    }
    let terms = terms.lock().unwrap().clone();
    assert!(terms.len() >= 11, "{terms:?}");
    assert!(terms.windows(2).all(|two| two[0].1 < two[1].1), "tokens grow: {terms:?}");
    if mode == Mode::Sequential {
        let order: Vec<&str> = terms.iter().take(6).map(|(id, _)| id.as_str()).collect();
        assert_eq!(order, ["a", "b", "c", "a", "b", "c"], "first come, first served");
    }
    // Nothing is left behind.
    contenders_become(&contenders[0].election, &[]).await;
}

async fn ten_hand_overs_in_sequential_mode(zookeeper: ZooKeeper) {
    ten_hand_overs(zookeeper, Mode::Sequential).await;
}

async fn ten_hand_overs_in_master_mode(zookeeper: ZooKeeper) {
    ten_hand_overs(zookeeper, Mode::Master).await;
}

async fn the_work_is_dropped_when_the_leader_withdraws(zookeeper: ZooKeeper) {
    let mut a =
        Contender::join(&zookeeper.connect_string(), &unique_path("hold"), Mode::Sequential, "a").await;
    let leadership = a.leads().await;
    assert_eq!(leadership.hold(async { 7 }).await, Ok(7));
    let election = a.election.clone();
    let withdrawal = tokio::spawn(async move { election.withdraw().await });
    let held = tokio::time::timeout(crate::support::PATIENCE, leadership.hold(std::future::pending::<()>()));
    assert_eq!(held.await.expect("the work is dropped"), Err(Lost::Resigned));
    assert!(!leadership.is_valid());
    withdrawal.await.unwrap().unwrap();
    assert_eq!(leadership.hold(async { 7 }).await, Err(Lost::Resigned), "work is not begun any more");
    assert_eq!(a.election.leader().await.unwrap(), None);
    leadership.resign().await.unwrap();
}

/// Fails the first time, is content with the second.
struct Worker {
    id: &'static str,
    order: Arc<std::sync::Mutex<Vec<&'static str>>>,
    failures: usize,
}

#[async_trait]
impl LeaderTask for Worker {
    async fn lead(&mut self, leadership: &Leadership) -> Result<(), BoxError> {
        assert!(leadership.is_valid());
        self.order.lock().unwrap().push(self.id);
        if self.failures > 0 {
            self.failures -= 1;
            return Err("out of order".into());
        }
        Ok(())
    }
}

async fn a_task_that_fails_gives_the_lead_to_the_next_and_campaigns_again(zookeeper: ZooKeeper) {
    let path = unique_path("run");
    let session = connect(&zookeeper.connect_string()).await;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let a = session.election(&path).identity("a").build().unwrap();
    let b = Contender::join_on(session.clone(), &path, Mode::Sequential, "b").await;
    // b leads already; a waits behind it, and then b's turn comes again when a fails.
    let mut first = Worker { id: "a", order: order.clone(), failures: 1 };
    let a = tokio::spawn(async move { a.run(&mut first).await });
    crate::support::eventually("a waits", crate::support::PATIENCE, async || {
        (identities(&b.election).await == ["b", "a"]).then_some(())
    })
    .await;
    b.election.withdraw().await.unwrap();
    let mut second = Worker { id: "b", order: order.clone(), failures: 0 };
    let b_election = session.election(&path).identity("b").build().unwrap();
    tokio::time::timeout(crate::support::PATIENCE, b_election.run(&mut second)).await.unwrap().unwrap();
    tokio::time::timeout(crate::support::PATIENCE, a).await.unwrap().unwrap().unwrap();
    let order = order.lock().unwrap().clone();
    assert_eq!(order.first(), Some(&"a"));
    assert_eq!(order.iter().filter(|id| **id == "a").count(), 2, "{order:?}");
    assert!(identities(&b_election).await.is_empty());
}

async fn one_election_campaigns_once_at_a_time(zookeeper: ZooKeeper) {
    let path = unique_path("once");
    let mut a = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "b").await;
    let leadership = a.leads().await;
    assert!(matches!(a.election.campaign().await, Err(Error::AlreadyCampaigning)));
    assert!(matches!(b.election.campaign().await, Err(Error::AlreadyCampaigning)));
    assert!(leadership.is_valid() && b.campaigns(), "neither is touched by that");

    // An old leadership, resigned late, does not touch the next one.
    drop(leadership);
    let second = b.leads().await;
    a.campaign();
    a.placed().await;
    assert!(second.is_valid());
}

async fn the_work_is_not_polled_after_the_end_by_a_task_that_has_used_up_its_budget(zookeeper: ZooKeeper) {
    use std::task::Poll;
    use tokio::task::coop::{has_budget_remaining, poll_proceed};
    let mut a =
        Contender::join(&zookeeper.connect_string(), &unique_path("budget"), Mode::Sequential, "a").await;
    let leadership = a.leads().await;
    a.election.withdraw().await.unwrap();
    let mut worked = false;
    {
        let mut held = std::pin::pin!(leadership.hold(async { worked = true }));
        // tokio's own futures are not ready then, whatever has happened.
        std::future::poll_fn(|cx| {
            while has_budget_remaining() {
                if let Poll::Ready(step) = poll_proceed(cx) {
                    step.made_progress();
                }
            }
            let _ = held.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
    }
    assert!(!worked);
}
