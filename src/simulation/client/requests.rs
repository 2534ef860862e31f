//! The machine's requests: the same steps as in `driver/requests.rs`, on the simulated client.

use std::rc::Rc;

use futures_util::future::join as both;

use super::fake_client::{FakeClient, WatchId};
use super::wire::Glance;
use super::znodes::{Created, FakeCounter, FakeCreation};
use crate::error::Failure;
use crate::lease::Lease;
use crate::machine::{ElectionSpec, Reply, Request, Seen, Ticket, naming, stat_check};
use crate::path::{join, split};
use crate::simulation::mistakes::Mistake;
use crate::types::{FencingToken, Mode};
use crate::znode::Node;

/// What a contender is configured with.
pub(super) struct Contest {
    pub(super) plan: ElectionSpec,
    pub(super) identity: String,
    /// Tells the contender from all others.
    pub(super) number: u64,
    /// The counter beside a master's path.
    pub(super) counter: Option<FakeCounter>,
}

/// The answer to a request, with the watch that it left.
pub(super) enum FakeOutcome {
    Reply(Reply),
    Own(Result<(Seen, Option<WatchId>), Failure>),
    FakeAhead(Result<FakeAhead, Failure>),
    /// The answer to a create, and what was asked right behind it.
    Tried(Result<(Node, Lease), Failure>, Preview),
}

/// What a look at the znode ahead has told.
pub(super) struct FakeAhead {
    pub(super) seen: Seen,
    pub(super) watch: Option<WatchId>,
    pub(super) token: Option<FencingToken>,
}

/// Answers that are there before the machine asks.
#[derive(Default)]
pub(super) struct Preview {
    /// The znode that was to be created, or in its place the master's.
    glance: Option<Option<Glance>>,
    /// The directory.
    children: Option<Vec<String>>,
}

/// Sends one request of the machine.
pub(super) async fn send(
    contest: Rc<Contest>,
    client: Rc<FakeClient>,
    ticket: Ticket,
    request: Request,
) -> FakeOutcome {
    let ElectionSpec { mode, path, .. } = &contest.plan;
    let dir = match mode {
        Mode::Sequential => path.as_str(),
        Mode::Master => split(path).0,
    };
    match request {
        Request::Create => {
            let (created, preview) = create(&contest, &client, ticket).await;
            FakeOutcome::Tried(created, preview)
        }
        Request::CreateParents => FakeOutcome::Reply(Reply::ParentsCreated(client.create_parents(dir).await)),
        Request::FindOwn(_) if client.makes(Mistake::NoSearch) => {
            FakeOutcome::Reply(Reply::Found(Ok(Vec::new())))
        }
        Request::FindOwn(create) => {
            FakeOutcome::Reply(Reply::Found(find_own(&contest, &client, create).await))
        }
        Request::List => FakeOutcome::Reply(Reply::Listed(client.list(dir).await)),
        Request::WatchOwn(node) => FakeOutcome::Own(
            client.read_and_watch(&node.path).await.map(|glance| own(&client, &node, glance)),
        ),
        Request::WatchAhead(path) => FakeOutcome::FakeAhead(watch_ahead(&contest, &client, &path).await),
        Request::Remove { node, verify } => {
            let removed = client.remove(&node, contest.counter.as_ref(), verify).await;
            FakeOutcome::Reply(Reply::Removed(removed))
        }
    }
}

/// Answers a request from a preview, if there is one and the request is for what it shows.
pub(super) fn recall(client: &FakeClient, request: &Request, preview: &mut Preview) -> Option<FakeOutcome> {
    match request {
        Request::WatchOwn(node) => {
            preview.glance.take().map(|glance| FakeOutcome::Own(Ok(own(client, node, glance))))
        }
        Request::WatchAhead(path) => {
            preview.glance.take().map(|glance| FakeOutcome::FakeAhead(ahead(client, path, glance)))
        }
        Request::List => {
            preview.children.take().map(|children| FakeOutcome::Reply(Reply::Listed(Ok(children))))
        }
        _ => None,
    }
}

async fn create(
    contest: &Contest,
    client: &FakeClient,
    ticket: Ticket,
) -> (Result<(Node, Lease), Failure>, Preview) {
    let ElectionSpec { mode, path, prefix } = &contest.plan;
    let node = match mode {
        Mode::Sequential => join(path, prefix),
        Mode::Master => path.clone(),
    };
    let (tombstone, data) = (&tombstone(contest, ticket), contest.identity.as_str());
    let creation = FakeCreation { path: &node, tombstone, counter: contest.counter.as_ref(), data };
    match client.create_znode(creation).await {
        Ok(Created { node, lease, glance, children }) => {
            (Ok((node, lease)), Preview { glance: Some(Some(glance)), children })
        }
        Err((failure, glance)) => (Err(failure), Preview { glance, children: None }),
    }
}

/// The tombstone of the create with this ticket.
fn tombstone(contest: &Contest, ticket: Ticket) -> String {
    format!("{}{}", contest.plan.path, naming::tombstone(contest.number, ticket.0))
}

/// Finds the znodes that the create with this ticket may have left, which cannot be carried out any more.
async fn find_own(contest: &Contest, client: &FakeClient, create: Ticket) -> Result<Vec<Node>, Failure> {
    let tombstone = tombstone(contest, create);
    client.settle(&tombstone).await?;
    let found = look_for_own(contest, client).await?;
    client.settled(&tombstone);
    Ok(found)
}

async fn look_for_own(contest: &Contest, client: &FakeClient) -> Result<Vec<Node>, Failure> {
    let ElectionSpec { path, prefix, .. } = &contest.plan;
    match &contest.counter {
        Some(counter) => {
            let version = client.count(counter).await?;
            let mut found = client.claim_own(vec![path.clone()], &contest.identity).await?;
            if !found.is_empty() {
                let again = client.count(counter).await;
                if again.as_ref().ok() != Some(&version) {
                    found.iter().for_each(|node| client.forget(node));
                    return Err(again
                        .err()
                        .unwrap_or_else(|| Failure::Rejected("the counter was changed meanwhile".into())));
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
            client.claim_own(paths.collect(), &contest.identity).await
        }
    }
}

async fn watch_ahead(contest: &Contest, client: &FakeClient, path: &str) -> Result<FakeAhead, Failure> {
    let glance = match &contest.counter {
        None => client.read_and_watch(path).await?,
        Some(counter) => {
            let (glance, counted) = both(client.read_and_watch(path), client.count(counter)).await;
            counted?;
            glance?
        }
    };
    ahead(client, path, glance)
}

/// What a look at the own znode has shown.
fn own(client: &FakeClient, node: &Node, glance: Option<Glance>) -> (Seen, Option<WatchId>) {
    let (seen, watch) = stat_check::own(node, glance);
    (seen, watch.filter(|_| !client.makes(Mistake::NoOwnWatch)))
}

/// What a look at the znode ahead has shown.
fn ahead(client: &FakeClient, path: &str, glance: Option<Glance>) -> Result<FakeAhead, Failure> {
    if let Some(glance) = &glance
        && let Some(node) = client.claim_forgotten(path, glance)?
    {
        return Ok(FakeAhead { seen: Seen::Orphan(node), watch: None, token: None });
    }
    let token = glance.as_ref().map(|(origin, _)| origin.token);
    let (seen, watch) = stat_check::ahead(glance);
    Ok(FakeAhead { seen, watch, token })
}
