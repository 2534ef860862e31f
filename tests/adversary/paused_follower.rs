//! A request in the socket of a paused follower, and a connect of the same session behind it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use zookeeper_election::{Election, Mode, Session};

use crate::doors::Doors;
use crate::referee::Referee;
use crate::session;
use crate::support::{Direction, Ensemble, Fault, How, OpCode, PATIENCE, When, eventually, unique_path};

/// Whoever resigns by way of the follower; many, as one request in two is overtaken.
const LEAVERS: usize = 8;

const SESSION_TIMEOUT: Duration = Duration::from_secs(4);

struct Leaver {
    path: &'static str,
    doors: Doors,
    session: Session,
    election: Arc<Election>,
}

impl Leaver {
    async fn new(ensemble: &Ensemble, at: usize) -> Self {
        let path: &'static str = unique_path("paused-follower").leak();
        let doors = Doors::to(ensemble).await;
        doors.open_only(at);
        let session = session(&doors.connect_string(), SESSION_TIMEOUT).await;
        let election = session.election(path).mode(Mode::Master).identity("A").build().unwrap();
        Self { path, doors, session, election: Arc::new(election) }
    }
}

/// A's delete goes into the socket of a paused follower. A gives up, tries it again, gets no answer, attaches elsewhere,
/// and leaves by way of another server; B leads. When the follower goes on, it takes the late connect for one to pass on
/// at once (`Learner.validateSession` overtakes the requests that wait in `RequestThrottler` and
/// `FollowerRequestProcessor`), which makes it the owner of the session, and so the old delete passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_stuck_at_a_paused_follower_leaves_the_next_master_alone() {
    let builder = Ensemble::builder(3).tick(Duration::from_millis(500)).config("syncLimit=60");
    let mut ensemble = builder.start().await;
    let leading = ensemble.leader().await;
    let [paused, other] = [(leading + 1) % 3, (leading + 2) % 3];
    let referee = Referee::start();
    let mut leavers = Vec::new();
    for _ in 0..LEAVERS {
        let leaver = Leaver::new(&ensemble, paused).await;
        referee.leads(leaver.election.clone()).await;
        leavers.push(leaver);
    }
    let b = session(&ensemble.server(other).address(), SESSION_TIMEOUT).await;
    let mut successors = Vec::new();
    for leaver in &leavers {
        let election = b.election(leaver.path).mode(Mode::Master).identity("B").build().unwrap();
        successors.push(referee.campaign(Arc::new(election)));
    }

    let mut withdrawals = Vec::new();
    for leaver in &leavers {
        let door = leaver.doors.door(paused);
        door.arm(Fault::at(leaver.path, &[OpCode::DELETE], When::Before, How::Hold));
        let election = leaver.election.clone();
        withdrawals.push(tokio::spawn(async move { election.withdraw().await }));
        door.fired().await;
    }
    ensemble.server_mut(paused).stop();
    for leaver in &leavers {
        leaver.doors.door(paused).hold(Direction::ToServer, false);
    }
    // A hears nothing, gives up, and tries the same server again.
    for leaver in &leavers {
        let suspended = async || leaver.session.id().is_none().then_some(());
        eventually("A gives up", PATIENCE, suspended).await;
    }
    sleep(SESSION_TIMEOUT / 8).await;
    for leaver in &leavers {
        leaver.doors.door(other).refuse(false);
    }
    for withdrawal in withdrawals {
        timeout(PATIENCE, withdrawal).await.expect("A leaves").unwrap().expect("A's znode is gone");
    }
    let mut leaderships = Vec::new();
    for successor in successors {
        leaderships.push(timeout(PATIENCE, successor).await.expect("B leads").unwrap());
    }
    ensemble.server_mut(paused).cont();
    sleep(SESSION_TIMEOUT / 4).await;
    referee.assert_clean();
    let robbed = leaderships.iter().filter(|it| !it.is_valid()).count();
    assert_eq!(robbed, 0, "of {LEAVERS} masters so many have lost their znodes");
}
