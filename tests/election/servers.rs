//! Servers that die, restart and are not there: in the end one leader, and as many znodes as contenders.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{
    Contender, Ensemble, PATIENCE, SESSION_TIMEOUT, ZooKeeper, connect, contenders_become, eventually,
    identities, on_both_servers, unique_path,
};
use zookeeper_election::zookeeper_client::{Client, SessionState};
use zookeeper_election::{
    Connect, ConnectError, Election, Error, FencingToken, Lost, Mode, Resume, Session, Standing, async_trait,
};

on_both_servers! {
    without_a_server_at_the_start_a_contender_waits_and_is_elected;
    contenders_keep_their_places_through_an_outage_longer_than_the_session_timeout: 3 servers;
}

/// Three contenders that campaign again whenever they have lost the lead, each at its own first server.
async fn three(ensemble: &Ensemble, path: &str) -> Vec<Contender> {
    let mut contenders = Vec::new();
    for (i, id) in ["a", "b", "c"].into_iter().enumerate() {
        // The client shuffles the servers: connect to one, and know the others.
        let what = format!("a session at server {i}");
        let session = eventually(&what, PATIENCE, async || {
            let session = connect(&ensemble.connect_string()).await;
            if serves(ensemble, &session, i).await {
                return Some(session);
            }
            session.close().await.unwrap();
            None
        })
        .await;
        let contender = Contender::join_on(session, path, Mode::Sequential, id).await;
        contenders.push(contender);
    }
    contenders
}

/// Whether the session is connected to this server.
async fn serves(ensemble: &Ensemble, session: &Session, server: usize) -> bool {
    let Some(id) = session.id() else { return false };
    let sessions = ensemble.server(server).four_letter("cons").await.unwrap_or_default();
    sessions.contains(&format!("sid={id},"))
}

/// Keeps a contender in the race, as an application does, and notes its leaderships.
fn keep_campaigning(mut contender: Contender, terms: Terms) -> Runner {
    let election = contender.election.clone();
    let task = tokio::spawn(async move {
        loop {
            let leadership = contender.leads().await;
            terms.lock().unwrap().push((contender.id.clone(), leadership.token()));
            leadership.lost().await;
            contender.campaign();
        }
    });
    Runner { election, task }
}

/// Who has led, with which token.
type Terms = Arc<Mutex<Vec<(String, FencingToken)>>>;

