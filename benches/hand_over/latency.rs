//! How long a hand-over takes, from the call of `resign()` until `campaign()` has returned on the other side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use zookeeper_election::{Election, Leadership, Mode, Session};

use crate::clients::{SETTLE, Successor, close, elections, lead, make_directory, plain, resign, session};
use crate::floor::Floor;

const WARM_UP: usize = 20;
pub(crate) const ROUNDS: usize = 400;

// Paths of equal length, so that the bare clients and the library send requests of equal size.
const FLOOR_SEQUENTIAL: &str = "/bench/floor-s";
const FLOOR_MASTER: &str = "/bench/floor-m";
const ELECT_SEQUENTIAL: &str = "/bench/elect-s";
const ELECT_MASTER: &str = "/bench/elect-m";

/// The times, in ms and in the order of the rounds, of four cases: the floor and the library in sequential mode, the
/// floor and the library in master mode.
///
/// What makes the comparison fair:
///
/// - All four are sampled in every round, in an order that is reversed every two rounds: whatever else the
///   machine does, it does to all.
/// - Side 0 is on one follower and side 1 on the other, for bare clients and for the library. The sides swap
///   after every sample.
/// - The same number of znodes, names and data of the same length, the same session timeout.
/// - The successor waits in a task of its own in all cases, as in an application, and takes the time itself; nobody's
///   clock runs while the next sample is prepared.
/// - The floor does what it must and no more: it has no watch on its own znode, and does not look at the list.
pub(crate) async fn measure(followers: [&str; 2]) -> [Vec<f64>; 4] {
    let clients = [plain(followers[0]).await, plain(followers[1]).await];
    let sessions = [session(followers[0]).await, session(followers[1]).await];
    for directory in [FLOOR_SEQUENTIAL, ELECT_SEQUENTIAL] {
        make_directory(&clients[0], directory).await;
    }
    let mut floor_sequential = Floor::start(Mode::Sequential, FLOOR_SEQUENTIAL, &clients).await;
    let mut floor_master = Floor::start(Mode::Master, FLOOR_MASTER, &clients).await;
    let mut ours_sequential = Ours::start(Mode::Sequential, ELECT_SEQUENTIAL, &sessions).await;
    let mut ours_master = Ours::start(Mode::Master, ELECT_MASTER, &sessions).await;

    let mut samples: [Vec<f64>; 4] = Default::default();
    for round in 0..WARM_UP + ROUNDS {
        let order = if round / 2 % 2 == 0 { [0, 1, 2, 3] } else { [3, 2, 1, 0] };
        for case in order {
            let time = match case {
                0 => floor_sequential.sample().await,
                1 => ours_sequential.sample().await,
                2 => floor_master.sample().await,
                _ => ours_master.sample().await,
            };
            if round >= WARM_UP {
                samples[case].push(time.as_secs_f64() * 1e3);
            }
        }
    }
    for session in &sessions {
        close(session).await;
    }
    samples
}

/// A hand-over between two of our sessions.
struct Ours {
    elections: [Arc<Election>; 2],
    leader: usize,
    /// Always there between samples.
    leadership: Option<Leadership>,
}

impl Ours {
    async fn start(mode: Mode, path: &str, sessions: &[Session; 2]) -> Self {
        let elections = elections(sessions, mode, path);
        let leadership = lead(&elections[0]).await;
        Self { elections, leader: 0, leadership: Some(leadership) }
    }

    /// From just before `resign()` is called on one side until `campaign()` has returned on the other.
    async fn sample(&mut self) -> Duration {
        let to = 1 - self.leader;
        let successor = Successor::waits(&self.elections[to]).await;
        let leadership = self.leadership.take().expect("a leadership");
        sleep(SETTLE).await;

        let started = Instant::now();
        resign(leadership).await;
        let (ended, leadership) = successor.leads().await;

        (self.leader, self.leadership) = (to, Some(leadership));
        ended - started
    }
}
