//! At the end of a run, each znode of an election belongs to the session of a running contender that counts the znode
//! as its own.

use std::collections::BTreeSet;

use super::reports::ProcessView;
use crate::path::join;
use crate::simulation::settings::path_of;
use crate::types::{Mode, Standing};
use zookeeper_embedded::replica::Replica;

pub(in crate::simulation) fn check(
    elections: &[Mode],
    processes: &[ProcessView],
    tree: &Replica,
) -> Result<(), String> {
    let mut owned = BTreeSet::new();
    for process in processes {
        let session = process.session.map_or(0, |session| session.raw());
        for contender in &process.contenders {
            if let Standing::Leading { node, .. } | Standing::Waiting { node: Some(node), .. } =
                &contender.standing
                && !owned.insert((node.clone(), session))
            {
                return Err(format!("two contenders of one session count {node} as their own"));
            }
        }
    }
    let mut existing = BTreeSet::new();
    for (election, mode) in elections.iter().enumerate() {
        let path = path_of(election, *mode);
        let paths = match mode {
            Mode::Sequential => tree.children(&path).iter().map(|name| join(&path, name)).collect(),
            Mode::Master => vec![path],
        };
        for path in paths {
            existing.extend(tree.stat(&path).map(|stat| (path, stat.ephemeral_owner)));
        }
    }
    if owned == existing {
        Ok(())
    } else {
        Err(format!("znodes that exist: {existing:x?}; that contenders count as their own: {owned:x?}"))
    }
}
