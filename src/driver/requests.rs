//! Carries out the machine's requests with the operations of a session's client.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::watches::Watched;
use crate::config::ContenderConfig;
use crate::error::Failure;
use crate::lease::Lease;
use crate::machine::{ElectionSpec, Reply, Request, Seen, Ticket, naming, stat_check};
use crate::mistakes::mistake;
use crate::path::{join, split};
use crate::session::{Client, Creation, NotCreated, Peek, Prefetched};
use crate::telemetry;
use crate::types::{Mode, SessionId};
use crate::znode::Node;

/// The requests that have no outcome yet.
pub(super) type PendingRequests = FuturesUnordered<BoxFuture<'static, (Ticket, Outcome)>>;

/// The outcome of a request: a reply for the machine, and what the driver keeps of it.
pub(super) enum Outcome {
    Reply(Reply),
    OwnWatched(Watched),
    AheadWatched(Watched),
    /// The reply to a create, and what was read together with it.
    Created(Result<(Node, Lease), Failure>, Prefetched),
}

/// Carries out one request of the machine.
pub(super) async fn send(
    config: &ContenderConfig,
    client: Arc<Client>,
    ticket: Ticket,
    request: Request,
    former_sessions: &[SessionId],
) -> Outcome {
    let ElectionSpec { mode, path, .. } = &config.spec;
    let dir = match mode {
        Mode::Sequential => path.as_str(),
        Mode::Master => split(path).0,
    };
    match request {
        Request::Create => {
            let (created, prefetched) = create(config, &client, ticket).await;
            Outcome::Created(log(created), prefetched)
        }
        Request::CreateParents => {
            let created = client.create_parents(dir, config.container_parents, &config.acl).await;
            Outcome::Reply(Reply::ParentsCreated(log(created)))
        }
        Request::FindOwn(create) => {
            Outcome::Reply(Reply::Found(log(find_own(config, &client, create, former_sessions).await)))
        }
        Request::List => Outcome::Reply(Reply::Listed(log(client.list(dir).await))),
        Request::WatchOwn(node) => Outcome::OwnWatched(
            log(client.read_and_watch(&node.path).await).map(|peek| stat_check::own(&node, peek)),
        ),
        Request::WatchAhead(path) => Outcome::AheadWatched(log(watch_ahead(config, &client, &path).await)),
        Request::Remove { node, verify } => {
            let removed = client.remove(&node, config.counter.as_ref(), verify).await;
            Outcome::Reply(Reply::Removed(log(removed)))
        }
    }
}

/// The outcome of a request whose answer was prefetched. Each prefetched answer serves once.
pub(super) fn from_prefetched(
    client: &Client,
    request: &Request,
    prefetched: &mut Prefetched,
) -> Option<Outcome> {
    match request {
        Request::WatchOwn(node) => {
            prefetched.peek.take().map(|peek| Outcome::OwnWatched(Ok(stat_check::own(node, peek))))
        }
        Request::WatchAhead(path) => {
            prefetched.peek.take().map(|peek| Outcome::AheadWatched(ahead(client, path, peek)))
        }
        Request::List => {
            prefetched.children.take().map(|children| Outcome::Reply(Reply::Listed(Ok(children))))
        }
        _ => None,
    }
}

/// Creates the contender's znode. One attempt, or two if the first shows that the tombstone has to be in the directory.
async fn create(
    config: &ContenderConfig,
    client: &Arc<Client>,
    ticket: Ticket,
) -> (Result<(Node, Lease), Failure>, Prefetched) {
    let ElectionSpec { mode, path, prefix } = &config.spec;
    let node = match mode {
        Mode::Sequential => join(path, prefix),
        Mode::Master => path.clone(),
    };
    loop {
        let tombstone = &tombstone(config, ticket);
        let data = config.identity.as_bytes();
        let counter = config.counter.as_ref();
        let creation = Creation { path: &node, tombstone, counter, data, acl: &config.acl };
        let mut prefetched = Prefetched::default();
        let created = match client.create(creation, &mut prefetched).await {
            Ok(created) => Ok(created),
            // No permission for the tombstone beside the directory: try inside it.
            Err(NotCreated::TombstoneRefused(_))
                if *mode == Mode::Sequential && !config.tombstones_inside.swap(true, Ordering::Relaxed) =>
            {
                continue;
            }
            Err(NotCreated::TombstoneRefused(failure) | NotCreated::Failed(failure)) => Err(failure),
        };
        return (created, prefetched);
    }
}

