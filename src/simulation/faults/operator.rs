//! Deletions by an operator.

use crate::path::join;
use crate::simulation::run::Run;
use crate::simulation::settings::{OPERATOR, path_of};
use crate::simulation::world::trace;
use crate::types::Mode;
use zookeeper_embedded::replica::{Action, Transaction, Write};

impl Run {
    /// An operator deletes the znode of a contender, or everything that belongs to an election.
    pub(super) fn operate(&mut self, process: usize) {
        let election = self.world.rng.usize(..self.world.settings.elections.len());
        let mode = self.world.settings.elections[election];
        let path = path_of(election, mode);
        let truth = self.ensemble.truth();
        let children = truth.children(&path);
        let delete = |path: String| Write { path: Some(path), action: Action::Delete { version: -1 } };
        let writes: Vec<Write> = match mode {
            Mode::Master => vec![delete(path)],
            Mode::Sequential if self.world.settings.drops_directories && self.world.rng.u8(..3) == 0 => {
                let children = children.iter().map(|name| join(&path, name));
                children.chain([path.clone()]).map(delete).collect()
            }
            Mode::Sequential => {
                let session = self.processes[process].session().map_or(0, |session| session.raw());
                let own = |name: &&String| {
                    truth.stat(&join(&path, name)).is_some_and(|stat| stat.ephemeral_owner == session)
                };
                let node = children.iter().find(own).or(children.first());
                node.map(|name| delete(join(&path, name))).into_iter().collect()
            }
        };
        if !writes.is_empty() {
            trace!(self.world, "FAULT: an operator changes election {election}");
            self.ensemble.operate(&mut self.world, Transaction::Multi(OPERATOR, writes));
        }
    }
}
