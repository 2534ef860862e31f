//! The parameters of a run, drawn from its seed.

use std::time::Duration;

use crate::types::Mode;
use zookeeper_embedded::SessionId;

/// The number of servers in the ensemble.
pub(super) const SERVERS: usize = 3;

/// The number of servers in a majority.
pub(super) const MAJORITY: usize = SERVERS / 2 + 1;

/// The session of operators, who change the tree from outside. It never expires.
pub(super) const OPERATOR: SessionId = SessionId::from_raw(-1);

/// The longest delay of the leader server's ping, as a part of its interval.
pub(super) const LATEST_PING: f64 = 0.02;

/// The parameters of one run.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The session timeout that every client asks for.
    pub(super) timeout: Duration,
    /// The session timeouts that each server grants.
    pub(super) bounds: [Bounds; SERVERS],
    /// The servers' tick: at most half of each session timeout.
    pub(super) tick: Duration,
    /// The number of ticks of silence after which servers drop each other.
    pub(super) sync_limit: u32,
    /// Whether sessions expire at the earliest legal instant. In ZooKeeper, they last until the end of a tick.
    pub(super) expires_exactly: bool,
    /// The longest time to close all sessions that expire at one instant.
    pub(super) longest_closing: Duration,
    /// The longest time that a message takes without faults.
    pub(super) latency: Duration,
    /// The longest stall of a link between two servers that loses no message. The lease assumes this limit: see
    /// [`faults`](super::faults).
    pub(super) longest_stall: Duration,
    pub(super) processes: usize,
    pub(super) elections: Vec<Mode>,
    /// Whether a process has two contenders in the first election.
    pub(super) twins: bool,
    /// Whether leaders leave a breadcrumb.
    pub(super) breadcrumbs: bool,
    /// Whether all contenders have the same identity.
    pub(super) same_identity: bool,
    /// Whether operators delete directories. If so, no request is held at a server, as is assumed.
    pub(super) drops_directories: bool,
    /// How many of the faults are scenarios.
    pub(super) scenarios: Scenarios,
    /// The mean interval between faults.
    pub(super) fault_interval: Duration,
    /// When faults end.
    pub(super) faults_until: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Scenarios {
    Few,
    /// Most faults are scenarios, of all kinds, and overlap.
    Many,
    /// Most faults are this scenario, and the other settings make it likely to succeed.
    Only(Scenario),
}

/// The state that the faults of a scenario are to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    /// The ensemble has not heard of a session for long, although its process has had replies.
    StaleEvidence,
    /// A process believes a leader server that the others have left.
    OldLeader,
    /// A request is executed after its client has moved to another server and back.
    LateRequest,
    /// A session is resumed while it is being closed.
    ClosingSession,
    /// The same, after replies of a server that is isolated from the leader server.
    IsolatedServer,
    /// A session expires earlier than its client assumes.
    ShorterTimeout,
}

impl Scenario {
    pub(super) const ALL: [Self; 6] = [
        Self::StaleEvidence,
        Self::OldLeader,
        Self::LateRequest,
        Self::ClosingSession,
        Self::IsolatedServer,
        Self::ShorterTimeout,
    ];

    /// Whether it holds requests at servers.
    pub(super) fn delays_requests(self) -> bool {
        matches!(self, Self::OldLeader | Self::LateRequest)
    }
}

/// The session timeouts that a server grants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    least: Duration,
    most: Duration,
}

impl Bounds {
    /// The session timeout that is negotiated with a client that asks for `wish`.
    pub(super) fn negotiate(&self, wish: Duration) -> Duration {
        wish.clamp(self.least, self.most)
    }
}

