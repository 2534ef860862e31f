//! Runtimes: futures that can be spawned, current-thread runtimes, and a runtime that is shut down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    Contender, PATIENCE, SESSION_TIMEOUT, ZooKeeper, connect, eventually, on_both_servers, unique_path,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, block_in_place};
use zookeeper_election::zookeeper_client::Client;
use zookeeper_election::{BoxError, Error, LeaderTask, Leadership, Lost, Mode, Session, async_trait};

on_both_servers! {
    every_future_can_be_spawned;
    a_current_thread_runtime_is_enough: #[tokio::test];
    shutting_down_the_session_s_runtime_ends_everything_on_it;
    a_leader_on_a_client_whose_runtime_is_shut_down_steps_down;
    closing_and_leaving_say_so_when_the_session_s_runtime_was_shut_down;
    nobody_leads_while_a_leader_works_on_whose_session_s_runtime_was_shut_down;
    the_application_s_client_stays_as_long_as_a_leader_works_on_whose_session_s_runtime_was_shut_down;
}

struct Nothing;

#[async_trait]
impl LeaderTask for Nothing {
    async fn lead(&mut self, _: &Leadership) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Spawns a future, which demands that it can move between threads.
async fn spawned<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    tokio::time::timeout(PATIENCE, tokio::spawn(future)).await.expect("an end").expect("no panic")
}

async fn every_future_can_be_spawned(zookeeper: ZooKeeper) {
    let path = unique_path("spawned");
    let servers = zookeeper.connect_string();
    let session = spawned(async move { Session::connect(&servers).await }).await.unwrap();
    let election = std::sync::Arc::new(session.election(&path).build().unwrap());
    let it = election.clone();
    let leadership = spawned(async move { it.campaign().await }).await.unwrap();
    let it = election.clone();
    assert!(spawned(async move { it.leader().await }).await.unwrap().is_some());
    let it = election.clone();
    assert_eq!(spawned(async move { it.contenders().await }).await.unwrap().len(), 1);
    let mut watch = election.observe();
    assert!(spawned(async move { watch.next().await }).await.unwrap().is_some());
    let it = election.clone();
    spawned(async move { it.withdraw().await }).await.unwrap();
    let lost = spawned(async move {
        let held = leadership.hold(std::future::pending::<()>()).await;
        assert_eq!(held, Err(crate::support::lost(&leadership).await));
        leadership.resign().await.unwrap();
        held
    });
    assert_eq!(lost.await, Err(Lost::Resigned));
    spawned(async move { election.run(&mut Nothing).await }).await.unwrap();
    spawned(async move { session.close().await }).await.unwrap();
}

async fn a_current_thread_runtime_is_enough(mut zookeeper: ZooKeeper) {
    let session = connect(&zookeeper.connect_string()).await;
    let election = session.election(&unique_path("single")).build().unwrap();
    for _ in 0..20 {
        // Campaigning right after a campaign was dropped is no second campaign.
        let _ = tokio::time::timeout(Duration::from_millis(1), election.campaign()).await;
        let leadership = election.campaign().await.expect("the first one was dropped");
        leadership.resign().await.unwrap();
    }
    // An outage beyond what the ZooKeeper client bears by itself does not freeze the thread.
    let leadership = election.campaign().await.unwrap();
    zookeeper.kill();
    crate::support::lost(&leadership).await;
    let asleep = std::time::Instant::now();
    tokio::time::sleep(3 * crate::support::SESSION_TIMEOUT).await;
    assert!(asleep.elapsed() < 3 * crate::support::SESSION_TIMEOUT + Duration::from_secs(10));
    zookeeper.start().await;
    drop(leadership);
    let again = tokio::time::timeout(PATIENCE, election.campaign()).await.expect("an end").unwrap();
    assert!(again.is_valid());
}

