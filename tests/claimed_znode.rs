//! A contender whose create was lost takes the znode of its twin, whose own reply has not been looked at yet.
//!
//! A program of its own, because it installs a global subscriber of `tracing` that blocks tasks.

mod support;

use std::fmt;
use std::sync::{Condvar, Mutex, Once};
use std::time::Duration;

use support::{
    Contender, Fault, How, OpCode, PATIENCE, Proxy, When, ZooKeeper, eventually, identities, on_both_servers,
    unique_path,
};
use zookeeper_election::{Mode, Session, Standing};

on_both_servers! {
    a_znode_that_a_twin_has_claimed_is_not_used_by_its_creator:
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)];
}

/// Holds up the tasks of contenders.
struct Gate;

/// A contender: its path, and which one it was to be started at this path (from 1).
type Started = (String, usize);

/// All contenders, by the ids of their spans (from 1).
static STARTED: Mutex<Vec<Started>> = Mutex::new(Vec::new());
static HELD: Mutex<Vec<Started>> = Mutex::new(Vec::new());
static RELEASED: Condvar = Condvar::new();

fn hold(path: &str, number: usize) {
    HELD.lock().unwrap().push((path.to_owned(), number));
}

fn release(path: &str, number: usize) {
    HELD.lock().unwrap().retain(|it| *it != (path.to_owned(), number));
    RELEASED.notify_all();
}

impl tracing::Subscriber for Gate {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "contender"
    }

    fn new_span(&self, attributes: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let mut path = PathField::default();
        attributes.record(&mut path);
        let mut started = STARTED.lock().unwrap();
        let number = started.iter().filter(|(other, _)| *other == path.0).count() + 1;
        started.push((path.0, number));
        tracing::span::Id::from_u64(started.len() as u64)
    }

    fn enter(&self, span: &tracing::span::Id) {
        // The task is about to be polled.
        let contender = STARTED.lock().unwrap()[span.into_u64() as usize - 1].clone();
        if HELD.lock().unwrap().contains(&contender) {
            tokio::task::block_in_place(|| {
                drop(RELEASED.wait_while(HELD.lock().unwrap(), |held| held.contains(&contender)));
            });
        }
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// The field `path` of a span.
#[derive(Default)]
struct PathField(String);

impl tracing::field::Visit for PathField {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        if field.name() == "path" {
            self.0 = value.to_owned();
        }
    }

    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn fmt::Debug) {}
}

async fn a_znode_that_a_twin_has_claimed_is_not_used_by_its_creator(zookeeper: ZooKeeper) {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| tracing::subscriber::set_global_default(Gate).unwrap());
    let path = unique_path("stolen");
    // The directory is there, so that the first create is the contender's. This is contender number 1.
    let mut first = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "first").await;
    first.leads().await.resign().await.unwrap();

    let proxy = Proxy::start(zookeeper.connect_string()).await;
    // Long enough for replies that are held up.
    let builder = Session::builder().session_timeout(Duration::from_secs(10));
    let session = builder.connect(&proxy.address()).await.unwrap();
    let twin = || std::sync::Arc::new(session.election(&path).identity("twin").build().unwrap());
    let (a, b) = (twin(), twin());

    // The create of a (contender 2) does not reach the server, and a may not look for it yet.
    proxy.refuse(true);
    proxy.arm(Fault::on_join(When::Before, How::Fin));
    let it = a.clone();
    let a_campaign = tokio::spawn(async move { it.campaign().await });
    proxy.fired().await;
    eventually("a notices", PATIENCE, async || {
        matches!(a.standing(), Standing::Connecting { .. }).then_some(())
    })
    .await;
    hold(&path, 2);
    proxy.refuse(false);
    eventually("a connection", PATIENCE, async || session.id()).await;

    // The create of b (contender 3) succeeds, and b may not look at the reply yet.
    proxy.clear_requests();
    proxy.delay(support::Direction::ToClient, Duration::from_secs(2));
    let it = b.clone();
    let b_campaign = tokio::spawn(async move { it.campaign().await });
    eventually("the create of b", PATIENCE, async || {
        proxy.requests().contains(&OpCode::MULTI_CREATE).then_some(())
    })
    .await;
    hold(&path, 3);
    proxy.delay(support::Direction::ToClient, Duration::ZERO);

    // a takes it for its own, which nobody can tell; b must notice.
    release(&path, 2);
    let led = tokio::time::timeout(PATIENCE, a_campaign).await.expect("a leads").unwrap().unwrap();
    release(&path, 3);
    eventually("b has a place", PATIENCE, async || {
        matches!(b.standing(), Standing::Waiting { .. } | Standing::Leading { .. }).then_some(())
    })
    .await;
    assert!(!b_campaign.is_finished(), "two leaders on {}", led.node());
    assert_eq!(identities(&a).await, ["twin", "twin"]);
    led.resign().await.unwrap();
    let next = tokio::time::timeout(PATIENCE, b_campaign).await.expect("b leads").unwrap().unwrap();
    assert!(next.is_valid());
}