struct Runner {
    election: Arc<Election>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One leads, with the token noted last, two wait, and there is no znode but theirs.
async fn settled(runners: &[Runner], terms: &Terms) {
    let what = "one leader, two who wait, three znodes";
    eventually(what, 2 * PATIENCE, async || {
        let contenders = runners[0].election.contenders().await.ok()?;
        let mut names: Vec<&str> = contenders.iter().map(|it| it.identity.as_str()).collect();
        names.sort();
        let standings: Vec<Standing> = runners.iter().map(|it| it.election.standing()).collect();
        let waiting = standings.iter().filter(|it| matches!(it, Standing::Waiting { .. })).count();
        let leading = standings.iter().find_map(|it| match it {
            Standing::Leading { token, .. } => Some(*token),
            _ => None,
        })?;
        let last = terms.lock().unwrap().last()?.1;
        (waiting == 2 && names == ["a", "b", "c"] && leading == last && contenders[0].token == last)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_of_the_leader_dies_then_the_leading_server_then_all_restart() {
    let mut ensemble = Ensemble::start(3).await;
    let path = unique_path("servers");
    let terms = Terms::default();
    let contenders = three(&ensemble, &path).await;
    let runners: Vec<Runner> =
        contenders.into_iter().map(|contender| keep_campaigning(contender, terms.clone())).collect();
    settled(&runners, &terms).await;
    assert_eq!(terms.lock().unwrap()[0].0, "a", "a came first");

    // a is connected to the first server.
    ensemble.server_mut(0).kill();
    settled(&runners, &terms).await;
    ensemble.server_mut(0).restart().await;

    // All connections break when the ensemble has to elect a leading server of its own.
    let leading = ensemble.leader().await;
    ensemble.server_mut(leading).kill();
    settled(&runners, &terms).await;
    ensemble.server_mut(leading).restart().await;

    for server in 0..3 {
        ensemble.server_mut(server).restart().await;
        ensemble.wait_until_serving().await;
    }
    settled(&runners, &terms).await;
    // Whether leaderships outlast this depends on how long the elections of the servers take; with a longer session
    // timeout `tests/partitions` requires it.
    let terms = terms.lock().unwrap();
    assert!(terms.windows(2).all(|two| two[0].1 < two[1].1), "tokens grow: {terms:?}");
}

/// Connects to read-only servers, too.
struct ReadOnlyWillDo(String);

#[async_trait]
impl Connect for ReadOnlyWillDo {
    async fn connect(&self, resume: Option<Resume>) -> Result<Client, ConnectError> {
        let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT).with_readonly(true);
        let connector = match resume {
            Some(resume) => connector.with_session(resume.session),
            None => connector,
        };
        Ok(connector.with_fail_eagerly().connect(&self.0).await?)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server_proves_nothing() {
    let mut ensemble = Ensemble::builder(3).read_only_mode().start().await;
    let builder = Session::builder().connect_timeout(PATIENCE);
    let session = builder.connect_with(ReadOnlyWillDo(ensemble.connect_string())).await.expect("a session");
    let mut a = Contender::join_on(session, &unique_path("read-only"), Mode::Sequential, "a").await;
    let leadership = a.leads().await;
    ensemble.server_mut(0).kill();
    ensemble.server_mut(1).kill();
    assert_eq!(crate::support::lost(&leadership).await, Lost::LeaseExpired);
    eventually("a read-only server", 2 * PATIENCE, async || {
        (ensemble.server(2).four_letter("isro").await.as_deref() == Some("ro")).then_some(())
    })
    .await;
    assert!(!leadership.is_valid() && a.session.id().is_none());
    a.campaign();
    tokio::time::sleep(SESSION_TIMEOUT).await;
    assert!(a.campaigns(), "nobody leads without a quorum");
    ensemble.server_mut(0).restart().await;
    assert!(a.leads().await.token() > leadership.token());
}

/// An ensemble of three that has lost its quorum: the last server goes on in read-only mode.
async fn without_quorum() -> Ensemble {
    // Without local sessions a read-only server opens none.
    let builder = Ensemble::builder(3).read_only_mode().config("localSessionsEnabled=true");
    let mut ensemble = builder.config("localSessionsUpgradingEnabled=true").start().await;
    ensemble.server_mut(0).kill();
    ensemble.server_mut(1).kill();
    eventually("a read-only server", 2 * PATIENCE, async || {
        (ensemble.server(2).four_letter("isro").await.as_deref() == Some("ro")).then_some(())
    })
    .await;
    ensemble
}

/// Leads, resigns, and lets the next one lead.
async fn leads_and_leaves(ensemble: &Ensemble, session: Session) {
    for mode in [Mode::Sequential, Mode::Master] {
        let path = unique_path("read-only");
        let mut a = Contender::join_on(session.clone(), &path, mode, "a").await;
        let leadership = a.leads().await;
        let mut b = Contender::join(&ensemble.connect_string(), &path, mode, "b").await;
        leadership.resign().await.unwrap();
        let left = identities(&b.election).await;
        assert!(!left.contains(&"a".to_owned()), "{mode}: the resignation was confirmed: {left:?}");
        assert!(b.leads().await.is_valid());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_not_opened_on_a_read_only_server() {
    let mut ensemble = without_quorum().await;
    let connect = || ReadOnlyWillDo(ensemble.server(2).address());
    let builder = Session::builder().connect_timeout(2 * SESSION_TIMEOUT);
    let error = builder.connect_with(connect()).await.expect_err("there is no session without a quorum");
    assert!(error.to_string().contains("read-only"), "{error}");
    let sessions = ensemble.server(2).four_letter("cons").await.unwrap();
    assert!(!sessions.contains("sid="), "no client is left behind: {sessions}");

    let connecting = tokio::spawn(Session::builder().connect_with(connect()));
    tokio::time::sleep(SESSION_TIMEOUT).await;
    assert!(!connecting.is_finished());
    ensemble.server_mut(0).restart().await;
    let session = tokio::time::timeout(2 * PATIENCE, connecting).await.expect("a quorum").unwrap().unwrap();
    leads_and_leaves(&ensemble, session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_s_client_that_began_on_a_read_only_server_leaves_no_znode() {
    let mut ensemble = without_quorum().await;
    let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT).with_readonly(true);
    let client = connector.connect(&ensemble.connect_string()).await.unwrap();
    assert_eq!(client.state(), SessionState::ConnectedReadOnly);
    let early = Session::from_client(client.clone());
    let path = unique_path("read-only");
    let is_refused = async |session: &Session| {
        let campaign = session.election(&path).build().unwrap();
        let campaign = tokio::time::timeout(PATIENCE, campaign.campaign()).await.expect("an end");
        assert!(matches!(campaign, Err(Error::SessionLost)), "{campaign:?}");
        assert!(session.id().is_none() && session.timeout().is_none(), "a read-only client is no connection");
    };
    is_refused(&early).await;
    ensemble.server_mut(0).restart().await;
    eventually("a quorum", 2 * PATIENCE, async || {
        (client.state() == SessionState::SyncConnected).then_some(())
    })
    .await;
    // It has another session by now, whose id it does not tell.
    is_refused(&early).await;
    is_refused(&Session::from_client(client.clone())).await;
    assert_eq!(client.check_stat(&path).await.unwrap(), None);
    leads_and_leaves(&ensemble, connect(&ensemble.connect_string()).await).await;
}

async fn without_a_server_at_the_start_a_contender_waits_and_is_elected(mut zookeeper: ZooKeeper) {
    let servers = zookeeper.connect_string();
    zookeeper.kill();
    let connecting = tokio::spawn(async move { connect(&servers).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!connecting.is_finished(), "there is nothing to connect to");
    zookeeper.start().await;
    let session = tokio::time::timeout(2 * PATIENCE, connecting).await.expect("a session").unwrap();
    let mut a = Contender::join_on(session, &unique_path("late"), Mode::Sequential, "a").await;
    assert!(a.leads().await.is_valid());
}

async fn contenders_keep_their_places_through_an_outage_longer_than_the_session_timeout(
    mut zookeeper: ZooKeeper,
) {
    let path = unique_path("outage");
    let servers = zookeeper.connect_string();
    let mut a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&servers, &path, Mode::Sequential, "b").await;
    let c = Contender::join(&servers, &path, Mode::Sequential, "c").await;
    let sessions = [b.session.id(), c.session.id()];
    let places = [b.placed().await, c.placed().await];
    let leadership = a.leads().await;

    zookeeper.kill();
    assert_eq!(crate::support::lost(&leadership).await, Lost::LeaseExpired);
    assert!(!leadership.is_valid());
    // Longer than the client by itself would keep the session.
    tokio::time::sleep(2 * SESSION_TIMEOUT).await;
    for contender in [&b, &c] {
        assert!(matches!(contender.election.standing(), Standing::Connecting { .. }));
        assert!(contender.campaigns());
    }
    zookeeper.start().await;

    // a stepped down and leaves its place; b leads with the znode that it had all the time.
    let second = b.leads().await;
    assert!(second.token() > leadership.token());
    let Standing::Waiting { node: Some(node), .. } = &places[0] else { panic!("b waited: {places:?}") };
    assert_eq!(second.node(), node);
    c.reaches("its place", |standing| matches!(standing, Standing::Waiting { .. })).await;
    let Standing::Waiting { node: before, .. } = &places[1] else { panic!("c waited: {places:?}") };
    let Standing::Waiting { node: now, .. } = c.placed().await else { panic!("c waits") };
    assert_eq!(now, *before);
    assert_eq!([b.session.id(), c.session.id()], sessions, "the sessions outlived the outage");
    leadership.resign().await.unwrap();
    contenders_become(&b.election, &["b", "c"]).await;
}
