//! Proofs whose connection breaks behind their answer.

use std::sync::Arc;
use std::time::Duration;

use testkit::{Direction, Ensemble, Fault, How, OpCode, PATIENCE, When, eventually, unique_path};
use tokio::time::{sleep, timeout};
use zookeeper_election::{Election, Session, Standing};

use crate::apart::Apart;
use crate::doors::Doors;
use crate::referee::Referee;
use crate::{Operator, builder, session};

const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

fn election(session: &Session, path: &str, name: &str) -> Arc<Election> {
    Arc::new(session.election(path).identity(name).build().unwrap())
}

/// A follower answers two requests after a silence, and is killed before it tells the leader server of them. The client
/// sees the second answer and the end of the connection at once. If that was taken for a reconnection behind the first
/// answer, the second, a proof, would grant a lease from there on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_is_worth_nothing_more_when_its_connection_breaks_behind_its_answer() {
    let mut ensemble = Ensemble::builder(3).tick(Duration::from_secs(1)).start().await;
    let leading = ensemble.leader().await;
    let follower = (leading + 1) % 3;
    let others = ensemble.server(leading).address();
    let (path, other_path) = (unique_path("answer-and-end"), unique_path("answer-and-end"));
    let referee = Referee::start();
    let operator = Operator::connect(&others).await;
    let doors = Doors::to(&ensemble).await;
    doors.open_only(follower);

    let apart = Apart::start();
    let a = apart.open(builder(SESSION_TIMEOUT).lease_margin(0.05), doors.connect_string()).await;
    let leadership = referee.leads(election(&a, &path, "A")).await;
    let b = session(&others, SESSION_TIMEOUT).await;
    let successor = referee.campaign(election(&b, &path, "B"));
    // In another election A's session is the third, and asks for a proof at once when the second leaves.
    let _first = referee.leads(election(&b, &other_path, "first")).await;
    let mut waiting = Vec::new();
    for (session, name) in [(&b, "second"), (&a, "third")] {
        let election = election(session, &other_path, name);
        waiting.push(referee.campaign(election.clone()));
        let waits = async || matches!(election.standing(), Standing::Waiting { .. }).then_some(());
        eventually("a place in the queue", PATIENCE, waits).await;
    }
    let second = format!("{other_path}/guid_0000000001");
    // The create of the third grants nothing any more.
    sleep(SESSION_TIMEOUT).await;

    // Two beats are held back.
    let door = doors.door(follower);
    door.clear_requests();
    let beat = async || (!door.requests().is_empty()).then_some(());
    eventually("a beat", PATIENCE, beat).await;
    sleep(Duration::from_millis(50)).await;
    door.hold(Direction::ToServer, true);
    sleep(SESSION_TIMEOUT.mul_f64(2.0 / 7.0 + 0.01)).await;
    door.hold(Direction::ToServer, false);
    // They are answered, and a proof is asked for.
    sleep(Duration::from_millis(20)).await;
    door.arm(Fault::new(&[OpCode::MULTI], When::After, How::Hold));
    operator.delete(&second).await;
    door.fired().await;
    let still = apart.stand_still().await;
    sleep(Duration::from_millis(20)).await;
    ensemble.server_mut(follower).kill();
    doors.door(follower).refuse(true);
    door.hold(Direction::ToClient, false);
    sleep(Duration::from_millis(100)).await;
    drop(still);

    sleep(Duration::from_millis(100)).await;
    assert!(leadership.is_valid(), "the lease that A had goes on");
    timeout(PATIENCE, successor).await.expect("B leads").unwrap();
    sleep(SESSION_TIMEOUT / 4).await;
    referee.assert_clean();
}
