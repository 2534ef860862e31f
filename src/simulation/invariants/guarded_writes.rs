//! Guarded writes of a former leader fail: once a contender has begun to lead, nothing is written with the token of an
//! earlier leadership.
//!
//! Exception: a leader whose znode an operator has deleted, because in sequential mode another znode may have its name.

use std::collections::BTreeMap;

use zookeeper_embedded::replica::{Action, Transaction};

use crate::simulation::settings::guarded_path;
use crate::types::FencingToken;

/// The election and the token of a guarded write. `None` for other transactions.
pub(in crate::simulation) fn written(
    transaction: &Transaction,
    elections: usize,
) -> Option<(usize, FencingToken)> {
    let Transaction::Multi(_, writes) = transaction else {
        return None;
    };
    writes.iter().find_map(|write| {
        let Action::SetData { data: Some(data), .. } = &write.action else {
            return None;
        };
        let election = (0..elections).find(|it| write.path.as_deref() == Some(&guarded_path(*it)))?;
        let token = str::from_utf8(data).ok()?.parse().ok()?;
        Some((election, FencingToken::from_zxid(token)))
    })
}

/// Checks a guarded write that was executed.
pub(super) fn check(
    election: usize,
    token: FencingToken,
    leaders: &BTreeMap<usize, FencingToken>,
    deposed: bool,
) -> Result<(), String> {
    match leaders.get(&election) {
        Some(last) if *last > token && !deposed => Err(format!(
            "election {election}: a guarded write of {token} is executed after {last} has begun to lead"
        )),
        _ => Ok(()),
    }
}
