//! What all actors of a run share: the time, the agenda, chance, the network, the referee and the transcript.

use std::time::Duration;

use super::ensemble::Message;
use super::faults::Ailment;
use super::invariants::Referee;
use super::network::{Down, Network, Up};
use super::settings::Settings;
use super::time::{Agenda, Instant};
use super::transcript::Transcript;
use super::traps::{Exile, Lost, Moment, Trap};
use zookeeper_embedded::replica::ConnectionId;

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Happening {
    /// A packet of a client reaches its server.
    AtServer(ConnectionId, Up),
    /// A packet of a server reaches its client.
    AtClient(ConnectionId, Down),
    /// A message of one server reaches another.
    Between { from: usize, to: usize, sent: Instant, message: Message },
    /// Half a tick of a server is over.
    HalfTick { server: usize, life: u32 },
    /// A server reads what a client has sent while it stood still.
    Read { server: usize, life: u32, connection: ConnectionId },
    /// The requests at a server may be passed on again.
    Unstuck { server: usize },
    /// An application makes up its mind. The number of the process's life tells old decisions from new ones.
    Act { process: usize, life: u32, contender: usize, again: bool },
    /// Something goes wrong.
    Fault,
    /// A path between servers is cut.
    Cut { from: usize, to: usize },
    /// The server at the end of this connection is cut off from the others.
    CutOff(ConnectionId),
    /// A connection breaks.
    Break(ConnectionId),
    /// A process reaches one server only.
    Exile { process: usize, exile: Exile },
    /// The process at the end of this connection stands still with the answer, and the connection ends.
    Strand(ConnectionId, Duration),
    /// The leader server dies, and the process at the end of this connection reaches nobody.
    Bereave(ConnectionId),
    /// What a process sends is to arrive in the last moment of its session.
    LastMoment { process: usize },
    /// Nothing is heard of a process any more.
    Silence { process: usize },
    /// A process is left at a server that is cut off.
    Mislead { process: usize },
    /// Nothing reaches a process.
    Deafen { process: usize },
    /// A process reaches this server no more.
    Flee { process: usize, server: usize },
    /// The applications of a process do not want to lead, or wait, any more.
    Resign { process: usize },
    /// A process stands still.
    Pause { process: usize, duration: Duration },
    /// A trap is set for a process.
    Trap { process: usize, trap: Trap },
    /// Something is well again.
    Heal(Ailment),
    /// Somebody looks whether everything has calmed down.
    Inspect,
}

pub(super) struct Stage {
    pub(super) now: Instant,
    pub(super) settings: Settings,
    /// Faults are over, and applications know what they want.
    pub(super) calm: bool,
    pub(super) agenda: Agenda<Happening>,
    pub(super) rng: fastrand::Rng,
    pub(super) network: Network,
    pub(super) referee: Referee,
    pub(super) transcript: Transcript,
}

/// Writes a line of the transcript.
macro_rules! note {
    ($stage:expr, $($words:tt)*) => {
        if $stage.transcript.is_kept() {
            $stage.transcript.note($stage.now, format_args!($($words)*));
        }
    };
}
pub(super) use note;

impl Stage {
    pub(super) fn later(&mut self, after: Duration, what: Happening) {
        self.agenda.enter(self.now + after, what);
    }

    /// A duration between these two, short ones as likely as long ones.
    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least.mul_f64((most.as_secs_f64() / least.as_secs_f64()).powf(self.rng.f64()))
    }

    /// True in this part of all cases.
    pub(super) fn chance(&mut self, part: f64) -> bool {
        self.rng.f64() < part
    }

    /// How long a message takes.
    pub(super) fn latency(&mut self) -> Duration {
        let most = self.settings.latency;
        let usual = most.mul_f64(0.1 + 0.2 * self.rng.f64());
        if self.rng.u8(..10) == 0 { most.mul_f64(self.rng.f64()).max(usual) } else { usual }
    }

    /// A client connects to a server; perhaps the connection is refused.
    pub(super) fn open_connection(&mut self, process: usize, server: usize) -> ConnectionId {
        let connection = self.network.open(process, server, self.now);
        if self.network.refuses(process, server, self.now) {
            self.break_connection(connection);
        }
        connection
    }

    /// Sends a packet from a client to its server.
    pub(super) fn send_up(&mut self, connection: ConnectionId, packet: Up) {
        let latency = self.latency();
        if let Some(arrival) = self.network.up(connection, self.now, latency) {
            self.agenda.enter(arrival, Happening::AtServer(connection, packet));
        }
    }

    /// Sends a packet from a server to a client.
    pub(super) fn send_down(&mut self, connection: ConnectionId, packet: Down) {
        if let Down::Reply { result, .. } = &packet {
            let consequence = match self.network.spring(connection, Moment::of(result)) {
                Some(Trap::CutOffOnceCommitted) => Some(Happening::CutOff(connection)),
                Some(Trap::BereaveOnceCommitted) => Some(Happening::Bereave(connection)),
                Some(Trap::StrandOnceShown(duration)) => Some(Happening::Strand(connection, duration)),
                Some(Trap::Exile(exile)) => {
                    let process = self.network.process(connection);
                    let after =
                        if exile.lost == Lost::Nothing { self.settings.latency } else { Duration::ZERO };
                    process
                        .into_iter()
                        .for_each(|process| self.later(after, Happening::Exile { process, exile }));
                    if exile.lost == Lost::Nothing {
                        return self.pass_down(connection, packet);
                    }
                    return self.break_connection(connection);
                }
                Some(_) => {
                    note!(self, "connection {connection}: the answer is lost");
                    return self.break_connection(connection);
                }
                None => None,
            };
            let ends = matches!(consequence, Some(Happening::Strand(..)));
            consequence.into_iter().for_each(|consequence| self.later(Duration::ZERO, consequence));
            self.pass_down(connection, packet);
            if ends {
                self.pass_down(connection, Down::Closed);
                self.later(Duration::ZERO, Happening::AtServer(connection, Up::Close));
            }
            return;
        }
        self.pass_down(connection, packet);
    }

    fn pass_down(&mut self, connection: ConnectionId, packet: Down) {
        let latency = self.latency();
        if let Some(arrival) = self.network.down(connection, self.now, latency) {
            self.agenda.enter(arrival, Happening::AtClient(connection, packet));
        }
    }

    /// Breaks a connection: what is under way is lost, and both ends hear of it.
    pub(super) fn break_connection(&mut self, connection: ConnectionId) {
        if self.network.break_off(connection) {
            let (up, down) = (self.latency(), self.latency());
            self.later(up, Happening::AtServer(connection, Up::Close));
            self.later(down, Happening::AtClient(connection, Down::Closed));
        }
    }
}
