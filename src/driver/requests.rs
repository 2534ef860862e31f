//! The machine's requests, in the words of the session.

use std::sync::Arc;

use super::Contest;
use crate::error::Failure;
use crate::machine::{Plan, Reply, Request, Seen, naming};
use crate::path::{join, split};
use crate::session::{Creation, Live, Watch};
use crate::telemetry;
use crate::types::{Mode, Node};

/// The answer to a request, with the watch that it left.
pub(super) enum Outcome {
    Reply(Reply),
    Own(Result<(Seen, Option<Watch>), Failure>),
    Ahead(Result<(Seen, Option<Watch>), Failure>),
}

/// Sends one request of the machine.
pub(super) async fn send(contest: &Contest, live: Arc<Live>, request: Request) -> Outcome {
    let Plan { mode, path, prefix } = &contest.plan;
    let dir = match mode {
        Mode::Sequential => path.as_str(),
        Mode::Master => split(path).0,
    };
    let data = contest.identity.as_bytes();
    match request {
        Request::Create => {
            let name = join(path, prefix);
            let (path, sequential) = match mode {
                Mode::Sequential => (name.as_str(), true),
                Mode::Master => (path.as_str(), false),
            };
            let creation = Creation { path, sequential, data, acl: &contest.acl };
            Outcome::Reply(Reply::Created(log(live.create(creation).await)))
        }
        Request::CreateParents => {
            let created = live.create_parents(dir, contest.container_parents, &contest.acl).await;
            Outcome::Reply(Reply::ParentsCreated(log(created)))
        }
        Request::FindOwn => Outcome::Reply(Reply::Found(log(find_own(contest, &live).await))),
        Request::List => Outcome::Reply(Reply::Listed(log(live.list(dir).await))),
        Request::WatchOwn(node) => {
            Outcome::Own(log(live.watch(&node.path).await).map(|(origin, watch)| match origin {
                None => (Seen::Nothing, None),
                Some(origin) if origin.token == node.token => (Seen::Standing, Some(watch)),
                Some(_) => (Seen::Other, None),
            }))
        }
        Request::WatchAhead(path) => {
            Outcome::Ahead(log(live.watch(&path).await).map(|(origin, watch)| match origin {
                None => (Seen::Nothing, None),
                Some(origin) if origin.owner.is_some() => (Seen::Standing, Some(watch)),
                Some(_) => (Seen::Other, Some(watch)),
            }))
        }
        Request::Remove { node, verify } => {
            Outcome::Reply(Reply::Removed(log(live.remove(&node, verify).await)))
        }
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
