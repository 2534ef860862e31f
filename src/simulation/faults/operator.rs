//! What an operator does to elections.

use super::super::ensemble::OPERATOR;
use super::super::run::World;
use super::super::settings::path_of;
use super::super::stage::note;
use crate::path::join;
use crate::types::Mode;
use zookeeper_embedded::replica::{Action, Transaction, Write};

impl World {
    /// An operator deletes the znode of a contender, or everything that belongs to an election.
    pub(super) fn operate(&mut self, process: usize) {
        let election = self.stage.rng.usize(..self.stage.settings.elections.len());
        let mode = self.stage.settings.elections[election];
        let path = path_of(election, mode);
        let truth = self.ensemble.truth();
        let children = truth.children(&path);
        let delete = |path: String| Write { path: Some(path), action: Action::Delete { version: -1 } };
        let writes: Vec<Write> = match mode {
            Mode::Master => vec![delete(path)],
            Mode::Sequential if self.stage.settings.drops_directories && self.stage.rng.u8(..3) == 0 => {
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
            note!(self.stage, "FAULT: an operator changes election {election}");
            self.ensemble.operate(&mut self.stage, Transaction::Multi(OPERATOR, writes));
        }
    }
}