impl Settings {
    pub(super) fn draw(rng: &mut fastrand::Rng) -> Self {
        let timeout = Duration::from_secs(4);
        let scenarios = match rng.u8(..6) {
            0..3 => Scenarios::Few,
            3..4 => Scenarios::Many,
            _ => Scenarios::Only(Scenario::ALL[rng.usize(..Scenario::ALL.len())]),
        };
        let aims = |scenario| matches!(scenarios, Scenarios::Only(it) if it == scenario);
        let uneven = rng.u8(..6) == 0 || aims(Scenario::ShorterTimeout);
        let bounds = bounds(rng, timeout, uneven);
        let least = least_timeout(&bounds, timeout);
        let tick = least / [2, 2, 3, 5, 10][rng.usize(..5)];
        let latency = Duration::from_micros([300, 3_000, 20_000, 80_000][rng.usize(..4)]).min(least / 50);
        let modes = [Mode::Sequential, Mode::Master];
        let (closes, delays, intervals) = match scenarios {
            Scenarios::Only(scenario) => (true, scenario.delays_requests(), [0.5, 1.0, 1.5, 2.0]),
            Scenarios::Many => (false, true, [0.2, 0.5, 1.0, 2.0]),
            Scenarios::Few => (false, false, [0.2, 0.5, 1.0, 2.0]),
        };
        let interval = intervals[rng.usize(..4)];
        let elections = (0..rng.usize(1..=3)).map(|_| modes[rng.usize(..2)]).collect();
        Self {
            timeout,
            bounds,
            tick,
            sync_limit: sync_limit(
                rng,
                timeout,
                tick,
                aims(Scenario::OldLeader) || aims(Scenario::IsolatedServer),
            ),
            expires_exactly: rng.u8(..3) > 0,
            longest_closing: if rng.bool() || closes { least / 8 } else { Duration::ZERO },
            latency,
            longest_stall: longest_stall(least, tick, latency),
            processes: rng.usize(2..=4),
            elections,
            twins: rng.u8(..4) == 0,
            breadcrumbs: rng.u8(..4) == 0,
            same_identity: rng.u8(..3) == 0,
            drops_directories: rng.u8(..3) == 0 && !delays,
            scenarios,
            fault_interval: timeout.mul_f64(interval),
            faults_until: timeout * rng.u32(10..=20),
        }
    }

    /// The session timeout that each server grants.
    pub(super) fn timeouts(&self) -> [Duration; SERVERS] {
        self.bounds.map(|it| it.negotiate(self.timeout))
    }

    /// Whether servers grant different session timeouts.
    pub(super) fn is_uneven(&self) -> bool {
        let timeouts = self.timeouts();
        timeouts.iter().any(|it| *it != timeouts[0])
    }

    /// The least session timeout that a session may have.
    pub(super) fn least_timeout(&self) -> Duration {
        least_timeout(&self.bounds, self.timeout)
    }
}

fn least_timeout(bounds: &[Bounds], wish: Duration) -> Duration {
    bounds.iter().map(|it| it.negotiate(wish)).min().unwrap_or(wish)
}

/// Mostly the same for all servers. Otherwise one or two servers have a maximum below, or a minimum above, the session
/// timeout that clients ask for.
fn bounds(rng: &mut fastrand::Rng, timeout: Duration, uneven: bool) -> [Bounds; SERVERS] {
    let usual = Bounds { least: timeout / 2, most: timeout * 2 };
    let mut bounds = [usual; SERVERS];
    if uneven {
        let other = match rng.bool() {
            true => Bounds { least: timeout / 8, most: timeout / 4 },
            false => Bounds { least: timeout * 3 / 2, ..usual },
        };
        let first = rng.usize(..SERVERS);
        (0..rng.usize(1..SERVERS)).for_each(|it| bounds[(first + it) % SERVERS] = other);
    }
    bounds
}

/// A server with a large limit may consider itself the leader long after it was deposed.
fn sync_limit(rng: &mut fastrand::Rng, timeout: Duration, tick: Duration, patient: bool) -> u32 {
    let most = (timeout * 5 / 2).as_nanos() / tick.as_nanos();
    let most = most.try_into().unwrap_or(u32::MAX);
    if patient { most } else { [2, 3, 4, 5, 10, 20][rng.usize(..6)].min(most) }
}

/// The lease assumes that each server that the leader server counts as a follower receives a ping every quarter of the
/// session timeout. The leader server pings every half tick, a little late. A stall may take the rest.
fn longest_stall(least: Duration, tick: Duration, latency: Duration) -> Duration {
    (least / 4).saturating_sub((tick / 2).mul_f64(1.0 + LATEST_PING) + latency)
}

pub(super) fn path_of(election: usize, mode: Mode) -> String {
    match mode {
        Mode::Sequential => format!("/app/election{election}"),
        Mode::Master => format!("/app/master{election}"),
    }
}

/// The znode that the leaders of an election change by guarded writes.
pub(super) fn guarded_path(election: usize) -> String {
    format!("/guarded{election}")
}
