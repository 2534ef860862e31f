//! How an application tests its own fail-over:
//!
//! ```text
//! cargo test --example test_your_failover
//! ```
//!
//! The application is a [`Service`] that writes to a shared [`Ledger`] while it leads. The tests run it against an
//! embedded server (crate `zookeeper-embedded`, in an application's `[dev-dependencies]`), which does to its clients
//! what a network and an ensemble do: it lets their sessions expire, cuts their connections, loses their replies.
//! Nothing has to be installed, and no test takes longer than a few seconds.
//!
//! `cargo run --example test_your_failover` shows the first test's story in a few lines.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use zookeeper_election::{
    BoxError, Election, Error, FencingToken, LeaderTask, Leadership, Session, SessionId, Standing,
    async_trait,
};
use zookeeper_embedded::Server;
#[cfg(test)]
use zookeeper_embedded::{Direction, Operation, When};

const PATH: &str = "/app/leader_election";

// --- The application.

/// An instance of the application: takes part in the election, and writes to the ledger while it leads.
struct Service {
    session: Session,
    election: Arc<Election>,
    task: JoinHandle<Result<(), Error>>,
}

impl Service {
    fn start(session: Session, name: &str, ledger: &Ledger) -> Result<Self, Error> {
        let election = Arc::new(session.election(PATH).identity(name).build()?);
        let mut clerk = Clerk { ledger: ledger.clone() };
        let campaigning = election.clone();
        let task = tokio::spawn(async move { campaigning.run(&mut clerk).await });
        Ok(Self { session, election, task })
    }

    /// Lets the next one lead, and ends.
    async fn stop(self) -> Result<(), Error> {
        self.session.close().await?;
        match self.task.await {
            Ok(Err(error)) if !matches!(error, Error::SessionClosed) => Err(error),
            _ => Ok(()),
        }
    }
}

/// The work of the leader.
struct Clerk {
    ledger: Ledger,
}

