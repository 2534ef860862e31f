//! Servers that are killed: one, each in turn, the leading one, all of them.

use std::time::Duration;

use testkit::SESSION_TIMEOUT;
use testkit::network::Network;
use tokio::time::sleep;

use crate::stage::{SERVERS, Stage};
use crate::{on_a_network, rounds, session_timeout};

/// Long enough for the ensemble to elect a leading server, and for clients to find it, before a lease is over.
const ENDURING: Duration = Duration::from_secs(6);

/// Three contenders that know all servers.
async fn three(network: Network, session_timeout: Duration) -> Stage {
    let mut stage = Stage::set(network, session_timeout).await;
    for _ in 0..3 {
        stage.add(&[0, 1, 2]).await;
    }
    stage
}

#[test]
fn a_leadership_outlives_each_server_and_a_rolling_restart() {
    on_a_network(|network| async {
        let mut stage = three(network, ENDURING).await;
        let first = stage.recovered().await;
        // A round takes long: as many as half of the others'.
        for round in 0..rounds().div_ceil(2) {
            for server in 0..SERVERS {
                stage.ensemble.server_mut(server).kill();
                stage.ensemble.wait_until_serving().await;
                stage
                    .still_leads_for_good(first, &format!("round {round}: server {server} was killed"))
                    .await;
                stage.ensemble.server_mut(server).start();
                stage.ensemble.wait_until_serving().await;
            }
            for server in 0..SERVERS {
                stage.ensemble.server_mut(server).restart().await;
                stage.ensemble.wait_until_serving().await;
                stage
                    .still_leads_for_good(first, &format!("round {round}: server {server} was restarted"))
                    .await;
            }
        }
        let verdict = stage.assert_clean("servers were killed and restarted");
        assert_eq!(verdict.leaderships, 1, "{verdict}");
        println!("{verdict}");
    });
}

/// Kills the leading server this often, and counts how often the leadership outlived it.
async fn kill_leading_servers(stage: &mut Stage, times: usize) -> usize {
    let mut survived = 0;
    for time in 1..=times {
        let (_, token) = stage.recovered().await;
        let leading = stage.ensemble.leader().await;
        stage.ensemble.server_mut(leading).kill();
        stage.ensemble.wait_until_serving().await;
        // By then whatever was proven before is over.
        sleep(stage.session_timeout).await;
        stage.ensemble.server_mut(leading).start();
        stage.ensemble.wait_until_serving().await;
        survived += usize::from(stage.recovered().await.1 == token);
        let verdict = stage.assert_clean("a leading server was killed");
        println!("{survived} of {time}: {verdict}");
    }
    survived
}

#[test]
fn a_leadership_outlives_ten_leading_servers() {
    on_a_network(|network| async {
        let mut stage = three(network, ENDURING).await;
        assert_eq!(kill_leading_servers(&mut stage, 10).await, 10);
    });
}

#[test]
#[ignore = "a measurement: SESSION_TIMEOUT_MS (2000), TIMES (10)"]
fn how_many_leading_servers_a_leadership_outlives() {
    on_a_network(|network| async {
        let session_timeout = session_timeout(SESSION_TIMEOUT);
        let times = crate::setting("TIMES").unwrap_or(10);
        let mut stage = three(network, session_timeout).await;
        let survived = kill_leading_servers(&mut stage, times).await;
        println!(
            "session timeout {session_timeout:?}: leaderships outlived {survived} of {times} leading servers"
        );
    });
}

#[test]
fn after_an_outage_of_all_servers_one_leads() {
    on_a_network(|network| async {
        let mut stage = three(network, session_timeout(SESSION_TIMEOUT)).await;
        for round in 0..2 * rounds() {
            let (leader, _) = stage.recovered().await;
            (0..SERVERS).for_each(|i| stage.ensemble.server_mut(i).kill());
            // A znode of a session that nobody holds any longer stands among the others when the servers are
            // back: in front of them, and then behind the one of a leader that goes on.
            let dead = (leader + round % 2) % stage.runners.len();
            stage.runners[dead].kill();
            sleep(2 * stage.session_timeout).await;
            stage.runners[dead].restart();
            (0..SERVERS).for_each(|i| stage.ensemble.server_mut(i).start());
            stage.ensemble.wait_until_serving().await;
            stage.recovered().await;
            let verdict = stage.assert_clean("all servers were down");
            println!("after outage {round}: {verdict}");
        }
    });
}
