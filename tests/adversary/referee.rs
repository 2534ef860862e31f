//! Whether two leaderships are valid at the same instant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use testkit::PATIENCE;
use tokio::task::JoinHandle;
use zookeeper_election::{Election, Leadership};

/// Asks all leaderships of each path again and again, from a thread of its own.
#[derive(Clone, Default)]
pub(crate) struct Referee(Arc<Shared>);

#[derive(Default)]
struct Shared {
    leaderships: Mutex<Vec<Entry>>,
    overlaps: Mutex<BTreeMap<String, Overlap>>,
}

#[derive(Clone)]
struct Entry {
    path: String,
    name: String,
    leadership: Arc<Leadership>,
}

/// When two were seen valid at once.
struct Overlap {
    first: Instant,
    last: Instant,
}

impl Referee {
    pub(crate) fn start() -> Self {
        let referee = Self::default();
        let shared = Arc::downgrade(&referee.0);
        thread::spawn(move || watch(&shared));
        referee
    }

    /// Has a contender campaign. Its leadership is asked for its validity from its first moment.
    pub(crate) fn campaign(&self, election: Arc<Election>) -> JoinHandle<Arc<Leadership>> {
        let referee = self.clone();
        tokio::spawn(async move {
            let name = election.identity().to_owned();
            let won = election.campaign().await;
            let leadership = Arc::new(won.unwrap_or_else(|error| panic!("{name} is to lead: {error}")));
            let entry = Entry { path: election.path().to_owned(), name, leadership: leadership.clone() };
            referee.0.leaderships.lock().unwrap().push(entry);
            leadership
        })
    }

    /// Has a contender campaign until it leads.
    pub(crate) async fn leads(&self, election: Arc<Election>) -> Arc<Leadership> {
        let name = election.identity().to_owned();
        let led = tokio::time::timeout(PATIENCE, self.campaign(election)).await;
        led.unwrap_or_else(|_| panic!("{name} is to lead")).expect("the campaign does not panic")
    }

    /// Panics if two leaderships of one path were valid at the same instant.
    pub(crate) fn assert_clean(&self) {
        let say = |(who, Overlap { first, last }): (&String, &Overlap)| {
            format!("{who}, for {:?}", last.duration_since(*first))
        };
        let said: Vec<String> = self.0.overlaps.lock().unwrap().iter().map(say).collect();
        assert!(said.is_empty(), "two leaderships were valid at the same instant: {}", said.join("; "));
    }
}

/// Watches until nobody holds the referee any more.
fn watch(shared: &Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        let leaderships = shared.leaderships.lock().unwrap().clone();
        let valid: Vec<&Entry> = leaderships.iter().filter(|it| it.leadership.is_valid()).collect();
        for (i, one) in valid.iter().enumerate() {
            for other in valid[i + 1..].iter().filter(|other| other.path == one.path) {
                // Validity ends once: who is valid before and after was valid when the other was asked.
                if one.leadership.is_valid() && other.leadership.is_valid() && one.leadership.is_valid() {
                    let now = Instant::now();
                    let who = format!("{} and {} at {}", one.name, other.name, one.path);
                    let mut overlaps = shared.overlaps.lock().unwrap();
                    overlaps.entry(who).or_insert(Overlap { first: now, last: now }).last = now;
                }
            }
        }
        drop(leaderships);
        drop(shared);
        thread::sleep(Duration::from_millis(1));
    }
}
