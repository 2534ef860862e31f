//! The faults of the soak: what can go wrong, to whom, and for how long.

use std::net::Ipv4Addr;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use crate::stage::{SERVERS, Stage};

/// A kind of fault.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    /// A server and the other servers do not hear of each other.
    CutOffServer,
    /// The other servers do not hear of a server, but it hears of them.
    MuteServer,
    /// A contender and the servers do not hear of each other.
    CutOffContender,
    /// The servers do not hear of a contender.
    MuteContender,
    /// A contender does not hear of the servers.
    DeafContender,
    /// SIGSTOP to a contender.
    PauseContender,
    /// SIGKILL to a contender.
    KillContender,
    /// SIGSTOP to a server.
    PauseServer,
    /// SIGKILL to a server.
    KillServer,
    /// SIGKILL to each server in turn, each of which is back before the next.
    RollingRestart,
    /// SIGKILL to all servers.
    Outage,
}

const KINDS: [Kind; 11] = [
    Kind::CutOffServer,
    Kind::MuteServer,
    Kind::CutOffContender,
    Kind::MuteContender,
    Kind::DeafContender,
    Kind::PauseContender,
    Kind::KillContender,
    Kind::PauseServer,
    Kind::KillServer,
    Kind::RollingRestart,
    Kind::Outage,
];

/// To whom a fault happens. Who that is, is seen when it strikes.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// The contender that leads, or the server that it is connected to.
    Leader,
    /// The server that leads the ensemble. Of the contenders, the one that leads.
    LeadingServer,
    /// Some contender, some server: the number modulo theirs.
    Number(usize),
}

/// A fault to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    victim: Victim,
    /// How long it lasts.
    lasts: Duration,
    /// For how long nothing happens when all have recovered.
    pub(crate) calm: Duration,
}

impl Fault {
    /// The next fault of a sequence that depends on the seed alone.
    pub(crate) fn random(rng: &mut Rng, session_timeout: Duration) -> Self {
        let kind = KINDS[rng.usize(..KINDS.len())];
        let victim = match rng.u8(..4) {
            0 | 1 => Victim::Leader,
            2 => Victim::LeadingServer,
            _ => Victim::Number(rng.usize(..60)),
        };
        // Shorter than a lease, longer than a session, and between.
        let lasts = session_timeout.mul_f64(0.2 + 2.3 * rng.f64());
        let calm = session_timeout.mul_f64(rng.f64());
        Self { kind, victim, lasts, calm }
    }

    /// Strikes, and returns when the fault has lasted for as long as it is to.
    pub(crate) async fn strike(&self, stage: &mut Stage) {
        let (leader, _) = stage.recovered().await;
        let (contender, server) = match self.victim {
            Victim::Leader => (leader, stage.server_of(leader).await),
            Victim::LeadingServer => (leader, stage.ensemble.leader().await),
            Victim::Number(number) => (number % stage.runners.len(), number % SERVERS),
        };
        let from = [stage.runners[contender].host.client];
        let servers = stage.for_clients();
        match self.kind {
            Kind::CutOffServer => stage.cut_off(server),
            Kind::MuteServer => {
                let quorum: Vec<Ipv4Addr> =
                    stage.ensemble.servers().iter().map(|it| it.host().quorum).collect();
                stage.network.drop_packets(&[quorum[server]], &quorum);
            }
            Kind::CutOffContender => stage.network.cut(&from, &servers),
            Kind::MuteContender => stage.network.drop_packets(&from, &servers),
            Kind::DeafContender => stage.network.drop_packets(&servers, &from),
            Kind::PauseContender => stage.runners[contender].pause(),
            Kind::KillContender => stage.runners[contender].kill(),
            Kind::PauseServer => stage.ensemble.server_mut(server).stop(),
            Kind::KillServer => stage.ensemble.server_mut(server).kill(),
            Kind::RollingRestart => {
                for i in 0..SERVERS {
                    stage.ensemble.server_mut((server + i) % SERVERS).restart().await;
                    stage.ensemble.wait_until_serving().await;
                }
                return;
            }
            Kind::Outage => (0..SERVERS).for_each(|i| stage.ensemble.server_mut(i).kill()),
        }
        sleep(self.lasts).await;
    }
}

/// Ends all faults, and returns when all servers serve.
pub(crate) async fn repair(stage: &mut Stage) {
    stage.network.heal();
    for runner in &mut stage.runners {
        runner.repair();
    }
    for i in 0..SERVERS {
        let server = stage.ensemble.server_mut(i);
        match server.pid() {
            Some(_) if server.is_running() => {}
            Some(_) => server.cont(),
            None => server.start(),
        }
    }
    stage.ensemble.wait_until_serving().await;
}
