//! Where the requests of a process wait for their answers, and what they share: the session, the watches, the claims,
//! the evidence for leases. Stands in for the ZooKeeper client.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::claims::FakeClaims;
use crate::error::Failure;
use crate::lease::{DEFAULT_MARGIN, Evidence, Lease, Terms};
use crate::simulation::mistakes::Mistake;
use crate::timestamp::Timestamp;
use crate::types::SessionId;
use zookeeper_embedded::replica::{Body, Code, Request};

/// A request's number.
pub(super) type Slot = u64;
/// A watch, by a number that no other has had in this process.
pub(super) type WatchId = u64;

pub(super) type Answer = Result<Body, Failure>;

pub(super) struct FakeClient {
    mistake: Option<Mistake>,
    state: RefCell<State>,
}

pub(super) struct State {
    mistake: Option<Mistake>,
    /// What the clock of the process shows.
    pub(super) now: Timestamp,
    pub(super) session: Option<SessionId>,
    pub(super) evidence: Option<Evidence>,
    /// The client has lost its connection or connected anew by itself since that was noted last.
    pub(super) moved: bool,
    /// The session timeout that was negotiated last.
    pub(super) newest_timeout: Duration,
    pub(super) claims: FakeClaims,
    /// Requests to be sent.
    pub(super) outgoing: VecDeque<(Slot, Request)>,
    /// The requests that wait for an answer, and when they were made.
    waiting: BTreeMap<Slot, Timestamp>,
    answers: BTreeMap<Slot, Answer>,
    watches: BTreeMap<String, Vec<WatchId>>,
    /// Watches that have fired before anybody has taken them: whether their znodes were deleted.
    fired: BTreeMap<WatchId, bool>,
    slots: Slot,
    watch_ids: WatchId,
}

impl FakeClient {
    pub(super) fn new(mistake: Option<Mistake>) -> Self {
        Self {
            mistake,
            state: RefCell::new(State {
                mistake,
                now: Timestamp::MIN,
                session: None,
                evidence: None,
                moved: false,
                newest_timeout: Duration::ZERO,
                claims: FakeClaims::default(),
                outgoing: VecDeque::new(),
                waiting: BTreeMap::new(),
                answers: BTreeMap::new(),
                watches: BTreeMap::new(),
                fired: BTreeMap::new(),
                slots: 0,
                watch_ids: 0,
            }),
        }
    }

    /// Whether this mistake is to be made.
    pub(super) fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// Makes a request and waits for its answer.
    pub(super) async fn call(&self, request: Request) -> Answer {
        let slot = self.state().enter(request);
        poll_fn(|_| match self.state().answers.remove(&slot) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        })
        .await
    }

    /// What the clock shows.
    pub(super) fn now(&self) -> Timestamp {
        self.state().now
    }

    /// What leases are measured with.
    pub(super) fn terms(&self) -> Terms {
        let state = self.state();
        let evidence = state.evidence.as_ref().expect("whoever beats is connected");
        evidence.terms()
    }

    /// The lease that a transaction grants which was sent at `sent` or later and has committed just now.
    pub(super) fn lease(&self, sent: Timestamp) -> Lease {
        let mut state = self.state();
        state.note_moves();
        let now = state.now;
        let stretch = state.stretch();
        let Some(evidence) = &mut state.evidence else {
            return Lease::OVER;
        };
        let timeout = evidence.terms().session_timeout();
        match self.mistake {
            Some(Mistake::CountedFromTheAnswer) => evidence.lease(now),
            Some(Mistake::WholeTimeout) => Lease::until(sent + timeout),
            Some(Mistake::NoEvidence) => Lease::until(sent + timeout / 2),
            Some(Mistake::EndlessLease) => Lease::until(sent + timeout * 1000),
            _ => Lease::until(evidence.lease(sent).end() + stretch),
        }
    }

    /// A lease that was granted before the session timeout was known to be shorter may be too long.
    pub(super) fn capped(&self, lease: Lease) -> Lease {
        match self.mistake {
            // These leases are not granted by the evidence.
            Some(Mistake::WholeTimeout | Mistake::NoEvidence | Mistake::EndlessLease) => lease,
            _ => lease.min(self.longest_lease()),
        }
    }

    /// The lease that is granted without another transaction.
    pub(super) fn longest_lease(&self) -> Lease {
        let state = self.state();
        let longest = state.evidence.as_ref().map_or(Lease::OVER, Evidence::longest);
        Lease::until(longest.end() + state.stretch())
    }

    /// A watch was left on a znode.
    pub(super) fn watch(&self, path: &str) -> WatchId {
        let mut state = self.state();
        state.watch_ids += 1;
        let watch = state.watch_ids;
        state.watches.entry(path.to_owned()).or_default().push(watch);
        watch
    }
}

