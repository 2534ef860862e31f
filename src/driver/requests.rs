//! The machine's requests, in the words of the session.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Contest;
use crate::error::Failure;
use crate::lease::Lease;
use crate::machine::{Plan, Reply, Request, Seen, Ticket, naming, sight};
use crate::path::{join, split};
use crate::session::{Creation, Glance, Live, NotCreated, Preview, Watch};
use crate::telemetry;
use crate::types::{Mode, Node};

/// The answer to a request, with the watch that it left.
pub(super) enum Outcome {
    Reply(Reply),
    Own(Result<(Seen, Option<Watch>), Failure>),
    Ahead(Result<(Seen, Option<Watch>), Failure>),
    /// The answer to a create, and what was asked right behind it.
    Tried(Result<(Node, Lease), Failure>, Preview),
}

/// Sends one request of the machine.
pub(super) async fn send(contest: &Contest, live: Arc<Live>, ticket: Ticket, request: Request) -> Outcome {
    let Plan { mode, path, .. } = &contest.plan;
    let dir = match mode {
        Mode::Sequential => path.as_str(),
        Mode::Master => split(path).0,
    };
    match request {
        Request::Create => {
            let (created, preview) = create(contest, &live, ticket).await;
            Outcome::Tried(log(created), preview)
        }
        Request::CreateParents => {
            let created = live.create_parents(dir, contest.container_parents, &contest.acl).await;
            Outcome::Reply(Reply::ParentsCreated(log(created)))
        }
        Request::FindOwn(create) => Outcome::Reply(Reply::Found(log(find_own(contest, &live, create).await))),
        Request::List => Outcome::Reply(Reply::Listed(log(live.list(dir).await))),
        Request::WatchOwn(node) => {
            Outcome::Own(log(live.read_and_watch(&node.path).await).map(|glance| sight::own(&node, glance)))
        }
        Request::WatchAhead(path) => Outcome::Ahead(log(watch_ahead(contest, &live, &path).await)),
        Request::Remove { node, verify } => {
            let removed = live.remove(&node, contest.counter.as_ref(), verify).await;
            Outcome::Reply(Reply::Removed(log(removed)))
        }
    }
}

/// Answers a request from a preview, if there is one and the request is for what it shows.
pub(super) fn recall(live: &Live, request: &Request, preview: &mut Preview) -> Option<Outcome> {
    match request {
        Request::WatchOwn(node) => {
            preview.glance.take().map(|glance| Outcome::Own(Ok(sight::own(node, glance))))
        }
        Request::WatchAhead(path) => {
            preview.glance.take().map(|glance| Outcome::Ahead(ahead(live, path, glance)))
        }
        Request::List => preview.children.take().map(|children| Outcome::Reply(Reply::Listed(Ok(children)))),
        _ => None,
    }
}

/// Creates the contender's znode, once if that is possible at all.
async fn create(
    contest: &Contest,
    live: &Arc<Live>,
    ticket: Ticket,
) -> (Result<(Node, Lease), Failure>, Preview) {
    let Plan { mode, path, prefix } = &contest.plan;
    let node = match mode {
        Mode::Sequential => join(path, prefix),
        Mode::Master => path.clone(),
    };
    loop {
        let tombstone = &tombstone(contest, ticket);
        let data = contest.identity.as_bytes();
        let counter = contest.counter.as_ref();
        let creation = Creation { path: &node, tombstone, counter, data, acl: &contest.acl };
        let mut preview = Preview::default();
        let created = match live.create(creation, &mut preview).await {
            Ok(created) => Ok(created),
            // Without permission beside the directory, try inside it.
            Err(NotCreated::TombstoneRefused(_))
                if *mode == Mode::Sequential && !contest.tombstones_inside.swap(true, Ordering::Relaxed) =>
            {
                continue;
            }
            Err(NotCreated::TombstoneRefused(failure) | NotCreated::Failed(failure)) => Err(failure),
        };
        return (created, preview);
    }
}

/// The tombstone of the create with this ticket. It is beside the election's directory, as each create in there raises the
/// number of the next contender and may be seen by other clients; unless only contenders' znodes may be created.
fn tombstone(contest: &Contest, ticket: Ticket) -> String {
    let path = &contest.plan.path;
    let name = naming::tombstone(contest.number, ticket.0);
    if contest.tombstones_inside.load(Ordering::Relaxed) {
        join(path, &name)
    } else {
        format!("{path}{name}")
    }
}

/// Finds the znodes that the create with this ticket may have left, which cannot be carried out any more.
async fn find_own(contest: &Contest, live: &Arc<Live>, create: Ticket) -> Result<Vec<Node>, Failure> {
    let tombstone = tombstone(contest, create);
    let found = async {
        live.settle(&tombstone, contest.container_parents, &contest.acl).await?;
        look_for_own(contest, live).await
    };
    let found = found.await;
    if found.is_ok() {
        live.settled(&tombstone);
    }
    found
}

async fn look_for_own(contest: &Contest, live: &Arc<Live>) -> Result<Vec<Node>, Failure> {
    let Plan { path, prefix, .. } = &contest.plan;
    let identity = contest.identity.as_bytes();
    match &contest.counter {
        Some(counter) => {
            // Before the look at the znode: see `Live::remove`.
            let version = live.count(counter).await?;
            let mut found = live.claim_own([path.clone()], identity).await?;
            if !found.is_empty() {
                let again = live.count(counter).await;
                // Another contender of this session may have been master in between: which version is whose?
                if !matches!(again, Ok(again) if again == version) {
                    found.iter().for_each(|node| live.release(node));
                    let changed = || Failure::Rejected(format!("{} was changed meanwhile", counter.path));
                    return Err(again.err().unwrap_or_else(changed));
                }
            }
            found.iter_mut().for_each(|node| node.incarnation = Some(version));
            Ok(found)
        }
        None => {
            let children = match live.list(path).await {
                Ok(children) => children,
                Err(Failure::NoNode) => Vec::new(),
                Err(failure) => return Err(failure),
            };
            let paths = naming::contenders(prefix, &children).map(|(_, name)| join(path, name));
            live.claim_own(paths.collect::<Vec<_>>(), identity).await
        }
    }
}

async fn watch_ahead(
    contest: &Contest,
    live: &Arc<Live>,
    path: &str,
) -> Result<(Seen, Option<Watch>), Failure> {
    let glance = match &contest.counter {
        None => live.read_and_watch(path).await?,
        Some(counter) => {
            // A contender that waits knows the counter when its turn comes.
            let (glance, counted) =
                futures_util::future::join(live.read_and_watch(path), live.count(counter)).await;
            counted?;
            glance?
        }
    };
    ahead(live, path, glance)
}

/// What a look at the znode ahead has shown.
fn ahead(live: &Live, path: &str, glance: Option<Glance>) -> Result<(Seen, Option<Watch>), Failure> {
    if let Some(glance) = &glance
        && let Some(node) = live.claim_forgotten(path, glance)?
    {
        return Ok((Seen::Forgotten(node), None));
    }
    Ok(sight::ahead(glance))
}

fn log<T>(outcome: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(failure) = &outcome {
        telemetry::request_failed(&failure.reason());
    }
    outcome
}
