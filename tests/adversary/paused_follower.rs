//! A request in the socket of a paused follower, and a connect of the same session behind it.

use std::sync::Arc;
use std::time::Duration;

use testkit::{
    Direction, Ensemble, EnsembleBuilder, Fault, How, OpCode, PATIENCE, When, eventually, unique_path,
};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zookeeper_election::{Election, Error, Mode, Session};

use crate::doors::Doors;
use crate::referee::Referee;
use crate::{Operator, session};

const SESSION_TIMEOUT: Duration = Duration::from_secs(4);

/// Contenders that leave by way of the follower: the first of their requests may not be overtaken.
const LEAVERS: usize = 8;

/// Three servers, one of which is to be paused.
///
/// When it goes on, the late connect is passed on at once (`Learner.validateSession`) and makes the follower the owner of
/// the session. It overtakes requests that came before it and wait in `RequestThrottler` or `FollowerRequestProcessor`.
/// By default they wait for so short a time that it happens in one round of two; here they pass one at a time.
struct Scene {
    ensemble: Ensemble,
    operator: Operator,
    paused: usize,
    other: usize,
}

struct Leaver {
    mode: Mode,
    path: &'static str,
    doors: Doors,
    session: Session,
    election: Arc<Election>,
}

impl Scene {
    async fn set() -> Self {
        Self::set_with(|builder| builder).await
    }

    /// With more options of the servers.
    async fn set_with(more: impl FnOnce(EnsembleBuilder) -> EnsembleBuilder) -> Self {
        let builder = Ensemble::builder(3)
            .tick(Duration::from_millis(500))
            .config("syncLimit=60")
            .property("zookeeper.request_throttle_max_requests=1")
            .property("zookeeper.request_throttle_drop_stale=false");
        let ensemble = more(builder).start().await;
        let leading = ensemble.leader().await;
        let [paused, other] = [(leading + 1) % 3, (leading + 2) % 3];
        let operator = Operator::connect(&ensemble.server(other).address()).await;
        Self { ensemble, operator, paused, other }
    }

    /// A contender that reaches only the server that is to be paused.
    async fn leaver(&self, mode: Mode) -> Leaver {
        let path: &'static str = unique_path("paused-follower").leak();
        // No other create is to go before the contender's.
        self.operator.create(if mode == Mode::Master { "/test" } else { path }).await;
        let doors = Doors::to(&self.ensemble).await;
        doors.open_only(self.paused);
        let session = session(&doors.connect_string(), SESSION_TIMEOUT).await;
        let election = session.election(path).mode(mode).identity("A").build().unwrap();
        Leaver { mode, path, doors, session, election: Arc::new(election) }
    }

    /// Pauses the follower with the requests that are held back in its sockets. The contenders hear nothing, give up, try
    /// the same server again, get no answer, and attach to another, where they leave.
    async fn pause_until_all_have_left(
        &mut self,
        leavers: &[Leaver],
        withdraw: Vec<JoinHandle<Result<(), Error>>>,
    ) {
        self.ensemble.server_mut(self.paused).stop();
        for leaver in leavers {
            leaver.doors.door(self.paused).hold(Direction::ToServer, false);
        }
        for leaver in leavers {
            let suspended = async || leaver.session.id().is_none().then_some(());
            eventually("A gives up", PATIENCE, suspended).await;
        }
        sleep(SESSION_TIMEOUT / 8).await;
        for leaver in leavers {
            leaver.doors.open_only(self.other);
        }
        for withdrawal in withdraw {
            let left = timeout(PATIENCE, withdrawal).await.expect("A leaves").unwrap();
            left.expect("the withdrawal is confirmed");
        }
    }

    /// The follower goes on, and does what is in its sockets.
    async fn go_on(&mut self) {
        self.ensemble.server_mut(self.paused).cont();
        sleep(SESSION_TIMEOUT / 4).await;
    }
}

