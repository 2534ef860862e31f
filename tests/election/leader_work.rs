//! The leader's work, and the znode: the next leader begins when the work has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    Contender, PATIENCE, SESSION_TIMEOUT, ZooKeeper, connect, eventually, on_both_servers, unique_path,
};
use tokio::task::JoinHandle;
use zookeeper_election::{
    BoxError, Election, Error, LeaderTask, Leadership, Lost, Mode, Session, async_trait,
};

on_both_servers! {
    the_next_one_leads_when_the_work_has_ended;
    after_the_grace_period_the_znode_goes_all_the_same;
    spans_without_end_are_waited_for_without_end;
    closing_leaves_a_session_whose_leader_works_on_to_expire;
    a_task_that_panics_gives_the_lead_to_the_next_and_campaigns_again;
}

/// Work that blocks its thread until it is told to end, or for as long as the test has patience.
#[derive(Clone, Default)]
struct Blocking {
    begun: Arc<AtomicBool>,
    told: Arc<AtomicBool>,
}

impl Blocking {
    /// Leads and works, in a task of its own.
    fn start(&self, leadership: Leadership) -> JoinHandle<Result<(), Lost>> {
        let Self { begun, told } = self.clone();
        tokio::spawn(async move {
            let work = async {
                begun.store(true, Ordering::SeqCst);
                let end = Instant::now() + PATIENCE;
                while !told.load(Ordering::SeqCst) && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(5));
                }
                std::future::pending::<()>().await;
            };
            leadership.hold(work).await
        })
    }

    async fn has_begun(&self) {
        eventually("the work", PATIENCE, async || self.begun.load(Ordering::SeqCst).then_some(())).await;
    }

    fn end(&self) {
        self.told.store(true, Ordering::SeqCst);
    }
}

/// A leader whose work blocks its thread, and the next in the queue.
async fn blocked(
    zookeeper: &ZooKeeper,
    grace: Option<Duration>,
) -> (Election, Contender, Blocking, JoinHandle<Result<(), Lost>>) {
    let path = unique_path("work");
    let session = connect(&zookeeper.connect_string()).await;
    let mut builder = session.election(&path).identity("a");
    if let Some(grace) = grace {
        builder = builder.grace(grace);
    }
    let a = builder.build().unwrap();
    let leadership = a.campaign().await.unwrap();
    let b = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "b").await;
    let work = Blocking::default();
    let held = work.start(leadership);
    work.has_begun().await;
    (a, b, work, held)
}

async fn the_next_one_leads_when_the_work_has_ended(zookeeper: ZooKeeper) {
    let (a, mut b, work, held) = blocked(&zookeeper, Some(PATIENCE)).await;
    let withdrawal = tokio::spawn(async move { a.withdraw().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(b.campaigns() && !withdrawal.is_finished(), "the work goes on");
    work.end();
    assert_eq!(held.await.unwrap(), Err(Lost::Resigned));
    withdrawal.await.unwrap().unwrap();
    assert!(b.leads().await.is_valid());
}

async fn after_the_grace_period_the_znode_goes_all_the_same(zookeeper: ZooKeeper) {
    let (a, mut b, work, held) = blocked(&zookeeper, Some(Duration::from_millis(100))).await;
    let withdrawn = tokio::time::timeout(PATIENCE, a.withdraw()).await.expect("an end");
    assert!(matches!(withdrawn, Err(Error::WorkContinues { .. })), "{withdrawn:?}");
    assert!(b.leads().await.is_valid());
    assert!(!held.is_finished());
    work.end();
    held.await.unwrap().unwrap_err();
}

async fn spans_without_end_are_waited_for_without_end(zookeeper: ZooKeeper) {
    // The longest that there are, and ones that a clock can just not express.
    for endless in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(u64::MAX / 4)] {
        let path = unique_path("endless");
        let builder = Session::builder()
            .session_timeout(Duration::from_millis(i32::MAX as u64))
            .connect_timeout(endless)
            .request_timeout(endless);
        let session = builder.connect(&zookeeper.connect_string()).await.unwrap();
        let a = session.election(&path).identity("a").grace(endless).build().unwrap();
        let leadership = a.campaign().await.unwrap();
        let mut b = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "b").await;
        let work = Blocking::default();
        let held = work.start(leadership);
        work.has_begun().await;
        let withdrawal = tokio::spawn(async move { a.withdraw().await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(b.campaigns() && !withdrawal.is_finished(), "the work goes on");
        work.end();
        assert_eq!(held.await.unwrap(), Err(Lost::Resigned));
        tokio::time::timeout(PATIENCE, withdrawal).await.expect("an end").unwrap().unwrap();
        b.leads().await.resign().await.unwrap();
        session.close().await.unwrap();
    }
}

async fn closing_leaves_a_session_whose_leader_works_on_to_expire(zookeeper: ZooKeeper) {
    let path = unique_path("work");
    let session = connect(&zookeeper.connect_string()).await;
    let mut a = Contender::join_on(session.clone(), &path, Mode::Sequential, "a").await;
    let leadership = a.leads().await;
    let node = leadership.node().to_owned();
    let mut b = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "b").await;
    let work = Blocking::default();
    let held = work.start(leadership);
    work.has_begun().await;
    let closed = session.close().await;
    assert!(matches!(closed, Err(Error::WorkContinues { .. })), "{closed:?}");
    let again = session.close().await;
    assert!(matches!(again, Err(Error::WorkContinues { .. })), "the same answer: {again:?}");
    let contenders = b.election.contenders().await.unwrap();
    assert_eq!(contenders[0].node, node, "the znode stays, for as long as the session");
    assert!(b.campaigns());
    assert!(b.leads().await.is_valid());
    work.end();
    held.await.unwrap().unwrap_err();
}

/// Panics the first time.
struct Clumsy(Arc<AtomicUsize>);

#[async_trait]
impl LeaderTask for Clumsy {
    async fn lead(&mut self, leadership: &Leadership) -> Result<(), BoxError> {
        assert!(leadership.is_valid());
        assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "the first time it panics");
        Ok(())
    }
}

async fn a_task_that_panics_gives_the_lead_to_the_next_and_campaigns_again(zookeeper: ZooKeeper) {
    let path = unique_path("panic");
    let session = connect(&zookeeper.connect_string()).await;
    let mut first = Contender::join_on(session.clone(), &path, Mode::Sequential, "first").await;
    let leadership = first.leads().await;
    let a = session.election(&path).identity("a").build().unwrap();
    let times = Arc::new(AtomicUsize::new(0));
    let mut clumsy = Clumsy(times.clone());
    let a = tokio::spawn(async move { a.run(&mut clumsy).await });
    eventually("a waits", PATIENCE, async || {
        (crate::support::identities(&first.election).await == ["first", "a"]).then_some(())
    })
    .await;
    let mut b = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "b").await;
    leadership.resign().await.unwrap();
    // a has led and has given up the lead, not only its work.
    let leadership = b.leads().await;
    assert_eq!(times.load(Ordering::SeqCst), 1);
    tokio::time::sleep(SESSION_TIMEOUT / 4).await;
    assert_eq!(times.load(Ordering::SeqCst), 1, "b leads");
    leadership.resign().await.unwrap();
    tokio::time::timeout(PATIENCE, a).await.expect("an end").unwrap().unwrap();
    assert_eq!(times.load(Ordering::SeqCst), 2);
}
