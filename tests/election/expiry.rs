//! Sessions that expire: the contender notices, and is back in the queue with a new one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{
    Contender, PATIENCE, Proxy, SESSION_TIMEOUT, ZooKeeper, eventually, identities, on_both_servers,
    unique_path,
};
use zookeeper_election::zookeeper_client::{Client, SessionInfo, SessionState};
use zookeeper_election::{Connect, ConnectError, Error, Lost, Mode, Resume, Session, Standing, async_trait};

on_both_servers! {
    whoever_waits_joins_again_at_the_tail;
    whoever_leads_steps_down_and_can_campaign_again;
    a_resignation_without_a_connection_is_confirmed_by_the_next_session_when_its_own_has_ended;
    the_session_of_the_application_s_own_client_cannot_be_opened_again;
    closing_leaves_the_application_s_own_client_open;
    closing_during_an_outage_leaves_no_ghost_on_the_application_s_own_client;
    closing_during_an_outage_comes_to_an_end;
    a_client_is_replaced_before_it_gives_the_session_up;
}

/// Connects through a proxy, and keeps what is needed to end the session from outside.
struct Recording {
    servers: String,
    session: Arc<Mutex<Option<SessionInfo>>>,
}

#[async_trait]
impl Connect for Recording {
    async fn connect(&self, resume: Option<Resume>) -> Result<Client, ConnectError> {
        let mut connector = Client::connector().with_fail_eagerly().with_session_timeout(SESSION_TIMEOUT);
        if let Some(resume) = resume {
            connector = connector.with_session(resume.session);
        }
        let client = connector.connect(&self.servers).await?;
        *self.session.lock().unwrap() = Some(client.session().clone());
        Ok(client)
    }
}

/// A session that can be expired by force.
struct Doomed {
    proxy: Proxy,
    servers: String,
    session: Arc<Mutex<Option<SessionInfo>>>,
}

impl Doomed {
    async fn connect(zookeeper: &ZooKeeper) -> (Self, Session) {
        let proxy = Proxy::start(zookeeper.connect_string()).await;
        let session = Arc::default();
        let recording = Recording { servers: proxy.address(), session: Arc::clone(&session) };
        let connected = Session::builder().connect_with(recording).await.expect("a session");
        (Self { proxy, servers: zookeeper.connect_string(), session }, connected)
    }

    /// Keeps the client away, ends its session through another connection, and lets the client back.
    async fn expire(&self) {
        self.proxy.refuse(true);
        self.proxy.cut_all();
        let session = self.session.lock().unwrap().clone().expect("a session");
        end_session(&self.servers, session).await;
        self.proxy.refuse(false);
    }
}

async fn end_session(servers: &str, session: SessionInfo) {
    let client = Client::connector().with_session(session).connect(servers).await.expect("the same session");
    let mut states = client.state_watcher();
    drop(client);
    let closed = async { while states.changed().await != SessionState::Closed {} };
    tokio::time::timeout(PATIENCE, closed).await.expect("the session ends");
}

async fn whoever_waits_joins_again_at_the_tail(zookeeper: ZooKeeper) {
    let path = unique_path("expiry");
    let servers = zookeeper.connect_string();
    let mut a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let (doomed, session) = Doomed::connect(&zookeeper).await;
    let mut b = Contender::join_on(session, &path, Mode::Sequential, "b").await;
    let c = Contender::join(&servers, &path, Mode::Sequential, "c").await;
    let leadership = a.leads().await;
    let first_session = b.session.id();
    let mut standings = b.election.standings();

    doomed.expire().await;
    let reported = standings.wait_for(|standing| {
        let lost = Some(Lost::SessionExpired);
        *standing == Standing::Connecting { after: lost } || *standing == Standing::Joining { after: lost }
    });
    tokio::time::timeout(PATIENCE, reported).await.expect("the contender reports it").unwrap();
    eventually("b at the tail", PATIENCE, async || {
        (identities(&a.election).await == ["a", "c", "b"]).then_some(())
    })
    .await;
    b.placed().await;
    assert_ne!(b.session.id(), first_session);
    assert!(b.campaigns() && leadership.is_valid());

    leadership.resign().await.unwrap();
    c.reaches("the lead", |standing| matches!(standing, Standing::Leading { .. })).await;
    c.election.withdraw().await.unwrap();
    assert!(b.leads().await.is_valid());
}

async fn whoever_leads_steps_down_and_can_campaign_again(zookeeper: ZooKeeper) {
    let path = unique_path("expiry");
    let (doomed, session) = Doomed::connect(&zookeeper).await;
    let mut a = Contender::join_on(session, &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "b").await;
    let leadership = a.leads().await;
    doomed.expire().await;
    // The lease ends before the session can; the news of its end may be quicker.
    let lost = crate::support::lost(&leadership).await;
    assert!(matches!(lost, Lost::LeaseExpired | Lost::SessionExpired), "{lost:?}");
    assert!(b.leads().await.token() > leadership.token());
    a.campaign();
    a.reaches("its place", |standing| matches!(standing, Standing::Leading { .. })).await;
}

async fn a_resignation_without_a_connection_is_confirmed_by_the_next_session_when_its_own_has_ended(
    zookeeper: ZooKeeper,
) {
    let path = unique_path("expiry");
    let (doomed, session) = Doomed::connect(&zookeeper).await;
    let mut a = Contender::join_on(session, &path, Mode::Sequential, "a").await;
    let leadership = a.leads().await;
    doomed.proxy.refuse(true);
    doomed.proxy.cut_all();
    crate::support::lost(&leadership).await;
    let resigning = tokio::spawn(leadership.resign());
    doomed.expire().await;
    tokio::time::timeout(PATIENCE, resigning).await.expect("an end").unwrap().unwrap();
    let observer = crate::support::connect(&zookeeper.connect_string()).await;
    assert!(identities(&observer.election(&path).build().unwrap()).await.is_empty());
}