#[async_trait]
impl LeaderTask for Clerk {
    async fn lead(&mut self, leadership: &Leadership) -> Result<(), BoxError> {
        loop {
            self.ledger.write(leadership.token())?;
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What the leader writes to; in reality a database. It refuses whoever has been overtaken.
#[derive(Clone, Default)]
struct Ledger {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Default)]
struct Entries {
    written: Vec<FencingToken>,
    refused: Vec<FencingToken>,
}

impl Ledger {
    fn write(&self, token: FencingToken) -> Result<(), BoxError> {
        let mut entries = self.entries.lock().unwrap();
        if entries.written.last().is_some_and(|last| *last > token) {
            entries.refused.push(token);
            return Err(format!("token {token} is outdated").into());
        }
        entries.written.push(token);
        Ok(())
    }

    /// How many entries a leader has written.
    fn written_by(&self, leader: FencingToken) -> usize {
        self.entries.lock().unwrap().written.iter().filter(|token| **token == leader).count()
    }

    /// How often a leader has written or tried to.
    fn attempts_of(&self, leader: FencingToken) -> usize {
        let entries = self.entries.lock().unwrap();
        entries.written.iter().chain(&entries.refused).filter(|token| **token == leader).count()
    }
}

// --- What its tests use.

/// A server whose sessions expire quickly: its tick of 100 ms admits timeouts from 200 ms to 2 s.
async fn server() -> Server {
    let server = Server::builder().tick(Duration::from_millis(100)).start_on_free_port();
    server.await.expect("a free port")
}

/// A session as the application opens it; only the timeout is shorter.
async fn connect(server: &Server) -> (Session, SessionId) {
    let builder = Session::builder().session_timeout(Duration::from_secs(1));
    let session = builder.connect(&server.connect_string()).await.expect("a session");
    let id = session.id().expect("it is connected");
    (session, id)
}

/// Looks again and again until there is something to be seen.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "still waiting: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a service leads and has written to the ledger.
async fn works(service: &Service, ledger: &Ledger) -> FencingToken {
    eventually("the service works", async || match service.election.standing() {
        Standing::Leading { token, .. } => (ledger.written_by(token) > 0).then_some(token),
        _ => None,
    })
    .await
}

/// Waits until a service stands behind another one.
async fn waits(service: &Service) {
    let behind = async || matches!(service.election.standing(), Standing::Waiting { .. }).then_some(());
    eventually("the service waits", behind).await;
}

/// Two services, of which the first one leads.
async fn two_services(server: &Server, ledger: &Ledger) -> (Service, SessionId, Service) {
    let (session, a_session) = connect(server).await;
    let a = Service::start(session, "a", ledger).expect("a service");
    works(&a, ledger).await;
    let (session, _) = connect(server).await;
    let b = Service::start(session, "b", ledger).expect("a service");
    waits(&b).await;
    (a, a_session, b)
}

// --- The tests.

#[tokio::test]
async fn when_its_session_expires_the_leader_stops_working_and_the_next_one_begins() {
    let (server, ledger) = (server().await, Ledger::default());
    let (a, a_session, b) = two_services(&server, &ledger).await;
    let first = works(&a, &ledger).await;

    server.client(a_session).expire();
    let second = works(&b, &ledger).await;
    assert!(second > first);
    waits(&a).await;
    assert_ne!(a.session.id(), Some(a_session), "it has joined again, with another session");

    // The ledger refuses the first token by now; but nobody even tries.
    let attempts = ledger.attempts_of(first);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(ledger.attempts_of(first), attempts);
    assert!(ledger.written_by(second) > 1);
}

#[tokio::test]
async fn when_the_reply_to_its_create_is_lost_a_contender_has_one_znode_all_the_same() {
    let (server, ledger) = (server().await, Ledger::default());
    // The election's directory is there afterwards: the next create is that of a contender.
    let a = Service::start(connect(&server).await.0, "a", &ledger).unwrap();
    works(&a, &ledger).await;
    a.stop().await.unwrap();

    let (session, b_session) = connect(&server).await;
    let lost = server.client(b_session).disconnect_at(When::After, Operation::Create);
    let b = Service::start(session, "b", &ledger).unwrap();
    let token = works(&b, &ledger).await;
    assert!(lost.is_done());
    let contenders = b.election.contenders().await.unwrap();
    assert_eq!(contenders.len(), 1, "{contenders:?}");
    assert_eq!((contenders[0].session, contenders[0].token), (b_session, token));
    b.stop().await.unwrap();
}

#[tokio::test]
async fn a_leader_in_a_black_hole_is_replaced_and_comes_back_as_the_last() {
    let (server, ledger) = (server().await, Ledger::default());
    let (a, a_session, b) = two_services(&server, &ledger).await;
    let first = works(&a, &ledger).await;

    // Nothing is closed or reset; the packets of one client vanish. Its lease ends before the server ends its session.
    server.client(a_session).swallow(Direction::Both);
    let second = works(&b, &ledger).await;
    assert!(second > first);
    assert!(!matches!(a.election.standing(), Standing::Leading { .. }), "it stepped down before");
    let attempts = ledger.attempts_of(first);

    server.client(a_session).heal();
    waits(&a).await;
    assert_eq!(ledger.attempts_of(first), attempts, "it has not worked since");
    let contenders = b.election.contenders().await.unwrap();
    let identities: Vec<_> = contenders.iter().map(|it| it.identity.as_str()).collect();
    assert_eq!(identities, ["b", "a"]);
}

/// Tests of an application's fail-over. Run them with `cargo test --example test_your_failover`; run as a program it
/// tells the story of the first one.
#[derive(Parser)]
struct Options {}

/// The first test, as a story.
#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let Options {} = Options::parse();
    let (server, ledger) = (server().await, Ledger::default());
    let (a, a_session, b) = two_services(&server, &ledger).await;
    let first = works(&a, &ledger).await;
    println!("a leads with token {first} and writes to the ledger; b waits");

    let expired = Instant::now();
    server.client(a_session).expire();
    let second = works(&b, &ledger).await;
    println!("a's session {a_session} expires; b writes with token {second}, {:?} later", expired.elapsed());
    waits(&a).await;
    let (written, attempts) = (ledger.written_by(first), ledger.attempts_of(first));
    println!(
        "a has stopped and waits behind b: {written} entries, {} refused as outdated",
        attempts - written
    );

    b.stop().await?;
    let third = works(&a, &ledger).await;
    println!("b stops; a writes with token {third}");
    a.stop().await?;
    Ok(())
}
