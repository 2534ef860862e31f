//! A contender whose create was lost takes the znode of its twin, whose own reply has not been looked at yet.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use support::{
    Contender, Ensemble, Fault, How, OpCode, PATIENCE, Proxy, When, eventually, identities, unique_path,
};
use zookeeper_election::{Mode, Session, Standing};

/// Holds up the tasks of contenders, which are told apart by the order in which they were started (from 1).
struct Gate;

static SPANS: AtomicU64 = AtomicU64::new(0);
static CLOSED: Mutex<Vec<u64>> = Mutex::new(Vec::new());
static OPENED: Condvar = Condvar::new();

fn hold(contender: u64) {
    CLOSED.lock().unwrap().push(contender);
}

fn release(contender: u64) {
    CLOSED.lock().unwrap().retain(|it| *it != contender);
    OPENED.notify_all();
}

impl tracing::Subscriber for Gate {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "contender"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(SPANS.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn enter(&self, span: &tracing::span::Id) {
        // The task is about to be polled.
        let id = span.into_u64();
        if CLOSED.lock().unwrap().contains(&id) {
            tokio::task::block_in_place(|| {
                drop(OPENED.wait_while(CLOSED.lock().unwrap(), |closed| closed.contains(&id)));
            });
        }
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_znode_that_a_twin_has_claimed_is_not_used_by_its_creator() {
    tracing::subscriber::set_global_default(Gate).unwrap();
    let ensemble = Ensemble::start(1).await;
    let path = unique_path("stolen");
    // The directory is there, so that the first create is the contender's. This is contender number 1.
    let mut first = Contender::join(&ensemble.connect_string(), &path, Mode::Sequential, "first").await;
    first.leads().await.resign().await.unwrap();

    let proxy = Proxy::start(ensemble.server(0).address()).await;
    // Long enough for replies that are held up.
    let builder = Session::builder().session_timeout(Duration::from_secs(10));
    let session = builder.connect(&proxy.address()).await.unwrap();
    let twin = || std::sync::Arc::new(session.election(&path).identity("twin").build().unwrap());
    let (a, b) = (twin(), twin());

    // The create of a (contender 2) does not reach the server, and a may not look for it yet.
    proxy.refuse(true);
    proxy.arm(Fault::on_create(When::Before, How::Fin));
    let it = a.clone();
    let a_campaign = tokio::spawn(async move { it.campaign().await });
    proxy.fired().await;
    eventually("a notices", PATIENCE, async || {
        matches!(a.standing(), Standing::Connecting { .. }).then_some(())
    })
    .await;
    hold(2);
    proxy.refuse(false);
    eventually("a connection", PATIENCE, async || session.id()).await;

    // The create of b (contender 3) succeeds, and b may not look at the reply yet.
    proxy.clear_requests();
    proxy.delay(support::Direction::ToClient, Duration::from_secs(2));
    let it = b.clone();
    let b_campaign = tokio::spawn(async move { it.campaign().await });
    eventually("the create of b", PATIENCE, async || {
        proxy.requests().contains(&OpCode::CREATE2).then_some(())
    })
    .await;
    hold(3);
    proxy.delay(support::Direction::ToClient, Duration::ZERO);

    // a takes it for its own, which nobody can tell; b must notice.
    release(2);
    let led = tokio::time::timeout(PATIENCE, a_campaign).await.expect("a leads").unwrap().unwrap();
    release(3);
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