async fn the_session_of_the_application_s_own_client_cannot_be_opened_again(zookeeper: ZooKeeper) {
    let path = unique_path("own-client");
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    let client = connector.connect(&proxy.address()).await.unwrap();
    let session = Session::from_client(client.clone());
    let mut leader = Contender::join_on(session.clone(), &path, Mode::Sequential, "leader").await;
    let mut waiter = Contender::join_on(session.clone(), &path, Mode::Sequential, "waiter").await;
    let leadership = leader.leads().await;

    proxy.refuse(true);
    proxy.cut_all();
    end_session(&zookeeper.connect_string(), client.session().clone()).await;
    proxy.refuse(false);
    crate::support::lost(&leadership).await;
    let ended = waiter.ended().await;
    assert!(matches!(ended, Err(Error::SessionLost)), "{ended:?}");
    let again = leader.election.campaign().await;
    assert!(matches!(again, Err(Error::SessionLost)), "{again:?}");
    assert!(matches!(leader.election.leader().await, Err(Error::SessionLost)));
    let closed = session.close().await;
    assert!(matches!(closed, Err(Error::SessionLost)), "there is nothing to close: {closed:?}");
}

async fn closing_leaves_the_application_s_own_client_open(zookeeper: ZooKeeper) {
    let path = unique_path("own-client");
    let client = Client::connect(&zookeeper.connect_string()).await.unwrap();
    let session = Session::from_client(client.clone());
    let mut a = Contender::join_on(session.clone(), &path, Mode::Sequential, "a").await;
    let leadership = a.leads().await;
    tokio::time::timeout(Duration::from_secs(10), session.close()).await.expect("an end").unwrap();
    assert_eq!(crate::support::lost(&leadership).await, Lost::SessionClosed);
    assert_eq!(client.state(), SessionState::SyncConnected);
    assert!(client.list_children(&path).await.unwrap().is_empty(), "its znodes are removed");
}

async fn closing_during_an_outage_leaves_no_ghost_on_the_application_s_own_client(mut zookeeper: ZooKeeper) {
    let path = unique_path("own-client");
    let connector = Client::connector().with_session_timeout(5 * SESSION_TIMEOUT);
    let client = connector.connect(&zookeeper.connect_string()).await.unwrap();
    let session = Session::from_client(client.clone());
    let mut a = Contender::join_on(session.clone(), &path, Mode::Sequential, "a").await;
    let leadership = a.leads().await;

    zookeeper.kill();
    let closed = session.close().await;
    assert!(matches!(closed, Err(Error::RemovalUnconfirmed)), "{closed:?}");
    assert!(!leadership.is_valid());
    // The application's session outlives the outage, and the znode is removed all the same.
    zookeeper.start().await;
    eventually("the znode is removed", PATIENCE, async || {
        client.list_children(&path).await.ok().filter(Vec::is_empty)
    })
    .await;
    assert_eq!(client.state(), SessionState::SyncConnected);
}

async fn closing_during_an_outage_comes_to_an_end(mut zookeeper: ZooKeeper) {
    let path = unique_path("outage");
    for pause in [Duration::ZERO, 2 * SESSION_TIMEOUT] {
        let mut a = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "a").await;
        let leadership = a.leads().await;
        zookeeper.kill();
        crate::support::lost(&leadership).await;
        // At once, and when the session is being taken up again and again.
        tokio::time::sleep(pause).await;
        let closed = tokio::time::timeout(PATIENCE, a.session.close()).await.expect("an end");
        assert!(matches!(closed, Err(Error::RemovalUnconfirmed)), "{closed:?}");
        let resigned = tokio::time::timeout(PATIENCE, leadership.resign()).await.expect("an end");
        assert!(resigned.is_err(), "nobody knows: {resigned:?}");
        zookeeper.start().await;
    }
}

/// Remembers how the last client stood when the next one was asked for.
struct Watching {
    servers: String,
    last: Mutex<Option<zookeeper_election::zookeeper_client::StateWatcher>>,
    stood: Arc<Mutex<Vec<SessionState>>>,
}

#[async_trait]
impl Connect for Watching {
    async fn connect(&self, resume: Option<Resume>) -> Result<Client, ConnectError> {
        if let Some(last) = self.last.lock().unwrap().take() {
            self.stood.lock().unwrap().push(last.peek_state());
        }
        let mut connector = Client::connector().with_fail_eagerly().with_session_timeout(SESSION_TIMEOUT);
        if let Some(resume) = resume {
            connector = connector.with_session(resume.session);
        }
        let client = connector.connect(&self.servers).await?;
        *self.last.lock().unwrap() = Some(client.state_watcher());
        Ok(client)
    }
}

async fn a_client_is_replaced_before_it_gives_the_session_up(zookeeper: ZooKeeper) {
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let stood = Arc::default();
    let watching = Watching { servers: proxy.address(), last: Mutex::default(), stood: Arc::clone(&stood) };
    let session = Session::builder().connect_with(watching).await.expect("a session");
    let id = session.id();
    proxy.refuse(true);
    proxy.cut_all();
    let seen = eventually("another client is asked for", PATIENCE, async || {
        let stood = stood.lock().unwrap();
        (!stood.is_empty()).then(|| stood.clone())
    })
    .await;
    assert_eq!(seen, [SessionState::Disconnected], "not one that has given up");
    proxy.refuse(false);
    let now = eventually("a session", PATIENCE, async || session.id()).await;
    assert_eq!(Some(now), id);
}
