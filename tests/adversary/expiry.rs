//! Sessions that are taken up while they are being expired.

use std::io::{BufRead as _, BufReader, PipeReader};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use testkit::handmade::Client;
use testkit::{Ensemble, PATIENCE, eventually, unique_path};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use zookeeper_election::{Election, Session, SessionId, Standing};

use crate::doors::Doors;
use crate::referee::Referee;
use crate::session;

const SESSION_TIMEOUT: Duration = Duration::from_secs(4);

/// Contenders whose sessions are taken up.
const CONTENDERS: usize = 12;

/// Sessions that nobody takes up. A server says a line for each that it expires, and a pipe takes about 600 of them.
const SILENT: usize = 2000;

/// What a server says, of which nothing is read for a while after the first session has expired.
struct Log {
    expiring: oneshot::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

impl Log {
    fn read(pipe: PipeReader) -> Self {
        let (began, expiring) = oneshot::channel();
        let (go_on, gone_on) = mpsc::channel();
        thread::spawn(move || {
            let mut began = Some(began);
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if line.contains("Expiring session")
                    && let Some(began) = began.take()
                {
                    let _ = began.send(());
                    let _ = gone_on.recv();
                }
            }
        });
        Self { expiring, go_on }
    }
}

/// Somebody who waits in the second place of an election.
struct Second {
    doors: Arc<Doors>,
    session: Session,
    election: Arc<Election>,
}

async fn open_silent_sessions(address: &str) {
    let mut opening = JoinSet::new();
    for _ in 0..8 {
        let address = address.to_owned();
        opening.spawn(async move {
            for _ in 0..SILENT / 8 {
                drop(Client::connect_for(&address, SESSION_TIMEOUT).await);
            }
        });
    }
    opening.join_all().await;
}

/// A server expires the sessions of one tick one after the other (`SessionTrackerImpl.run`). After a restart all silent
/// sessions are in one. Until it comes to a session, that can be taken up, and its transactions commit. Here it is kept
/// from going on, by a log that nobody reads, for as long as a contender takes to prove its session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_taken_up_while_it_is_being_expired_leads_nowhere() {
    let builder = Ensemble::builder(1).tick(Duration::from_millis(500));
    // A thread for each connection, so that those that are told of their expiry, in the log as well, are in nobody's way.
    let quiet = builder.property("zookeeper.nio.numWorkerThreads=64");
    let quiet = quiet.property("org.slf4j.simpleLogger.defaultLogLevel=warn");
    let quiet = quiet.property("org.slf4j.simpleLogger.log.org.apache.zookeeper.server.ZooKeeperServer=info");
    let mut ensemble = quiet.start().await;
    let referee = Referee::start();
    let others = session(&ensemble.connect_string(), Duration::from_secs(10)).await;
    let (mut first, mut seconds) = (Vec::new(), Vec::new());
    for _ in 0..CONTENDERS {
        let path = unique_path("expiring");
        let election =
            |session: &Session, name: &str| Arc::new(session.election(&path).identity(name).build().unwrap());
        let leader = election(&others, "first");
        let _ = referee.leads(leader.clone()).await;
        first.push(leader);
        let doors = Arc::new(Doors::to(&ensemble).await);
        let session = session(&doors.connect_string(), SESSION_TIMEOUT).await;
        let second = Second { election: election(&session, "A"), session, doors };
        // Who leads is cut off at once, and hears of nothing that follows.
        let (led, doors) = (referee.campaign(second.election.clone()), second.doors.clone());
        tokio::spawn(async move {
            let _leadership = led.await;
            doors.close();
        });
        seconds.push(second);
    }
    for second in &seconds {
        let waits = async || matches!(second.election.standing(), Standing::Waiting { .. }).then_some(());
        eventually("A waits", PATIENCE, waits).await;
    }
    let _successors: Vec<_> = first
        .iter()
        .map(|it| {
            let election = others.election(it.path()).identity("B").build().unwrap();
            referee.campaign(Arc::new(election))
        })
        .collect();
    let sessions: Vec<_> = seconds.iter().map(|it| it.session.id().expect("a session")).collect();

    open_silent_sessions(&ensemble.connect_string()).await;
    seconds.iter().for_each(|it| it.doors.close());
    ensemble.server_mut(0).kill();
    let log = Log::read(ensemble.server_mut(0).start_with_log());
    ensemble.server(0).serves().await;
    for election in &first {
        timeout(PATIENCE, election.withdraw()).await.expect("the first leaves").unwrap();
    }

    timeout(PATIENCE, log.expiring).await.expect("sessions expire").unwrap();
    seconds.iter().for_each(|it| it.doors.open_only(0));
    let is_taken_up = |(it, id): &(&Second, &SessionId)| {
        // Who leads is cut off already.
        it.session.id() == Some(**id) || matches!(it.election.standing(), Standing::Leading { .. })
    };
    let taken_up = || seconds.iter().zip(&sessions).filter(is_taken_up).collect::<Vec<_>>();
    // Nothing is expired meanwhile: the server waits in the middle of the first tick's sessions.
    let any = async || (!taken_up().is_empty()).then_some(());
    eventually("a session is taken up", PATIENCE, any).await;
    sleep(SESSION_TIMEOUT / 16).await;
    let taken_up = taken_up();
    log.go_on.send(()).expect("the log is held");
    sleep(SESSION_TIMEOUT / 2).await;
    referee.assert_clean();
    // Some of them were among those that were being expired.
    taken_up.iter().for_each(|(it, _)| it.doors.open_only(0));
    let expired =
        async || taken_up.iter().any(|(it, id)| it.session.id().is_some_and(|now| now != **id)).then_some(());
    eventually("a session that was taken up is expired", PATIENCE, expired).await;
}
