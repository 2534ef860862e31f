//! When all is well again, each election that somebody wants to win has exactly one leader, everybody else who wants to
//! lead waits, and whoever does not want to is out of it.

use super::super::run::World;
use crate::types::Standing;

pub(in super::super) fn check(world: &World) -> Result<(), String> {
    if let Some(process) = world.processes.iter().position(|process| !process.is_connected()) {
        return Err(format!("process {process} is not connected"));
    }
    let views = || world.processes.iter().flat_map(|process| process.views());
    for view in views() {
        let right = match view.standing {
            Standing::Leading { .. } => view.willing && view.leading,
            Standing::Waiting { .. } => view.willing && !view.leading,
            Standing::Idle => !view.willing && !view.leading,
            _ => false,
        };
        if !right {
            return Err(format!("this is not how to end: {view:?}"));
        }
    }
    for election in 0..world.stage.settings.elections.len() {
        let wanted = views().any(|view| view.election == election && view.willing);
        let leaders = views().filter(|view| view.election == election && view.leading).count();
        if leaders != usize::from(wanted) {
            return Err(format!("election {election} has {leaders} leaders"));
        }
    }
    Ok(())
}