impl State {
    /// Enters a request, to be sent next.
    pub(super) fn enter(&mut self, request: Request) -> Slot {
        // What is sent from now on is not taken for a request on the connection before.
        self.note_moves();
        self.slots += 1;
        self.outgoing.push_back((self.slots, request));
        self.waiting.insert(self.slots, self.now);
        self.slots
    }

    /// A server has answered.
    pub(super) fn answer(&mut self, slot: Slot, result: Result<Body, Code>) {
        if let Some(sent) = self.waiting.remove(&slot) {
            self.note_moves();
            if let Some(evidence) = &mut self.evidence {
                let relay = evidence.terms().session_timeout() / 4;
                match self.mistake {
                    Some(Mistake::CountedFromTheAnswer) => evidence.answered(self.now, self.now),
                    Some(Mistake::NoRelay) => evidence.answered(sent, self.now.before(relay)),
                    _ => evidence.answered(sent, self.now),
                }
            }
            self.answers.insert(slot, result.map_err(classify));
        }
    }

    /// By how much longer leases are thought to be than they are.
    fn stretch(&self) -> Duration {
        let known = self.evidence.as_ref().map(|evidence| evidence.terms().session_timeout());
        match (self.mistake, known) {
            (Some(Mistake::NewestTimeout), Some(known)) => {
                self.newest_timeout.saturating_sub(known).mul_f64(1.0 - DEFAULT_MARGIN)
            }
            _ => Duration::ZERO,
        }
    }

    /// Takes note of it if the client has lost its connection or connected anew by itself.
    fn note_moves(&mut self) {
        if std::mem::take(&mut self.moved)
            && self.mistake != Some(Mistake::OlderConnectionCounts)
            && let Some(evidence) = &mut self.evidence
        {
            evidence.moved(self.now);
        }
    }

    /// Nobody knows what became of a request.
    pub(super) fn fail(&mut self, slot: Slot, reason: &str) {
        if self.waiting.remove(&slot).is_some() {
            self.answers.insert(slot, Err(Failure::Unknown(reason.into())));
        }
    }

    /// Takes an answer that nobody else waits for.
    pub(super) fn take_answer(&mut self, slot: Slot) -> Option<Answer> {
        self.answers.remove(&slot)
    }

    /// Drops answers that nobody has taken: of requests that were given up.
    pub(super) fn forget_answers(&mut self) {
        self.answers.clear();
    }

    /// The paths with watches.
    pub(super) fn watched(&self) -> Vec<String> {
        self.watches.keys().cloned().collect()
    }

    /// The watches that an event at a path fires.
    pub(super) fn fire(&mut self, path: &str, deleted: bool) -> Vec<WatchId> {
        let fired = self.watches.remove(path).unwrap_or_default();
        self.fired.extend(fired.iter().map(|watch| (*watch, deleted)));
        fired
    }

    /// Whether a watch has fired before it was taken, and its znode was deleted.
    pub(super) fn has_fired(&mut self, watch: WatchId) -> Option<bool> {
        self.fired.remove(&watch)
    }

    /// The client is replaced, and knows of no watches.
    pub(super) fn forget_watches(&mut self) {
        self.watches.clear();
        self.fired.clear();
    }
}

fn classify(code: Code) -> Failure {
    match code {
        Code::NO_NODE => Failure::NoNode,
        Code::NODE_EXISTS => Failure::NodeExists,
        code => Failure::Unknown(format!("{code:?}")),
    }
}