impl Leaver {
    fn withdraws(&self) -> JoinHandle<Result<(), Error>> {
        let election = self.election.clone();
        tokio::spawn(async move { election.withdraw().await })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_stuck_at_a_paused_follower_leaves_the_next_master_alone() {
    let mut scene = Scene::set().await;
    let referee = Referee::start();
    let mut leavers = Vec::new();
    for _ in 0..LEAVERS {
        let leaver = scene.leaver(Mode::Master).await;
        referee.leads(leaver.election.clone()).await;
        leavers.push(leaver);
    }
    let b = session(&scene.ensemble.server(scene.other).address(), SESSION_TIMEOUT).await;
    let mut successors = Vec::new();
    for leaver in &leavers {
        let election = b.election(leaver.path).mode(Mode::Master).identity("B").build().unwrap();
        successors.push(referee.campaign(Arc::new(election)));
    }

    let mut withdrawals = Vec::new();
    for leaver in &leavers {
        let door = leaver.doors.door(scene.paused);
        door.arm(Fault::at(leaver.path, &[OpCode::DELETE], When::Before, How::Hold));
        withdrawals.push(leaver.withdraws());
        door.fired().await;
    }
    scene.pause_until_all_have_left(&leavers, withdrawals).await;
    let mut leaderships = Vec::new();
    for successor in successors {
        leaderships.push(timeout(PATIENCE, successor).await.expect("B leads").unwrap());
    }
    scene.go_on().await;
    referee.assert_clean();
    let robbed = leaderships.iter().filter(|it| !it.is_valid()).count();
    assert_eq!(robbed, 0, "of {LEAVERS} masters so many have lost their znodes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_stuck_at_a_paused_follower_leaves_no_znode_of_a_contender_that_has_left() {
    let mut scene = Scene::set().await;
    let (mut leavers, mut withdrawals) = (Vec::new(), Vec::new());
    for i in 0..LEAVERS {
        let leaver = scene.leaver(if i % 2 == 0 { Mode::Master } else { Mode::Sequential }).await;
        let door = leaver.doors.door(scene.paused);
        door.arm(Fault::at(leaver.path, &[OpCode::CREATE, OpCode::CREATE2], When::Before, How::Hold));
        let election = leaver.election.clone();
        tokio::spawn(async move { election.campaign().await });
        door.fired().await;
        withdrawals.push(leaver.withdraws());
        leavers.push(leaver);
    }
    scene.pause_until_all_have_left(&leavers, withdrawals).await;
    scene.go_on().await;
    let mut ghosts = Vec::new();
    for leaver in &leavers {
        ghosts.extend(scene.operator.left(leaver.mode, leaver.path).await);
    }
    assert!(ghosts.is_empty(), "all have left, and there stand {ghosts:?}");
}

/// The directory is a container, which the ensemble deletes when it is empty: then its numbers begin anew, and a removal
/// that is stuck removes the znode of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "an assumption: a directory is not deleted and created again while requests to it are stuck"]
async fn a_removal_stuck_at_a_paused_follower_leaves_the_next_leader_in_a_new_container_alone() {
    let often = |builder: EnsembleBuilder| builder.property("znode.container.checkIntervalMs=500");
    let mut scene = Scene::set_with(often).await;
    scene.operator.create("/test").await;
    let referee = Referee::start();
    let mut leavers = Vec::new();
    for _ in 0..LEAVERS {
        let path: &'static str = unique_path("paused-container").leak();
        let doors = Doors::to(&scene.ensemble).await;
        doors.open_only(scene.paused);
        let session = session(&doors.connect_string(), SESSION_TIMEOUT).await;
        let parents = zookeeper_election::Parents::Container;
        let election = Arc::new(session.election(path).parents(parents).identity("A").build().unwrap());
        referee.leads(election.clone()).await;
        leavers.push(Leaver { mode: Mode::Sequential, path, doors, session, election });
    }
    let b = session(&scene.ensemble.server(scene.other).address(), SESSION_TIMEOUT).await;
    let mut withdrawals = Vec::new();
    for leaver in &leavers {
        let door = leaver.doors.door(scene.paused);
        door.arm(Fault::at(leaver.path, &[OpCode::DELETE], When::Before, How::Hold));
        withdrawals.push(leaver.withdraws());
        door.fired().await;
    }
    scene.pause_until_all_have_left(&leavers, withdrawals).await;
    for leaver in &leavers {
        let gone = async || scene.operator.czxid(leaver.path).await.is_none().then_some(());
        eventually("the container is deleted", PATIENCE, gone).await;
    }
    let mut leaderships = Vec::new();
    for leaver in &leavers {
        let election = b.election(leaver.path).parents(zookeeper_election::Parents::Container).identity("B");
        leaderships.push(referee.leads(Arc::new(election.build().unwrap())).await);
    }
    scene.go_on().await;
    referee.assert_clean();
    let robbed = leaderships.iter().filter(|it| !it.is_valid()).count();
    assert_eq!(robbed, 0, "of {LEAVERS} leaders so many have lost their znodes");
}