/// A runtime besides the test's own.
fn another_runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn shutting_down_the_session_s_runtime_ends_everything_on_it(zookeeper: ZooKeeper) {
    let session_s = another_runtime();
    let (path, servers) = (unique_path("shutdown"), zookeeper.connect_string());
    let campaign = session_s.spawn(async move {
        let session = connect(&servers).await;
        let election = session.election(&path).build().unwrap();
        let leadership = election.campaign().await.unwrap();
        let mut watch = election.observe();
        watch.next().await.unwrap().expect("a leader");
        (leadership, election, watch)
    });
    let (leadership, election, mut watch) = campaign.await.unwrap();
    let watching = tokio::spawn(async move { watch.next().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    block_in_place(|| session_s.shutdown_timeout(Duration::from_secs(5)));
    assert!(!leadership.is_valid());
    let bounded = tokio::time::timeout(PATIENCE, async {
        assert_eq!(crate::support::lost(&leadership).await, Lost::SessionClosed);
        let seen = watching.await.expect("no panic reaches the application");
        assert!(matches!(seen, Err(Error::SessionClosed)), "{seen:?}");
        assert!(matches!(election.leader().await, Err(Error::SessionClosed)));
        assert!(matches!(election.campaign().await, Err(Error::SessionClosed)));
    });
    bounded.await.expect("nothing hangs");
}

async fn closing_and_leaving_say_so_when_the_session_s_runtime_was_shut_down(zookeeper: ZooKeeper) {
    let session_s = another_runtime();
    let servers = zookeeper.connect_string();
    let session = session_s.spawn(async move { connect(&servers).await }).await.unwrap();
    let path = unique_path("shutdown");
    let election = session.election(&path).build().unwrap();
    let leadership = election.campaign().await.unwrap();
    // One that has left before, and one that has never campaigned.
    let left = session.election(&unique_path("shutdown")).build().unwrap();
    left.campaign().await.unwrap().resign().await.unwrap();
    let never = session.election(&path).build().unwrap();
    block_in_place(|| session_s.shutdown_timeout(Duration::from_secs(5)));
    let ended = tokio::time::timeout(PATIENCE, async {
        let closed = [session.close().await, session.close().await];
        assert!(
            matches!(closed, [Err(Error::RemovalUnconfirmed), Err(Error::RemovalUnconfirmed)]),
            "{closed:?}"
        );
        let withdrawn = election.withdraw().await;
        assert!(matches!(withdrawn, Err(Error::RemovalUnconfirmed)), "{withdrawn:?}");
        let resigned = leadership.resign().await;
        assert!(matches!(resigned, Err(Error::RemovalUnconfirmed)), "{resigned:?}");
        left.withdraw().await.unwrap();
        never.withdraw().await.unwrap();
    });
    ended.await.expect("nothing hangs");
}

async fn a_leader_on_a_client_whose_runtime_is_shut_down_steps_down(zookeeper: ZooKeeper) {
    let client_s = another_runtime();
    let servers = zookeeper.connect_string();
    let client = client_s.spawn(async move { Client::connect(&servers).await }).await.unwrap().unwrap();
    let session = Session::from_client(client);
    let election = session.election(&unique_path("foreign")).build().unwrap();
    let leadership = election.campaign().await.unwrap();
    client_s.shutdown_background();
    let lost = tokio::time::timeout(PATIENCE, leadership.lost()).await.expect("the leadership ends");
    assert_eq!(lost, Lost::SessionExpired);
    assert!(matches!(election.campaign().await, Err(Error::SessionLost)));
    // The ensemble may keep the session, and the znode, for a while.
    let closed = session.close().await;
    assert!(matches!(closed, Err(Error::SessionLost)), "{closed:?}");
}

/// Work that does not notice its end before the runtime of the session has been down for a while.
const BLOCKED: Duration = SESSION_TIMEOUT.checked_div(2).unwrap();

/// A leader who works on the test's own runtime, and somebody else who asks for the validity all the time.
struct Working {
    work: JoinHandle<Instant>,
    asking: std::thread::JoinHandle<Instant>,
    down: Arc<AtomicBool>,
}

impl Working {
    async fn start(leadership: Leadership) -> Self {
        let leadership = Arc::new(leadership);
        let (begun, down) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (it, begins, is_down) = (leadership.clone(), begun.clone(), down.clone());
        let work = tokio::spawn(async move {
            let work = async {
                begins.store(true, Ordering::SeqCst);
                while !is_down.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                std::thread::sleep(BLOCKED);
                Instant::now()
            };
            it.hold(work).await.expect("the work has ended before it could be dropped")
        });
        let asking = std::thread::spawn(move || {
            let mut last = Instant::now();
            while leadership.is_valid() {
                last = Instant::now();
            }
            last
        });
        eventually("the work", PATIENCE, async || begun.load(Ordering::SeqCst).then_some(())).await;
        Self { work, asking, down }
    }

    /// When nobody acted as the leader any more.
    async fn ends(self) -> Instant {
        self.down.store(true, Ordering::SeqCst);
        let worked = self.work.await.unwrap();
        worked.max(block_in_place(|| self.asking.join().unwrap()))
    }
}

/// Waits for the lead, and tells when it was won.
fn wait_for_the_lead(mut contender: Contender) -> JoinHandle<Instant> {
    tokio::spawn(async move {
        let leadership = contender.leads().await;
        let since = Instant::now();
        leadership.resign().await.unwrap();
        since
    })
}

async fn nobody_leads_while_a_leader_works_on_whose_session_s_runtime_was_shut_down(zookeeper: ZooKeeper) {
    for round in 0..3 {
        let session_s = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (path, servers) = (unique_path("works-on"), zookeeper.connect_string());
        let campaign = session_s.spawn(async move {
            let session = connect(&servers).await;
            let election = session.election(&path).build().unwrap();
            let leadership = election.campaign().await.unwrap();
            (leadership, path)
        });
        let (leadership, path) = campaign.await.unwrap();
        let b = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "b").await;
        let b = wait_for_the_lead(b);
        let working = Working::start(leadership).await;
        block_in_place(|| session_s.shutdown_timeout(Duration::from_secs(5)));
        let ended = working.ends().await;
        let since = b.await.unwrap();
        assert!(since > ended, "round {round}: the next led {:?} before the work ended", ended - since);
    }
}

async fn the_application_s_client_stays_as_long_as_a_leader_works_on_whose_session_s_runtime_was_shut_down(
    zookeeper: ZooKeeper,
) {
    let session_s = another_runtime();
    let path = unique_path("works-on");
    let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    // The application keeps no handle of its own.
    let client = connector.connect(&zookeeper.connect_string()).await.unwrap();
    let election =
        session_s.spawn(async move { Session::from_client(client) }).await.unwrap().election(&path);
    let election = election.build().unwrap();
    let leadership = election.campaign().await.unwrap();
    drop(election);
    let b = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "b").await;
    let b = wait_for_the_lead(b);
    let working = Working::start(leadership).await;
    block_in_place(|| session_s.shutdown_timeout(Duration::from_secs(5)));
    let ended = working.ends().await;
    // The last handle has gone with the work, and the client with it.
    let since = b.await.unwrap();
    assert!(since > ended, "the next led {:?} before the work ended", ended - since);
    assert!(
        ended.elapsed() < SESSION_TIMEOUT,
        "the client is closed, not left to expire: {:?}",
        ended.elapsed()
    );
}
