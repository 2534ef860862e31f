//! Queries of an election's znodes: its leader and its contenders.

use std::sync::Arc;

use futures_util::future::try_join_all;

use crate::config::ContenderConfig;
use crate::error::{Error, Failure};
use crate::machine::{ElectionSpec, naming};
use crate::path::{join, split};
use crate::session::{Client, Watch};
use crate::types::{Contender, Mode, SessionId};
use crate::znode::Origin;

/// The leader.
pub(crate) async fn leader(
    config: &ContenderConfig,
    client: &Arc<Client>,
) -> Result<Option<Contender>, Failure> {
    while let Some(path) = leading_path(&config.spec, client).await? {
        let leader = contender(config, client, &path).await?;
        // The leader left between the two reads, and may have a successor.
        if leader.is_some() || config.spec.mode == Mode::Master {
            return Ok(leader);
        }
    }
    Ok(None)
}

/// The leader, and a watch that fires when the leader changes, or earlier.
pub(crate) async fn leader_and_watch(
    config: &ContenderConfig,
    client: &Arc<Client>,
) -> Result<(Option<Contender>, Watch), Failure> {
    let spec = &config.spec;
    loop {
        let Some(path) = leading_path(spec, client).await? else {
            match watch_vacancy(spec, client).await? {
                Some(watch) => return Ok((None, watch)),
                None => continue,
            }
        };
        // The watch is set before the znode is read, so that no later change is missed.
        let (origin, watch) = client.watch(&path).await?;
        if origin.is_none() && spec.mode == Mode::Master {
            return Ok((None, watch));
        }
        if origin.is_some()
            && let Some(leader) = contender(config, client, &path).await?
        {
            return Ok((Some(leader), watch));
        }
    }
}

/// The path of the leader's znode. In master mode it may not exist.
async fn leading_path(spec: &ElectionSpec, client: &Arc<Client>) -> Result<Option<String>, Failure> {
    if spec.mode == Mode::Master {
        return Ok(Some(spec.path.clone()));
    }
    match client.list(&spec.path).await {
        Ok(children) => Ok(naming::lowest(&spec.prefix, &children).map(|name| join(&spec.path, name))),
        Err(Failure::NoNode) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// A watch on the directory without contenders, or on the creation of the directory. `None` if there is a contender or a
/// directory by now.
async fn watch_vacancy(spec: &ElectionSpec, client: &Arc<Client>) -> Result<Option<Watch>, Failure> {
    match client.list_and_watch(&spec.path).await {
        Ok((children, watch)) => Ok(naming::lowest(&spec.prefix, &children).is_none().then_some(watch)),
        Err(Failure::NoNode) => {
            let (origin, watch) = client.watch(&spec.path).await?;
            Ok(origin.is_none().then_some(watch))
        }
        Err(failure) => Err(failure),
    }
}

/// All contenders, the leader first.
pub(crate) async fn contenders(
    config: &ContenderConfig,
    client: &Arc<Client>,
) -> Result<Vec<Contender>, Failure> {
    let spec = &config.spec;
    if spec.mode == Mode::Master {
        return Ok(contender(config, client, &spec.path).await?.into_iter().collect());
    }
    let children = match client.list(&spec.path).await {
        Err(Failure::NoNode) => return Ok(Vec::new()),
        other => other?,
    };
    let reads = naming::contenders(&spec.prefix, &children).map(|(_, name)| {
        let path = join(&spec.path, name);
        async move { contender(config, client, &path).await }
    });
    let mut contenders: Vec<_> = try_join_all(reads).await?.into_iter().flatten().collect();
    contenders.sort_by_key(|contender| contender.token);
    Ok(contenders)
}

async fn contender(
    config: &ContenderConfig,
    client: &Arc<Client>,
    path: &str,
) -> Result<Option<Contender>, Failure> {
    let Some((data, origin)) = client.read(path).await? else { return Ok(None) };
    if config.spec.mode == Mode::Master && origin.owner.is_none() {
        return Err(Failure::Refused(Error::PathOccupied { path: path.to_owned() }));
    }
    Ok(Some(describe(config, path, data, origin)))
}

fn describe(config: &ContenderConfig, path: &str, data: Vec<u8>, origin: Origin) -> Contender {
    Contender {
        node: path.to_owned(),
        sequence: match config.spec.mode {
            Mode::Sequential => naming::parse(&config.spec.prefix, split(path).1),
            Mode::Master => None,
        },
        identity: String::from_utf8_lossy(&data).into_owned(),
        token: origin.token,
        session: origin.owner.unwrap_or(SessionId::from_raw(0)),
    }
}
