//! Deletions by an operator.

use crate::path::join;
use crate::simulation::run::Run;
use crate::simulation::settings::{OPERATOR, guarded_path, path_of};
use crate::simulation::world::trace;
use crate::types::Mode;
use zookeeper_embedded::replica::{Action, CreateAnswer, Transaction, Write, anyone, create};

impl Run {
    /// Creates the znodes of guarded writes, if they do not exist yet.
    pub(super) fn create_guarded(&mut self) {
        if self.ensemble.truth().stat(&guarded_path(0)).is_none() {
            let paths = (0..self.world.settings.elections.len()).map(guarded_path);
            let writes = paths.map(|path| {
                let (data, acl, flags) = (Some([].into()), vec![anyone()], create::PERSISTENT);
                let action =
                    Action::Create { data, acl, flags, time_to_live: -1, answer: CreateAnswer::Path };
                Write { path: Some(path), action }
            });
            let transaction = Transaction::Multi(OPERATOR, writes.collect());
            self.ensemble.operate(&mut self.world, transaction);
        }
    }

    /// An operator deletes the znode of a contender, or all znodes of an election.
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
            trace!(self.world, "FAULT: an operator deletes znodes of election {election}");
            self.ensemble.operate(&mut self.world, Transaction::Multi(OPERATOR, writes));
        }
    }
}
