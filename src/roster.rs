//! Reading an election's znodes: who leads, and who takes part.

use std::sync::Arc;

use futures_util::future::try_join_all;

use crate::driver::Contest;
use crate::error::{Error, Failure};
use crate::machine::{Plan, naming};
use crate::path::{join, split};
use crate::session::{Live, Watch};
use crate::types::{Contender, Mode, Origin, SessionId};

/// Who leads.
pub(crate) async fn leader(contest: &Contest, live: &Arc<Live>) -> Result<Option<Contender>, Failure> {
    while let Some(path) = leading_path(&contest.plan, live).await? {
        let leader = contender(contest, live, &path).await?;
        // One that left in between may have a successor.
        if leader.is_some() || contest.plan.mode == Mode::Master {
            return Ok(leader);
        }
    }
    Ok(None)
}

/// Who leads, and a watch that fires no later than that changes.
pub(crate) async fn leader_and_watch(
    contest: &Contest,
    live: &Arc<Live>,
) -> Result<(Option<Contender>, Watch), Failure> {
    let plan = &contest.plan;
    loop {
        let Some(path) = leading_path(plan, live).await? else {
            match watch_vacancy(plan, live).await? {
                Some(watch) => return Ok((None, watch)),
                None => continue,
            }
        };
        // The watch comes before the reading, so that nothing happens unseen after it.
        let (origin, watch) = live.watch(&path).await?;
        if origin.is_none() && plan.mode == Mode::Master {
            return Ok((None, watch));
        }
        if origin.is_some()
            && let Some(leader) = contender(contest, live, &path).await?
        {
            return Ok((Some(leader), watch));
        }
    }
}

/// Where the leader's znode stands, or in master mode would stand.
async fn leading_path(plan: &Plan, live: &Arc<Live>) -> Result<Option<String>, Failure> {
    if plan.mode == Mode::Master {
        return Ok(Some(plan.path.clone()));
    }
    match live.list(&plan.path).await {
        Ok(children) => Ok(naming::lowest(&plan.prefix, &children).map(|name| join(&plan.path, name))),
        Err(Failure::NoNode) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// A watch on the directory without contenders, or on the creation of the directory; `None` if there is
/// somebody by now.
async fn watch_vacancy(plan: &Plan, live: &Arc<Live>) -> Result<Option<Watch>, Failure> {
    match live.list_and_watch(&plan.path).await {
        Ok((children, watch)) => Ok(naming::lowest(&plan.prefix, &children).is_none().then_some(watch)),
        Err(Failure::NoNode) => {
            let (origin, watch) = live.watch(&plan.path).await?;
            Ok(origin.is_none().then_some(watch))
        }
        Err(failure) => Err(failure),
    }
}

/// Who takes part, the leader first.
pub(crate) async fn contenders(contest: &Contest, live: &Arc<Live>) -> Result<Vec<Contender>, Failure> {
    let plan = &contest.plan;
    if plan.mode == Mode::Master {
        return Ok(contender(contest, live, &plan.path).await?.into_iter().collect());
    }
    let children = match live.list(&plan.path).await {
        Err(Failure::NoNode) => return Ok(Vec::new()),
        other => other?,
    };
    let reads = naming::contenders(&plan.prefix, &children).map(|(_, name)| {
        let path = join(&plan.path, name);
        async move { contender(contest, live, &path).await }
    });
    let mut contenders: Vec<_> = try_join_all(reads).await?.into_iter().flatten().collect();
    contenders.sort_by_key(|contender| contender.token);
    Ok(contenders)
}

async fn contender(contest: &Contest, live: &Arc<Live>, path: &str) -> Result<Option<Contender>, Failure> {
    let Some((data, origin)) = live.read(path).await? else { return Ok(None) };
    if contest.plan.mode == Mode::Master && origin.owner.is_none() {
        return Err(Failure::Refused(Error::PathOccupied { path: path.to_owned() }));
    }
    Ok(Some(describe(contest, path, data, origin)))
}

fn describe(contest: &Contest, path: &str, data: Vec<u8>, origin: Origin) -> Contender {
    Contender {
        node: path.to_owned(),
        sequence: match contest.plan.mode {
            Mode::Sequential => naming::parse(&contest.plan.prefix, split(path).1),
            Mode::Master => None,
        },
        identity: String::from_utf8_lossy(&data).into_owned(),
        token: origin.token,
        session: origin.owner.unwrap_or(SessionId::from_raw(0)),
    }
}
