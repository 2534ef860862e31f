//! Panics on the library's tasks, which only a fault of the library can cause, or what the application has plugged into
//! it: no znode is left on a session that lives on, and the next one leads.
//!
//! A program of its own, because it installs a global subscriber of `tracing` that panics.

mod support;

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use support::{
    Contender, PATIENCE, SESSION_TIMEOUT, ZooKeeper, connect, eventually, on_both_servers, unique_path,
};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};
use zookeeper_election::zookeeper_client::Client;
use zookeeper_election::{Connect, ConnectError, Error, Lost, Mode, Resume, Session, Standing, async_trait};

on_both_servers! {
    a_contender_whose_task_panics_leaves_no_znode_and_can_campaign_again;
    a_leader_whose_task_panics_steps_down_and_its_znode_stays_until_its_work_has_ended;
    panics_in_a_row_delay_the_removal_and_do_not_prevent_it;
    a_connect_of_the_application_s_that_panics_or_fails_late_is_asked_again_and_the_session_lives_on;
}

/// A subscriber of the application's that panics at certain events of certain contenders: the one way to make a
/// contender's task panic from outside.
struct Clumsy;

/// Who panics, where, and how often.
struct Trap {
    identity: String,
    /// A part of the event.
    at: &'static str,
    times: u32,
    /// What the panic waits for.
    gate: Option<Arc<AtomicBool>>,
}

static TRAPS: Mutex<Vec<Trap>> = Mutex::new(Vec::new());

/// Has the task of this contender panic at the next events that contain `at`.
fn trap(identity: &str, at: &'static str, times: u32) {
    trap_behind(None, identity, at, times);
}

fn trap_behind(gate: Option<Arc<AtomicBool>>, identity: &str, at: &'static str, times: u32) {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| {
        tracing::subscriber::set_global_default(Registry::default().with(Clumsy)).expect("the first one");
    });
    TRAPS.lock().unwrap().push(Trap { identity: identity.to_owned(), at, times, gate });
}

/// Whether the task of this contender has panicked as often as it was to.
fn sprung(identity: &str) -> bool {
    TRAPS.lock().unwrap().iter().filter(|trap| trap.identity == identity).all(|trap| trap.times == 0)
}

/// The fields of a span or an event, as a text.
#[derive(Default)]
struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Clumsy {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: Context<'_, S>,
    ) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event).filter(|span| span.name() == "contender") else { return };
        let Some(contender) = span.extensions().get::<Fields>().map(|fields| fields.0.clone()) else {
            return;
        };
        drop(span);
        let mut fields = Fields::default();
        event.record(&mut fields);
        let sprung = TRAPS.lock().unwrap().iter_mut().find_map(|trap| {
            let springs = trap.times > 0
                && contender.contains(&format!("identity={:?}", trap.identity))
                && fields.0.contains(trap.at);
            trap.times -= u32::from(springs);
            springs.then(|| trap.gate.clone())
        });
        let Some(gate) = sprung else { return };
        while gate.as_ref().is_some_and(|gate| !gate.load(Ordering::SeqCst)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("a trap of the test: {}", fields.0);
    }
}

/// The number of znodes in an election, in both modes.
async fn znodes(operator: &Client, path: &str, mode: Mode) -> usize {
    if mode == Mode::Master {
        return usize::from(operator.check_stat(path).await.unwrap().is_some());
    }
    operator.list_children(path).await.unwrap_or_default().len()
}

async fn a_contender_whose_task_panics_leaves_no_znode_and_can_campaign_again(zookeeper: ZooKeeper) {
    let servers = zookeeper.connect_string();
    let operator = Client::connect(&servers).await.unwrap();
    let session = connect(&servers).await;
    let id = session.id();
    for mode in [Mode::Sequential, Mode::Master] {
        // While the create is being sent, and when leading begins.
        for at in ["standing=Joining", "message=leading"] {
            let path = unique_path("panic");
            let identity = &path;
            let election = session.election(&path).mode(mode).identity(identity).build().unwrap();
            trap(identity, at, 1);
            let campaign = tokio::time::timeout(PATIENCE, election.campaign()).await.expect("an end");
            assert!(matches!(campaign, Err(Error::ContenderFailed { .. })), "{mode} {at}: {campaign:?}");
            election.withdraw().await.unwrap();
            assert_eq!(znodes(&operator, &path, mode).await, 0, "{mode} {at}: it is removed");
            assert_eq!(election.standing(), Standing::Idle);
            let leadership = election.campaign().await.unwrap();
            let mut b = Contender::join(&servers, &path, mode, "b").await;
            leadership.resign().await.unwrap();
            b.leads().await.resign().await.unwrap();
        }
    }
    assert_eq!(session.id(), id, "the session lives on");
    session.close().await.unwrap();
}