/// The tombstone of the create with this ticket.
///
/// It stands beside the election's directory, because each create inside raises the next contender's number and is seen by
/// other clients. It stands inside only where the ACL permits no other place.
fn tombstone(config: &ContenderConfig, ticket: Ticket) -> String {
    let path = &config.spec.path;
    let name = naming::tombstone(config.id, ticket.0);
    if config.tombstones_inside.load(Ordering::Relaxed) { join(path, &name) } else { format!("{path}{name}") }
}

/// Makes sure that the create with this ticket can no longer be carried out, and claims the znodes that it left. Fails as
/// long as there may be one of a session that was lost since, which goes with that session.
async fn find_own(
    config: &ContenderConfig,
    client: &Arc<Client>,
    create: Ticket,
    former_sessions: &[SessionId],
) -> Result<Vec<Node>, Failure> {
    let tombstone = tombstone(config, create);
    let found = async {
        if mistake!(NoSearch) {
            return Ok(Vec::new());
        }
        if mistake!(NoTombstone) {
            client.flush().await?;
        } else {
            client.settle(&tombstone, config.container_parents, &config.acl).await?;
        }
        claim_own_orphans(config, client, former_sessions).await
    };
    let found = found.await;
    if found.is_ok() {
        client.settled(&tombstone);
    }
    found
}

async fn claim_own_orphans(
    config: &ContenderConfig,
    client: &Arc<Client>,
    former_sessions: &[SessionId],
) -> Result<Vec<Node>, Failure> {
    let ElectionSpec { path, prefix, .. } = &config.spec;
    let identity = config.identity.as_bytes();
    match &config.counter {
        Some(counter) => {
            // Read before the znode is: see `Client::version_of`.
            let version = client.read_counter(counter).await?;
            let mut found = client.claim_orphans([path.clone()], identity, former_sessions).await?;
            if !found.is_empty() {
                let again = client.read_counter(counter).await;
                // If the version has changed, another contender of this session was master in between, and the version
                // may belong to its znode.
                if !matches!(again, Ok(again) if again == version) {
                    if !(again.is_err() && mistake!(LeakedClaim)) {
                        found.iter().for_each(|node| client.release(node));
                    }
                    let changed = || Failure::Rejected(format!("{} was changed concurrently", counter.path));
                    return Err(again.err().unwrap_or_else(changed));
                }
            }
            found.iter_mut().for_each(|node| node.incarnation = Some(version));
            Ok(found)
        }
        None => {
            let children = match client.list(path).await {
                Ok(children) => children,
                Err(Failure::NoNode) => Vec::new(),
                Err(failure) => return Err(failure),
            };
            let paths = naming::contenders(prefix, &children).map(|(_, name)| join(path, name));
            client.claim_orphans(paths.collect::<Vec<_>>(), identity, former_sessions).await
        }
    }
}

async fn watch_ahead(config: &ContenderConfig, client: &Arc<Client>, path: &str) -> Watched {
    let peek = match &config.counter {
        None => client.read_and_watch(path).await?,
        Some(counter) => {
            // Read now, so that the contender can create its znode in one round trip when its turn comes.
            let (peek, counted) =
                futures_util::future::join(client.read_and_watch(path), client.read_counter(counter)).await;
            counted?;
            peek?
        }
    };
    ahead(client, path, peek)
}

/// What a read of the znode ahead says. An orphan is claimed, because nobody else removes it.
fn ahead(client: &Client, path: &str, peek: Option<Peek>) -> Watched {
    if let Some(peek) = &peek
        && let Some(node) = client.claim_orphan(path, peek)?
    {
        return Ok((Seen::Orphan(node), None));
    }
    Ok(stat_check::ahead(peek))
}

fn log<T>(outcome: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(failure) = &outcome {
        telemetry::request_failed(&failure.reason());
    }
    outcome
}
