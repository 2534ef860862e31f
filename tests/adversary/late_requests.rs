//! Requests of a master whose znode an operator has deleted. They are on their way while the next master begins.

use std::sync::Arc;
use std::time::Duration;

use testkit::{Direction, Ensemble, Fault, How, OpCode, PATIENCE, When, unique_path};
use tokio::time::{sleep, timeout};
use zookeeper_election::{Leadership, Mode, Session};

use crate::doors::Doors;
use crate::referee::Referee;
use crate::{Operator, session};

const SESSION_TIMEOUT: Duration = Duration::from_secs(8);

/// One server, and A, who is master and has a door of its own.
struct Scene {
    path: &'static str,
    ensemble: Ensemble,
    operator: Operator,
    referee: Referee,
    door_of_a: Doors,
    _session: Session,
    election: Arc<zookeeper_election::Election>,
    leadership: Arc<Leadership>,
}

/// The next master, behind another door.
struct Next {
    door: Doors,
    _session: Session,
    leadership: Arc<Leadership>,
}

impl Scene {
    async fn set() -> Self {
        let path: &'static str = unique_path("late-request").leak();
        let ensemble = Ensemble::start(1).await;
        let operator = Operator::connect(&ensemble.connect_string()).await;
        let referee = Referee::start();
        let door_of_a = Doors::to(&ensemble).await;
        let session = session(&door_of_a.connect_string(), SESSION_TIMEOUT).await;
        let election = Arc::new(session.election(path).mode(Mode::Master).identity("A").build().unwrap());
        let leadership = referee.leads(election.clone()).await;
        Self { path, ensemble, operator, referee, door_of_a, _session: session, election, leadership }
    }

    /// The operator deletes the master's znode, and B is master.
    async fn operator_deletes(&self) -> Next {
        self.operator.delete(self.path).await;
        let door = Doors::to(&self.ensemble).await;
        let session = session(&door.connect_string(), SESSION_TIMEOUT).await;
        let election = session.election(self.path).mode(Mode::Master).identity("B").build().unwrap();
        let leadership = self.referee.leads(Arc::new(election)).await;
        Next { door, _session: session, leadership }
    }
}

/// A server deletes whatever stands at the path (`PrepRequestProcessor` looks at the version alone, and that of a znode
/// nobody has written to is 0).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_is_late_does_not_remove_the_next_master() {
    let scene = Scene::set().await;
    let a = scene.door_of_a.door(0);
    a.arm(Fault::at(scene.path, &[OpCode::DELETE], When::Before, How::Hold));
    let election = scene.election.clone();
    let withdrawal = tokio::spawn(async move { election.withdraw().await });
    a.fired().await;
    let b = scene.operator_deletes().await;
    let c = session(&scene.ensemble.connect_string(), SESSION_TIMEOUT).await;
    let election = c.election(scene.path).mode(Mode::Master).identity("C").build().unwrap();
    let _c = scene.referee.campaign(Arc::new(election));

    b.door.door(0).hold(Direction::ToClient, true);
    a.hold(Direction::ToServer, false);
    timeout(PATIENCE, withdrawal).await.expect("A leaves").unwrap().expect("A's znode is gone");
    let standing = scene.operator.czxid(scene.path).await;
    sleep(SESSION_TIMEOUT / 8).await;
    scene.referee.assert_clean();
    let token = b.leadership.token().zxid();
    // Whether B's lease lasts or not: its session does.
    assert_eq!(standing, Some(token), "the znode of B is {token:#x}, and there is {standing:x?}");
}

/// A check of the path passes as long as somebody is master.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guarded_write_that_is_late_is_refused() {
    let scene = Scene::set().await;
    let state: &'static str = unique_path("late-request-state").leak();
    scene.operator.create(state).await;
    scene.door_of_a.door(0).arm(Fault::at(state, &[OpCode::SET_DATA], When::Before, How::Hold));
    let (leadership, written) = (scene.leadership.clone(), state.to_owned());
    let late = tokio::spawn(async move { leadership.guarded().set_data(written, "A", None).commit().await });
    scene.door_of_a.door(0).fired().await;
    let b = scene.operator_deletes().await;
    b.leadership.guarded().set_data(state, "B", None).commit().await.expect("B is master");

    scene.door_of_a.door(0).hold(Direction::ToServer, false);
    let outcome = timeout(PATIENCE, late).await.expect("an answer").unwrap();
    let data = scene.operator.0.get_data(state).await.expect("the state").0;
    assert_eq!(String::from_utf8_lossy(&data), "B", "what A wrote while B was master was {outcome:?}");
    assert!(outcome.is_err(), "{outcome:?}");
    assert!(b.leadership.is_valid());
}
