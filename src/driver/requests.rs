//! The machine's requests, in the words of the session.

use std::sync::Arc;

use super::Contest;
use crate::error::Failure;
use crate::lease::Lease;
use crate::machine::{Plan, Reply, Request, Seen, naming, sight};
use crate::path::{join, split};
use crate::session::{Creation, Live, Watch};
use crate::telemetry;
use crate::types::{Mode, Node, Origin};

/// The answer to a request, with the watch that it left.
pub(super) enum Outcome {
    Reply(Reply),
    Own(Result<(Seen, Option<Watch>), Failure>),
    Ahead(Result<(Seen, Option<Watch>), Failure>),
    /// Master mode: the answer to the create, and a glance at the znode from right behind it.
    Tried(Result<(Node, Lease), Failure>, Option<Glance>),
}

/// A look at a znode that has left a watch.
pub(super) type Glance = Option<(Origin, Watch)>;

/// Sends one request of the machine.
pub(super) async fn send(contest: &Contest, live: Arc<Live>, request: Request) -> Outcome {
    let Plan { mode, path, prefix } = &contest.plan;
    let dir = match mode {
        Mode::Sequential => path.as_str(),
        Mode::Master => split(path).0,
    };
    let data = contest.identity.as_bytes();
    match request {
        Request::Create => match mode {
            Mode::Sequential => {
                let path = &join(path, prefix);
                let creation = Creation { path, sequential: true, data, acl: &contest.acl };
                Outcome::Reply(Reply::Created(log(live.create(creation).await)))
            }
            Mode::Master => {
                // Whoever wins, the next request is for a watch on this znode: it is sent along, and saves
                // waiting for one answer after the other. The create has to be the first, and `join` polls in
                // this order.
                let creation = Creation { path, sequential: false, data, acl: &contest.acl };
                let (created, glance) =
                    futures_util::future::join(live.create(creation), live.read_and_watch(path)).await;
                Outcome::Tried(log(created), glance.ok())
            }
        },
        Request::CreateParents => {
            let created = live.create_parents(dir, contest.container_parents, &contest.acl).await;
            Outcome::Reply(Reply::ParentsCreated(log(created)))
        }
        Request::FindOwn => Outcome::Reply(Reply::Found(log(find_own(contest, &live).await))),
        Request::List => Outcome::Reply(Reply::Listed(log(live.list(dir).await))),
        Request::WatchOwn(node) => {
            Outcome::Own(log(live.read_and_watch(&node.path).await).map(|glance| sight::own(&node, glance)))
        }
        Request::WatchAhead(path) => Outcome::Ahead(log(live.read_and_watch(&path).await).map(sight::ahead)),
        Request::Remove { node, verify } => {
            Outcome::Reply(Reply::Removed(log(live.remove(&node, verify).await)))
        }
    }
}

/// Answers a request from a glance that is there already, if there is one and the request is for one.
pub(super) fn recall(request: &Request, glance: &mut Option<Glance>) -> Option<Outcome> {
    match request {
        Request::WatchOwn(node) => glance.take().map(|glance| Outcome::Own(Ok(sight::own(node, glance)))),
        Request::WatchAhead(_) => glance.take().map(|glance| Outcome::Ahead(Ok(sight::ahead(glance)))),
        _ => None,
    }
}

/// Finds the znodes that an earlier create of this contender may have left.
async fn find_own(contest: &Contest, live: &Arc<Live>) -> Result<Vec<Node>, Failure> {
    let Plan { mode, path, prefix } = &contest.plan;
    live.sync(path).await?;
    let paths = match mode {
        Mode::Master => vec![path.clone()],
        Mode::Sequential => match live.list(path).await {
            Ok(children) => naming::contenders(prefix, &children).map(|(_, name)| join(path, name)).collect(),
            Err(Failure::NoNode) => Vec::new(),
            Err(failure) => return Err(failure),
        },
    };
    live.claim_own(paths, contest.identity.as_bytes()).await
}

fn log<T>(outcome: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(failure) = &outcome {
        telemetry::request_failed(&failure.reason());
    }
    outcome
}
