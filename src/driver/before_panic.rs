//! What a contender's task had under way when it panicked.

use std::panic::AssertUnwindSafe;

use futures_util::future::FutureExt;
use futures_util::stream::StreamExt;

use super::requests::{Outcome, PendingRequests};
use crate::machine::{Reply, Seen};
use crate::session::Client;
use crate::znode::Node;

/// The requests and claims from before a panic.
#[derive(Default)]
pub(super) struct BeforePanic {
    /// These requests may still create a znode, or claim one.
    pub(super) requests: PendingRequests,
    /// The znodes that were claimed.
    pub(super) claimed: Vec<Node>,
}

impl BeforePanic {
    /// Waits for the requests, and releases all claims, so that the znodes are found as orphans.
    pub(super) async fn clear(self, client: &Client) {
        let Self { mut requests, mut claimed } = self;
        loop {
            match AssertUnwindSafe(requests.next()).catch_unwind().await {
                Ok(Some((_, outcome))) => claimed.extend(claims(&outcome).cloned()),
                Ok(None) => break,
                Err(_) => {}
            }
        }
        claimed.iter().for_each(|node| client.release(node));
    }
}

/// The znodes that were claimed with this outcome.
pub(super) fn claims(outcome: &Outcome) -> impl Iterator<Item = &Node> {
    let (one, found) = match outcome {
        Outcome::Reply(Reply::Created(Ok((node, _)))) | Outcome::Created(Ok((node, _)), _) => {
            (Some(node), None)
        }
        Outcome::AheadWatched(Ok((Seen::Orphan(node), _))) => (Some(node), None),
        Outcome::Reply(Reply::Found(Ok(nodes))) => (None, Some(nodes)),
        _ => (None, None),
    };
    one.into_iter().chain(found.into_iter().flatten())
}
