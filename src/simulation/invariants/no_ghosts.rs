//! When all is well again, each znode in the place of an election belongs to the session of a live contender that counts
//! it as its own.

use std::collections::BTreeSet;

use super::super::run::World;
use super::super::settings::path_of;
use crate::path::join;
use crate::types::{Mode, Standing};

pub(in super::super) fn check(world: &World) -> Result<(), String> {
    let mut owned = BTreeSet::new();
    for process in &world.processes {
        let session = process.session().map_or(0, |session| session.raw());
        for view in process.views() {
            if let Standing::Leading { node, .. } | Standing::Waiting { node: Some(node), .. } = view.standing
                && !owned.insert((node.clone(), session))
            {
                return Err(format!("two contenders of one session count {node} as their own"));
            }
        }
    }
    let truth = world.ensemble.truth();
    let mut standing = BTreeSet::new();
    for (election, mode) in world.stage.settings.elections.iter().enumerate() {
        let path = path_of(election, *mode);
        let paths = match mode {
            Mode::Sequential => truth.children(&path).iter().map(|name| join(&path, name)).collect(),
            Mode::Master => vec![path],
        };
        for path in paths {
            standing.extend(truth.stat(&path).map(|stat| (path, stat.ephemeral_owner)));
        }
    }
    if owned == standing {
        Ok(())
    } else {
        Err(format!("znodes that stand: {standing:x?}; that contenders count as their own: {owned:x?}"))
    }
}
