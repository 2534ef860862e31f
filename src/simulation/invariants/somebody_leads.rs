//! At the end of a run, each election with a willing contender has exactly one leader, the other willing contenders
//! wait, and unwilling contenders are idle.

use super::reports::{ContenderView, ProcessView};
use crate::types::Standing;

pub(in crate::simulation) fn check(elections: usize, processes: &[ProcessView]) -> Result<(), String> {
    if let Some(process) = processes.iter().position(|process| !process.connected) {
        return Err(format!("process {process} is not connected"));
    }
    let contenders = || processes.iter().flat_map(|process| &process.contenders);
    for contender in contenders() {
        let right = match &contender.standing {
            Standing::Leading { .. } => contender.willing && contender.leading,
            Standing::Waiting { .. } => contender.willing && !contender.leading,
            Standing::Idle => !contender.willing && !contender.leading,
            _ => false,
        };
        if !right {
            let ContenderView { id, willing, standing, leading, .. } = contender;
            return Err(format!("{id} at the end: willing {willing}, leading {leading}, {standing:?}"));
        }
    }
    for election in 0..elections {
        let of_election = || contenders().filter(|it| it.election == election);
        let wanted = of_election().any(|it| it.willing);
        let leaders = of_election().filter(|it| it.leading).count();
        if leaders != usize::from(wanted) {
            return Err(format!("election {election} has {leaders} leaders"));
        }
    }
    Ok(())
}
