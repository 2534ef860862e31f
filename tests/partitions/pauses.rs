//! A leader's process that is paused and goes on when somebody else leads.

use testkit::SESSION_TIMEOUT;
use tokio::time::sleep;

use crate::stage::Stage;
use crate::{on_a_network, rounds, session_timeout};

#[test]
fn a_leader_that_was_paused_does_not_act_when_it_goes_on() {
    on_a_network(|network| async {
        let mut stage = Stage::set(network, session_timeout(SESSION_TIMEOUT)).await;
        for _ in 0..3 {
            stage.add(&[0, 1, 2]).await;
        }
        for round in 0..rounds() {
            let (leader, token) = stage.recovered().await;
            stage.runners[leader].pause();
            sleep(2 * stage.session_timeout).await;
            let (successor, _) = stage.successor_of(token).await;
            assert_ne!(successor, leader);
            stage.runners[leader].resume();
            stage.recovered().await;
            let verdict = stage.assert_clean("the leader was paused");
            println!("after pause {round}: {verdict}");
        }
    });
}
