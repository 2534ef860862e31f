//! The state that all parts of a run share: the time, the event queue, random numbers, the network, the checker and the
//! transcript.

use std::time::Duration;

use super::event::WorldEvent;
use super::invariants::Checker;
use super::network::{Down, Network, Up};
use super::settings::Settings;
use super::time::{EventQueue, Instant};
use super::transcript::Transcript;
use super::triggers::{LostPacket, Trigger, TriggeredFault};
use zookeeper_embedded::replica::ConnectionId;

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) settings: Settings,
    /// Faults have ended, and applications no longer change their minds.
    pub(super) calm: bool,
    pub(super) queue: EventQueue<WorldEvent>,
    pub(super) rng: fastrand::Rng,
    pub(super) network: Network,
    pub(super) checker: Checker,
    pub(super) transcript: Transcript,
}

/// Writes a line of the transcript.
macro_rules! trace {
    ($world:expr, $($words:tt)*) => {
        if $world.transcript.is_kept() {
            $world.transcript.push($world.now, format_args!($($words)*));
        }
    };
}
pub(super) use trace;

impl World {
    pub(super) fn schedule(&mut self, after: Duration, what: WorldEvent) {
        self.queue.push(self.now + after, what);
    }

    /// A random duration in this range, with a uniform logarithm.
    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least.mul_f64((most.as_secs_f64() / least.as_secs_f64()).powf(self.rng.f64()))
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, part: f64) -> bool {
        self.rng.f64() < part
    }

    /// Draws the time that a message takes.
    pub(super) fn latency(&mut self) -> Duration {
        let most = self.settings.latency;
        let usual = most.mul_f64(0.1 + 0.2 * self.rng.f64());
        if self.rng.u8(..10) == 0 { most.mul_f64(self.rng.f64()).max(usual) } else { usual }
    }

    /// A client connects to a server, which may refuse the connection.
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
            self.queue.push(arrival, WorldEvent::PacketAtServer(connection, packet));
        }
    }

    /// Sends a packet from a server to a client.
    pub(super) fn send_down(&mut self, connection: ConnectionId, packet: Down) {
        if let Down::Reply { result, .. } = &packet {
            let consequence = match self.network.fire(connection, Trigger::of(result)) {
                Some(TriggeredFault::IsolateServerOnCommit) => Some(WorldEvent::IsolateServer(connection)),
                Some(TriggeredFault::LoseLeaderOnCommit) => Some(WorldEvent::LoseLeader(connection)),
                Some(TriggeredFault::PauseAndMoveOnStat(duration)) => {
                    Some(WorldEvent::PauseAndMove(connection, duration))
                }
                Some(TriggeredFault::ConfineOnReply(confinement)) => {
                    let process = self.network.process(connection);
                    let after = if confinement.lost == LostPacket::Neither {
                        self.settings.latency
                    } else {
                        Duration::ZERO
                    };
                    process.into_iter().for_each(|process| {
                        self.schedule(after, WorldEvent::Confine { process, confinement })
                    });
                    if confinement.lost == LostPacket::Neither {
                        return self.pass_down(connection, packet);
                    }
                    return self.break_connection(connection);
                }
                Some(_) => {
                    trace!(self, "connection {connection}: the reply is lost");
                    return self.break_connection(connection);
                }
                None => None,
            };
            let ends = matches!(consequence, Some(WorldEvent::PauseAndMove(..)));
            consequence.into_iter().for_each(|consequence| self.schedule(Duration::ZERO, consequence));
            self.pass_down(connection, packet);
            if ends {
                self.pass_down(connection, Down::Closed);
                self.schedule(Duration::ZERO, WorldEvent::PacketAtServer(connection, Up::Close));
            }
            return;
        }
        self.pass_down(connection, packet);
    }

    fn pass_down(&mut self, connection: ConnectionId, packet: Down) {
        let latency = self.latency();
        if let Some(arrival) = self.network.down(connection, self.now, latency) {
            self.queue.push(arrival, WorldEvent::PacketAtClient(connection, packet));
        }
    }

    /// Breaks a connection: packets in flight are lost, and both ends see it close.
    pub(super) fn break_connection(&mut self, connection: ConnectionId) {
        if self.network.break_off(connection) {
            let (up, down) = (self.latency(), self.latency());
            self.schedule(up, WorldEvent::PacketAtServer(connection, Up::Close));
            self.schedule(down, WorldEvent::PacketAtClient(connection, Down::Closed));
        }
    }
}
