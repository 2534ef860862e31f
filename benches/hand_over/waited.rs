//! How long a hand-over takes to a contender that has waited for longer than any lease lasts, so that its session has
//! to be proven anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use zookeeper_election::{Election, Leadership, Mode};

use crate::clients::{
    SESSION_TIMEOUT, SETTLE, Successor, close, elections, lead, make_directory, plain, resign, session,
};
use crate::floor::Floor;

/// Each is the only hand-over of an election of its own: they all wait at the same time.
pub(crate) const ROUNDS: usize = 200;

const FLOOR: &str = "/bench/waited-floor-s";

/// The times, in ms, of the floor and of the library in sequential mode, taken in turns.
pub(crate) async fn measure(followers: [&str; 2]) -> [Vec<f64>; 2] {
    let clients = [plain(followers[0]).await, plain(followers[1]).await];
    let sessions = [session(followers[0]).await, session(followers[1]).await];
    make_directory(&clients[0], FLOOR).await;
    let mut waiting: Vec<(Leadership, Successor, [Arc<Election>; 2])> = Vec::new();
    for round in 0..ROUNDS {
        let [first, second] = elections(&sessions, Mode::Sequential, &format!("/bench/waited-{round:07}"));
        // Half of them in each direction, as the floor changes direction with every sample.
        let (leader, next) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        let leadership = lead(leader).await;
        waiting.push((leadership, Successor::waits(next).await, [first, second]));
    }
    sleep(SESSION_TIMEOUT).await;

    let mut floor = Floor::start(Mode::Sequential, FLOOR, &clients).await;
    let mut samples: [Vec<f64>; 2] = Default::default();
    // Leaderships that were won stay, as they would in a process that leads several elections.
    let mut won = Vec::new();
    for (leadership, successor, elections) in waiting {
        samples[0].push(milliseconds(floor.sample().await));
        sleep(SETTLE).await;
        let started = Instant::now();
        resign(leadership).await;
        let (ended, leadership) = successor.leads().await;
        samples[1].push(milliseconds(ended - started));
        won.push((leadership, elections));
    }
    drop(won);
    for session in &sessions {
        close(session).await;
    }
    samples
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
