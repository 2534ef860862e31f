//! The operating system takes a thread off the processor at the worst moment, here by a subscriber of `tracing` that
//! blocks it.
//!
//! A program of its own, because that subscriber is global.

mod support;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use support::{Contender, SESSION_TIMEOUT, ZooKeeper, connect, unique_path};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, span};
use zookeeper_election::zookeeper_client::{Acls, Client, CreateMode};
use zookeeper_election::{Mode, Standing};

/// Blocks the thread that emits an event with this message, once: tells that it has come, and waits.
struct Blocking {
    message: &'static str,
    doors: Mutex<Option<(SyncSender<()>, Receiver<()>)>>,
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl tracing::Subscriber for Blocking {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "zookeeper_election"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        if message.0 == self.message
            && let Some((come, go)) = self.doors.lock().unwrap().take()
        {
            come.send(()).unwrap();
            // The other end is dropped when the test is over.
            let _ = go.recv();
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A write that was found to be rightful is sent before the znode goes, also when the leader withdraws at that moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_guarded_write_is_sent_before_the_znode_goes() {
    let (come, has_come) = sync_channel(1);
    let (go, may_go) = sync_channel(1);
    let doors = Mutex::new(Some((come, may_go)));
    tracing::subscriber::set_global_default(Blocking { message: "sending a guarded write", doors }).unwrap();

    let zookeeper = ZooKeeper::embedded().await;
    let path = unique_path("descheduled");
    let session = connect(&zookeeper.connect_string()).await;
    let election = Arc::new(session.election(&path).mode(Mode::Master).build().unwrap());
    let leadership = election.campaign().await.unwrap();
    let operator = Client::connect(&zookeeper.connect_string()).await.unwrap();
    let mut next = Contender::join(&zookeeper.connect_string(), &path, Mode::Master, "next").await;

    let state = unique_path("state");
    let writing = {
        let state = state.clone();
        tokio::spawn(async move {
            let guarded = leadership.guarded();
            guarded.create(state, b"written", CreateMode::Persistent, &Acls::anyone_all()).commit().await
        })
    };
    tokio::task::spawn_blocking(move || has_come.recv().unwrap()).await.unwrap();
    // The lease was looked at, and the request is not sent yet.
    let withdrawing = {
        let election = election.clone();
        tokio::spawn(async move { election.withdraw().await })
    };
    tokio::time::sleep(SESSION_TIMEOUT / 4).await;
    assert!(!withdrawing.is_finished(), "the znode goes while a write is about to be sent");
    assert!(matches!(next.election.standing(), Standing::Waiting { .. }), "{:?}", next.election.standing());
    go.send(()).unwrap();
    let written = writing.await.unwrap();
    withdrawing.await.unwrap().unwrap();
    assert!(next.leads().await.is_valid());
    written.expect("it was found to be rightful");
    assert!(operator.check_stat(&state).await.unwrap().is_some());
}
