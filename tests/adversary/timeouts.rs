//! Sessions that are taken up by servers with other session bounds than those that they were opened with.

use std::sync::Arc;
use std::time::Duration;

use testkit::{Ensemble, PATIENCE, eventually, unique_path};
use tokio::time::{sleep, timeout};
use zookeeper_election::{Election, Leadership, Session};

use crate::doors::Doors;
use crate::referee::Referee;
use crate::session;

/// Three servers, of which the first keeps no session for longer than it says.
async fn servers(tick: Duration, shortest: Duration, longest: Duration) -> Ensemble {
    Ensemble::builder(3)
        .tick(tick)
        .config("syncLimit=60")
        .config(format!("maxSessionTimeout={}", longest.as_millis()))
        .config_of(0, format!("maxSessionTimeout={}", shortest.as_millis()))
        .start()
        .await
}

fn election(session: &Session, path: &str, name: &str) -> Arc<Election> {
    Arc::new(session.election(path).identity(name).build().unwrap())
}

/// Waits until no server answers any more, and until the client that would reconnect by itself has been replaced.
async fn replaced(session: &Session, session_timeout: Duration) {
    let suspended = async || session.id().is_none().then_some(());
    eventually("A hears nothing", PATIENCE, suspended).await;
    sleep(session_timeout.mul_f64(0.61)).await;
}

/// A new leader server gives a session the timeout that it was created with (`createSession` in the transaction log),
/// whatever was negotiated since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_taken_up_with_a_larger_timeout_is_leased_for_the_smaller_one() {
    let (short, long) = (Duration::from_secs(3), Duration::from_secs(20));
    let mut ensemble = servers(Duration::from_millis(500), short, long).await;
    let path = unique_path("larger");
    let referee = Referee::start();
    let doors = Doors::to(&ensemble).await;
    doors.open_only(0);
    let a = session(&doors.connect_string(), long).await;
    assert_eq!(a.timeout(), Some(short));

    // Another server takes it up, and A begins to lead.
    let leading = ensemble.leader().await;
    let other = if leading == 1 { 2 } else { 1 };
    doors.close();
    replaced(&a, short).await;
    doors.open_only(other);
    let connected = async || a.id().map(|_| ());
    eventually("A is connected again", PATIENCE, connected).await;
    referee.leads(election(&a, &path, "A")).await;

    let b = session(&ensemble.server(other).address(), long).await;
    let successor = referee.campaign(election(&b, &path, "B"));
    // A has proven its session once more when B is there.
    sleep(short / 2).await;
    doors.close();
    ensemble.server_mut(leading).kill();
    timeout(PATIENCE, successor).await.expect("B leads").unwrap();
    sleep(short / 2).await;
    referee.assert_clean();
}

/// What a session with leases for the larger timeout meets at a server that gives it the smaller one.
async fn taken_up_with_a_smaller_timeout(again: impl AsyncFnOnce(&Session, Duration)) {
    let (short, long) = (Duration::from_millis(500), Duration::from_secs(10));
    let ensemble = servers(Duration::from_millis(250), short, long).await;
    let path = unique_path("smaller");
    let referee = Referee::start();
    let doors = Doors::to(&ensemble).await;
    doors.open_only(1);
    let b = session(&ensemble.server(2).address(), long).await;
    let a = session(&doors.connect_string(), long).await;
    assert_eq!(a.timeout(), Some(long));
    // The longest lease that there is: that of a session that was just opened.
    let leadership: Arc<Leadership> = referee.leads(election(&a, &path, "A")).await;
    let successor = referee.campaign(election(&b, &path, "B"));
    doors.close();
    again(&a, long).await;
    doors.lead(&a, 0).await;
    doors.close();
    timeout(PATIENCE, successor).await.expect("B leads").unwrap();
    let over = async || (!leadership.is_valid()).then_some(());
    eventually("the lease of A is over", PATIENCE, over).await;
    referee.assert_clean();
}

/// Each connect sets the timeout of the session anew (`ZooKeeperServer.processConnectRequest`); what was granted for the
/// old one has to end earlier.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_taken_up_with_a_smaller_timeout_has_its_leases_shortened() {
    taken_up_with_a_smaller_timeout(replaced).await;
}

/// The same without the crate's doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs connections of our own: the client reconnects by itself and does not tell the new timeout"]
async fn a_client_that_reconnects_with_a_smaller_timeout_has_its_leases_shortened() {
    taken_up_with_a_smaller_timeout(async |session, _| {
        let suspended = async || session.id().is_none().then_some(());
        eventually("A hears nothing", PATIENCE, suspended).await;
    })
    .await;
}
