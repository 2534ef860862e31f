//! A leader's work ends before its znode is removed and before its session is closed, unless it lasts longer than the
//! grace period.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reports::ContenderId;
use crate::simulation::time::Instant;
use crate::types::{FencingToken, SessionId};

#[derive(Debug)]
pub(in crate::simulation) struct Work {
    under_way: BTreeMap<ContenderId, WorkUnderWay>,
    grace: Duration,
}

#[derive(Debug)]
struct WorkUnderWay {
    token: FencingToken,
    session: SessionId,
    /// When the leadership ended.
    ended: Option<Instant>,
}

impl Work {
    pub(super) fn new(grace: Duration) -> Self {
        Self { under_way: BTreeMap::new(), grace }
    }

    /// The leadership under which a contender works, and whether it still leads.
    pub(in crate::simulation) fn report(
        &mut self,
        id: ContenderId,
        working: Option<(FencingToken, SessionId)>,
        leads: bool,
        now: Instant,
    ) {
        let Some((token, session)) = working else {
            self.under_way.remove(&id);
            return;
        };
        let work = self.under_way.entry(id).or_insert(WorkUnderWay { token, session, ended: None });
        if work.token != token {
            *work = WorkUnderWay { token, session, ended: None };
        }
        if !leads {
            work.ended.get_or_insert(now);
        }
    }

    pub(super) fn died(&mut self, id: ContenderId) {
        self.under_way.remove(&id);
    }

    /// A contender has removed its znode.
    pub(super) fn removed(&self, token: FencingToken, now: Instant) -> Result<(), String> {
        let goes_on = |(_, work): &(&ContenderId, &WorkUnderWay)| {
            work.token == token && work.ended.is_none_or(|ended| now < ended + self.grace)
        };
        match self.under_way.iter().find(goes_on) {
            Some((id, _)) => Err(format!("the znode of {id} with {token} is removed while its work goes on")),
            None => Ok(()),
        }
    }

    /// A client has closed its session.
    pub(super) fn closed(&self, session: SessionId) -> Result<(), String> {
        match self.under_way.iter().find(|(_, work)| work.session == session) {
            Some((id, _)) => Err(format!("session {session} is closed while the work of {id} goes on")),
            None => Ok(()),
        }
    }
}
