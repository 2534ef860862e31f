//! Runs in which everything goes wrong that can.

use super::*;

/// A run of several seconds with random delays, losses, crashes, restarts, partitions and writes.
pub(super) struct FaultyRun {
    pub(super) seed: u64,
    pub(super) members: Members,
    pub(super) ensemble: Simulation,
    /// What a quorum has written, and how much had happened before.
    pub(super) written: Vec<(usize, History)>,
}

impl FaultyRun {
    pub(super) fn of(seed: u64) -> Self {
        Self::with(seed, Members::random)
    }

    pub(super) fn with(seed: u64, members: impl FnOnce(&mut Rng) -> Members) -> Self {
        let mut rng = Rng::with_seed(seed);
        let members = members(&mut rng);
        let longest = MILLISECOND * [5, 50, 150, 400][rng.usize(0..4)];
        let network = Network {
            delay: Duration::ZERO..=longest,
            loss: [0.0, 0.02, 0.2][rng.usize(0..3)],
            handshake: rng.u32(0..=2),
        };
        let ensemble = with_random_histories(&members, seed, &mut rng).with_network(network);
        let mut run = Self { seed, members, ensemble, written: Vec::new() };
        for id in run.members.some(0.9, &mut rng) {
            run.ensemble.start_after(id, up_to(MILLISECOND * 600, &mut rng));
        }
        for _ in 0..12 {
            run.ensemble.run_for(up_to(MILLISECOND * 800, &mut rng));
            run.disturb(&mut rng);
        }
        run
    }

    /// Ends all faults, starts everybody, and says whether they settle.
    pub(super) fn calm(&mut self) -> bool {
        self.ensemble.set_network(Network::default());
        self.ensemble.heal();
        for id in self.members.ids() {
            self.ensemble.start(id);
        }
        // Twice the longest silence of a server that looks.
        self.ensemble.run_until(Duration::from_secs(120), Simulation::is_settled)
    }

    fn disturb(&mut self, rng: &mut Rng) {
        let ids: Vec<ServerId> = self.members.ids().collect();
        let id = ids[rng.usize(0..ids.len())];
        match rng.u8(0..8) {
            0 => self.ensemble.crash(id),
            1 | 2 => self.ensemble.start(id),
            3 => {
                let (one, other): (Vec<ServerId>, Vec<ServerId>) = ids.iter().partition(|_| rng.bool());
                self.ensemble.partition(&[&one, &other]);
            }
            4 => self.ensemble.heal(),
            5 => {
                let leader = self.ensemble.servers().find_map(|(_, it)| it.leader());
                self.ensemble.crash(leader.unwrap_or(id));
            }
            _ => {
                let before = self.ensemble.trace().len();
                if let Some(zxid) = self.ensemble.write(rng.u32(1..=3)) {
                    self.written.push((before, History { epoch: zxid.epoch(), zxid }));
                }
            }
        }
    }
}