async fn a_leader_whose_task_panics_steps_down_and_its_znode_stays_until_its_work_has_ended(
    zookeeper: ZooKeeper,
) {
    let servers = zookeeper.connect_string();
    for mode in [Mode::Sequential, Mode::Master] {
        let path = unique_path("panic");
        let identity = &path;
        let session = connect(&servers).await;
        let election = session.election(&path).mode(mode).identity(identity).build().unwrap();
        // The leadership has been handed over right before.
        let begun = Arc::new(AtomicBool::new(false));
        trap_behind(Some(begun.clone()), identity, "standing=Leading", 1);
        let leadership = Arc::new(election.campaign().await.unwrap());
        let it = leadership.clone();
        let work = tokio::spawn(async move {
            let work = async {
                begun.store(true, Ordering::SeqCst);
                std::thread::sleep(SESSION_TIMEOUT / 4);
                Instant::now()
            };
            it.hold(work).await
        });
        let mut b = Contender::join(&servers, &path, mode, "b").await;
        let lost = support::lost(&leadership).await;
        assert_eq!(lost, Lost::ContenderFailed);
        assert!(!leadership.is_valid());
        let next = b.leads().await;
        let since = Instant::now();
        let ended = work.await.unwrap().expect("the work has ended before it could be dropped");
        assert!(since > ended, "{mode}: the next led {:?} before the work ended", ended - since);
        assert!(session.id().is_some() && sprung(identity));
        next.resign().await.unwrap();
        election.withdraw().await.unwrap();
    }
}

async fn panics_in_a_row_delay_the_removal_and_do_not_prevent_it(zookeeper: ZooKeeper) {
    let path = unique_path("panics");
    let servers = zookeeper.connect_string();
    let operator = Client::connect(&servers).await.unwrap();
    let session = connect(&servers).await;
    let election = session.election(&path).identity(&path).build().unwrap();
    let leadership = election.campaign().await.unwrap();
    // At whatever the task has to say, what it says about its panic included.
    trap(&path, "message=", 6);
    drop(leadership);
    eventually("six panics", PATIENCE, async || sprung(&path).then_some(())).await;
    eventually("no znode", PATIENCE, async || {
        (znodes(&operator, &path, Mode::Sequential).await == 0).then_some(())
    })
    .await;
    election.withdraw().await.unwrap();
    let again = tokio::time::timeout(PATIENCE, election.campaign()).await.expect("an end").unwrap();
    assert!(again.is_valid());
    session.close().await.unwrap();
}

/// What an application's `Connect` does instead of returning a client.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mishap {
    PanicsBefore,
    PanicsBehind,
    FailsBehind,
}

struct Faltering {
    servers: String,
    mishaps: Arc<Mutex<VecDeque<Mishap>>>,
}

#[async_trait]
impl Connect for Faltering {
    async fn connect(&self, resume: Option<Resume>) -> Result<Client, ConnectError> {
        let is_next = |mishap| {
            let mut mishaps = self.mishaps.lock().unwrap();
            mishaps.front() == Some(&mishap) && mishaps.pop_front().is_some()
        };
        assert!(!is_next(Mishap::PanicsBefore), "before connecting");
        let mut connector = Client::connector().with_fail_eagerly().with_session_timeout(SESSION_TIMEOUT);
        if let Some(resume) = resume {
            connector = connector.with_session(resume.session);
        }
        let client = connector.connect(&self.servers).await?;
        // The client is of use already.
        client.check_stat("/").await?;
        assert!(!is_next(Mishap::PanicsBehind), "when the session is taken up");
        if is_next(Mishap::FailsBehind) {
            return Err(ConnectError::Retry("when the session is taken up".into()));
        }
        Ok(client)
    }
}

async fn a_connect_of_the_application_s_that_panics_or_fails_late_is_asked_again_and_the_session_lives_on(
    mut zookeeper: ZooKeeper,
) {
    use Mishap::{FailsBehind, PanicsBefore, PanicsBehind};
    let mishaps = Arc::new(Mutex::new(VecDeque::from([PanicsBefore, PanicsBehind, FailsBehind])));
    let connect = Faltering { servers: zookeeper.connect_string(), mishaps: mishaps.clone() };
    let builder = Session::builder().connect_timeout(PATIENCE);
    let session = builder.connect_with(connect).await.expect("a session in the end");
    assert!(mishaps.lock().unwrap().is_empty());
    let path = unique_path("connect");
    let mut a = Contender::join_on(session.clone(), &path, Mode::Sequential, "a").await;
    let leadership = a.leads().await;
    let mut b = Contender::join_on(session.clone(), &path, Mode::Sequential, "b").await;
    let id = session.id();

    mishaps.lock().unwrap().extend([PanicsBefore, PanicsBehind, FailsBehind, PanicsBehind]);
    zookeeper.kill();
    support::lost(&leadership).await;
    // Longer than the client is given to connect again by itself.
    tokio::time::sleep(SESSION_TIMEOUT).await;
    zookeeper.start().await;
    let now = eventually("a session", PATIENCE, async || session.id()).await;
    assert!(mishaps.lock().unwrap().is_empty());
    assert_eq!(Some(now), id, "it was not closed with the clients that were dropped");
    let next = b.leads().await;
    assert!(next.token() > leadership.token());
}
