//! The heartbeat of a session, as in `session/heartbeat.rs`: proofs while somebody wants them, cheap reads otherwise.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::fake_client::FakeClient;
use super::wire::FakeProof;
use crate::error::Failure;
use crate::simulation::mistakes::Mistake;
use crate::timestamp::Timestamp;

/// How many beats may wait for their answers at a time.
const MOST_UNDER_WAY: usize = 8;

type FakeBeat = Pin<Box<dyn Future<Output = Option<Result<FakeProof, Failure>>>>>;

pub(super) struct FakeHeartbeat {
    /// When to beat next; never, while there is no connection.
    due: Option<Timestamp>,
    under_way: Vec<FakeBeat>,
    /// The znodes for whose sake proofs are wanted.
    wanted: BTreeMap<u64, String>,
    numbers: u64,
    /// The last one that was checked: they take turns.
    last: u64,
    /// When the newest proof that was told was sent.
    newest: Option<Timestamp>,
}

impl FakeHeartbeat {
    pub(super) fn new() -> Self {
        let (wanted, under_way) = (BTreeMap::new(), Vec::new());
        Self { due: None, under_way, wanted, numbers: 0, last: 0, newest: None }
    }

    /// Asks for proofs from now on, and `at_once` for the first; returns a number to take this back.
    pub(super) fn prove(&mut self, path: &str, at_once: bool, now: Timestamp) -> u64 {
        self.numbers += 1;
        self.wanted.insert(self.numbers, path.to_owned());
        self.due = self.due.map(|due| if at_once { now } else { due });
        self.numbers
    }

    pub(super) fn wants_proofs(&self) -> bool {
        !self.wanted.is_empty()
    }

    pub(super) fn prove_no_more(&mut self, number: u64) {
        self.wanted.remove(&number);
    }

    pub(super) fn on_connected(&mut self, now: Timestamp) {
        self.due = Some(now);
    }

    pub(super) fn on_disconnected(&mut self) {
        self.due = None;
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.due.filter(|_| self.under_way.len() < MOST_UNDER_WAY)
    }

    /// Beats, if it is time to; returns whether it did.
    pub(super) fn beat(&mut self, client: &Rc<FakeClient>) -> bool {
        let now = client.now();
        if self.wake_at().is_none_or(|due| now < due) {
            return false;
        }
        let pace = if client.makes(Mistake::BeatsTooOften) { 2 } else { 1 };
        self.due = Some(now + client.terms().beat() / pace);
        let (path, client) = (self.next_path(), client.clone());
        self.under_way.push(match path {
            Some(path) => Box::pin(async move { Some(client.prove(&path).await) }),
            None => Box::pin(async move {
                client.beat().await;
                None
            }),
        });
        true
    }

    fn next_path(&mut self) -> Option<String> {
        let after = self.wanted.range(self.last + 1..).next();
        let (number, path) = after.or_else(|| self.wanted.first_key_value())?;
        self.last = *number;
        Some(path.clone())
    }

    /// The proofs that have come in, but for those that are older than one that was told before.
    pub(super) fn poll(&mut self) -> Vec<FakeProof> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut proofs = Vec::new();
        self.under_way.retain_mut(|beat| match beat.as_mut().poll(&mut cx) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                proofs.extend(outcome.and_then(Result::ok));
                false
            }
        });
        proofs.retain(|proof| {
            let newer = self.newest.is_none_or(|newest| newest < proof.sent);
            if newer {
                self.newest = Some(proof.sent);
            }
            newer
        });
        proofs
    }
}
