//! Reads that keep the servers from going quiet.

use std::time::Duration;

use testkit::Ensemble;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::clients::{plain, within};

/// How often each server is sent a read.
const TRICKLE: Duration = Duration::from_millis(2);

/// Sends each server a read every few milliseconds, until the returned tasks are dropped.
///
/// ZooKeeper 3.8.0 now and then leaves a committed write lying until the next request arrives (ZOOKEEPER-4537). On a
/// quiet server that would be the next heartbeat, seconds later; production servers are not quiet. The reads go on
/// throughout, and so delay bare clients and the library alike.
pub(crate) async fn start(ensemble: &Ensemble) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for server in ensemble.servers() {
        let client = plain(&server.address()).await;
        tasks.spawn(async move {
            let mut ticks = interval(TRICKLE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                within("the answer to a read", client.check_stat("/")).await.expect("a read");
            }
        });
    }
    tasks
}
