//! The breadcrumb: what a leader leaves behind that did not resign, and what the next one does about it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{
    Direction, Fault, How, OpCode, PATIENCE, Proxy, When, ZooKeeper, connect, eventually, lost,
    on_both_servers, unique_path,
};
use tokio::sync::Notify;
use zookeeper_election::zookeeper_client::{Acls, Client, CreateMode};
use zookeeper_election::{
    BoxError, Breadcrumb, Election, ElectionBuilder, Error, Fence, GuardedError, LeaderTask, Leadership,
    Lost, Mode, Session, async_trait,
};

on_both_servers! {
    a_leader_that_resigns_leaves_no_name;
    a_crash_leaves_the_name_for_the_successor_to_fence;
    what_may_not_have_ended_leaves_the_name;
    a_fence_that_fails_gives_the_lead_away;
    run_pauses_when_the_fence_fails_and_tries_again;
    a_fence_that_panics_has_failed;
    a_fence_ends_with_the_leadership;
    withdrawing_ends_a_fence;
    an_old_master_writes_nothing_under_the_name_of_the_new_one;
    a_resigned_leader_in_between_does_not_help_an_old_one;
    when_the_answers_are_lost_the_own_breadcrumb_is_not_fenced;
    what_is_no_breadcrumb_is_left_alone;
    whoever_may_not_write_it_is_told;
    each_mistake_is_answered_when_the_election_is_built;
    only_the_election_writes_it;
}

/// Remembers whom it was called for, and does as it is told.
#[derive(Clone, Default)]
struct Hook {
    calls: Arc<Mutex<Vec<Breadcrumb>>>,
    /// How often it fails from now on.
    failures: Arc<Mutex<u32>>,
    /// It has been called, and does not return.
    stuck: Option<Arc<Notify>>,
}

#[async_trait]
impl Fence for Hook {
    async fn fence(&self, old: &Breadcrumb) -> Result<(), BoxError> {
        self.calls.lock().unwrap().push(old.clone());
        if let Some(stuck) = &self.stuck {
            stuck.notify_one();
            std::future::pending::<()>().await;
        }
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err("the power switch does not answer".into());
        }
        Ok(())
    }
}

impl Hook {
    fn calls(&self) -> Vec<Breadcrumb> {
        self.calls.lock().unwrap().clone()
    }
}

/// An election and the path of its breadcrumb.
struct Paths {
    election: String,
    breadcrumb: String,
}

impl Paths {
    fn new() -> Self {
        let election = unique_path("crumb");
        Self { breadcrumb: format!("{election}-breadcrumbs/last"), election }
    }

    fn builder(&self, session: &Session, mode: Mode, identity: &str) -> ElectionBuilder {
        session.election(&self.election).mode(mode).identity(identity).breadcrumb(&self.breadcrumb)
    }

    fn join(&self, session: &Session, mode: Mode, identity: &str, hook: &Hook) -> Election {
        self.builder(session, mode, identity).fence(hook.clone()).build().unwrap()
    }

    /// What stands in the znode, and its version.
    async fn read(&self, operator: &Client) -> (String, i32) {
        let (data, stat) = operator.get_data(&self.breadcrumb).await.unwrap();
        (String::from_utf8(data).unwrap(), stat.version)
    }
}

async fn won(election: &Election) -> Result<Leadership, Error> {
    tokio::time::timeout(PATIENCE, election.campaign()).await.expect("an end of the campaign")
}

async fn operator(zookeeper: &ZooKeeper) -> Client {
    Client::connect(&zookeeper.connect_string()).await.unwrap()
}

/// Ends a session without a word to it: the client hears of it when it connects again.
async fn crash(zookeeper: &ZooKeeper, proxy: &Proxy, leadership: &Leadership) {
    proxy.refuse(true);
    proxy.cut_all();
    let operator = operator(zookeeper).await;
    eventually("the session expires", PATIENCE, async || {
        operator.check_stat(leadership.node()).await.unwrap().is_none().then_some(())
    })
    .await;
}

async fn a_leader_that_resigns_leaves_no_name(zookeeper: ZooKeeper) {
    let operator = operator(&zookeeper).await;
    let session = connect(&zookeeper.connect_string()).await;
    for mode in [Mode::Sequential, Mode::Master] {
        let (paths, hook) = (Paths::new(), Hook::default());
        let election = paths.join(&session, mode, "a", &hook);
        let mut versions = Vec::new();
        for _ in 0..3 {
            let leadership = won(&election).await.unwrap();
            let (text, _) = paths.read(&operator).await;
            let (token, node) = (leadership.token(), leadership.node());
            assert_eq!(text, format!("identity: a\ntoken: {token}\nnode: {node}"));
            leadership.resign().await.unwrap();
            let (text, version) = paths.read(&operator).await;
            assert_eq!(text, "");
            versions.push(version);
        }
        assert!(versions.is_sorted_by(|one, other| one < other), "{versions:?}");
        assert_eq!(hook.calls(), [], "nobody to fence");
    }
}

async fn a_crash_leaves_the_name_for_the_successor_to_fence(zookeeper: ZooKeeper) {
    for mode in [Mode::Sequential, Mode::Master] {
        let (paths, hook) = (Paths::new(), Hook::default());
        let proxy = Proxy::start(zookeeper.connect_string()).await;
        let session = connect(&proxy.address()).await;
        let old = won(&paths.join(&session, mode, "old\nleader", &hook)).await.unwrap();
        crash(&zookeeper, &proxy, &old).await;

        let session = connect(&zookeeper.connect_string()).await;
        let new = won(&paths.join(&session, mode, "new", &hook)).await.unwrap();
        let [fenced] = &hook.calls()[..] else { panic!("one call: {:?}", hook.calls()) };
        assert_eq!((fenced.identity.as_str(), fenced.token), ("old\nleader", old.token()));
        assert_eq!(fenced.node, old.node());
        assert!(new.token() > fenced.token);
        let (text, _) = paths.read(&operator(&zookeeper).await).await;
        assert!(text.starts_with("identity: new\n"), "{text}");
    }
}

async fn what_may_not_have_ended_leaves_the_name(zookeeper: ZooKeeper) {
    let operator = operator(&zookeeper).await;
    let (paths, hook) = (Paths::new(), Hook::default());
    let mut ended = 0;
    let named = async |what: &str| {
        let (text, _) = paths.read(&operator).await;
        assert!(text.starts_with("identity: a\n"), "{what}: {text}");
    };
    let session = connect(&zookeeper.connect_string()).await;
    let election = paths.join(&session, Mode::Sequential, "a", &hook);
    drop(won(&election).await.unwrap());
    named("dropped").await;
    ended += 1;
    let leadership = won(&election).await.unwrap();
    election.withdraw().await.unwrap();
    named("withdrawn").await;
    // It is too late to say that all is well.
    leadership.resign().await.unwrap();
    named("resigned after the end").await;
    ended += 1;
    let leadership = won(&election).await.unwrap();
    operator.delete(leadership.node(), None).await.unwrap();
    assert_eq!(lost(&leadership).await, Lost::NodeDeleted);
    leadership.resign().await.unwrap();
    named("deleted").await;
    ended += 1;
    let _leadership = won(&election).await.unwrap();
    session.close().await.unwrap();
    named("closed").await;
    assert_eq!(hook.calls().len(), ended, "each one was found by the next");
}

async fn a_fence_that_fails_gives_the_lead_away(zookeeper: ZooKeeper) {
    let (paths, good, bad) = (Paths::new(), Hook::default(), Hook::default());
    *bad.failures.lock().unwrap() = 1;
    let session = connect(&zookeeper.connect_string()).await;
    let old = won(&paths.join(&session, Mode::Sequential, "old", &good)).await.unwrap();
    let token = old.token();
    drop(old);

    let election = paths.join(&session, Mode::Sequential, "unlucky", &bad);
    let error = won(&election).await.expect_err("the fence fails");
    let message = error.to_string();
    assert!(matches!(&error, Error::FencingFailed { identity, .. } if identity == "old"), "{error:?}");
    assert!(
        message.contains("the power switch does not answer") && message.contains("campaign again"),
        "{message}"
    );
    let next = won(&paths.join(&session, Mode::Sequential, "next", &good)).await.unwrap();
    for hook in [&bad, &good] {
        assert_eq!(hook.calls().iter().map(|it| it.token).collect::<Vec<_>>(), [token]);
    }
    assert!(next.is_valid());
}

async fn a_fence_that_panics_has_failed(zookeeper: ZooKeeper) {
    struct Panics;
    #[async_trait]
    impl Fence for Panics {
        async fn fence(&self, _: &Breadcrumb) -> Result<(), BoxError> {
            panic!("on purpose");
        }
    }
    let paths = Paths::new();
    let session = connect(&zookeeper.connect_string()).await;
    drop(won(&paths.join(&session, Mode::Sequential, "old", &Hook::default())).await.unwrap());
    let election = paths.builder(&session, Mode::Sequential, "new").fence(Panics).build().unwrap();
    let error = won(&election).await.expect_err("the fence panics");
    assert!(matches!(error, Error::FencingFailed { .. }), "{error:?}");
    election.withdraw().await.unwrap();
    assert_eq!(election.contenders().await.unwrap(), []);
}

async fn run_pauses_when_the_fence_fails_and_tries_again(zookeeper: ZooKeeper) {
    struct Once(u32);
    #[async_trait]
    impl LeaderTask for Once {
        async fn lead(&mut self, _: &Leadership) -> Result<(), BoxError> {
            self.0 += 1;
            Ok(())
        }
    }
    let (paths, hook) = (Paths::new(), Hook::default());
    let session = connect(&zookeeper.connect_string()).await;
    drop(won(&paths.join(&session, Mode::Sequential, "old", &hook)).await.unwrap());
    *hook.failures.lock().unwrap() = 2;
    let election = paths.join(&session, Mode::Sequential, "new", &hook);
    let mut task = Once(0);
    tokio::time::timeout(PATIENCE, election.run(&mut task)).await.expect("an end").unwrap();
    assert_eq!((hook.calls().len(), task.0), (3, 1), "it leads once the old leader is fenced");
    assert_eq!(paths.read(&operator(&zookeeper).await).await.0, "", "the task was done");
}

/// A leader of before, and a campaign in the middle of its fencing.
async fn fencing(
    paths: &Paths,
    session: &Session,
) -> (Arc<Election>, tokio::task::JoinHandle<Result<Leadership, Error>>, Hook) {
    drop(won(&paths.join(session, Mode::Sequential, "old", &Hook::default())).await.unwrap());
    let called = Arc::new(Notify::new());
    let hook = Hook { stuck: Some(called.clone()), ..Hook::default() };
    let election = Arc::new(paths.join(session, Mode::Sequential, "new", &hook));
    let it = election.clone();
    let campaign = tokio::spawn(async move { it.campaign().await });
    tokio::time::timeout(PATIENCE, called.notified()).await.expect("the fence is called");
    (election, campaign, hook)
}

async fn a_fence_ends_with_the_leadership(zookeeper: ZooKeeper) {
    let (paths, operator) = (Paths::new(), operator(&zookeeper).await);
    let session = connect(&zookeeper.connect_string()).await;
    let (election, campaign, hook) = fencing(&paths, &session).await;
    let contenders = election.contenders().await.unwrap();
    operator.delete(&contenders.last().unwrap().node, None).await.unwrap();
    // It is called again in the next leadership of the same campaign.
    eventually("another call", PATIENCE, async || (hook.calls().len() == 2).then_some(())).await;
    assert!(!campaign.is_finished());
    assert_eq!(hook.calls()[0], hook.calls()[1]);
    campaign.abort();
}

async fn withdrawing_ends_a_fence(zookeeper: ZooKeeper) {
    let paths = Paths::new();
    let session = connect(&zookeeper.connect_string()).await;
    let (election, campaign, _hook) = fencing(&paths, &session).await;
    election.withdraw().await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, campaign).await.expect("an end").unwrap();
    assert!(matches!(ended, Err(Error::Withdrawn)), "{ended:?}");
    assert_eq!(election.contenders().await.unwrap(), []);
    let (_election, campaign, _hook) = fencing(&paths, &session).await;
    session.close().await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, campaign).await.expect("an end").unwrap();
    assert!(matches!(ended, Err(Error::SessionClosed)), "{ended:?}");
}

/// A master whose znode was deleted, and that hears of it late; its client is told everything 3 s later.
async fn old_master(zookeeper: &ZooKeeper, paths: &Paths) -> (Proxy, Leadership) {
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let builder = Session::builder().session_timeout(Duration::from_secs(10)).connect_timeout(PATIENCE);
    let session = builder.connect(&proxy.address()).await.unwrap();
    let election = paths.builder(&session, Mode::Master, "old").build().unwrap();
    let leadership = won(&election).await.unwrap();
    proxy.delay(Direction::ToClient, Duration::from_secs(3));
    operator(zookeeper).await.delete(leadership.node(), None).await.unwrap();
    (proxy, leadership)
}

async fn refuses(zookeeper: &ZooKeeper, old: &Leadership) {
    assert!(old.is_valid(), "it knows of nothing");
    let operator = operator(zookeeper).await;
    assert!(operator.check_stat(old.node()).await.unwrap().is_some(), "the name has been given out again");
    let state = unique_path("crumb-state");
    let write = old.guarded().create(&state, "late", CreateMode::Persistent, &Acls::anyone_all()).commit();
    let error = tokio::time::timeout(PATIENCE, write).await.expect("an answer").expect_err("an old master");
    assert!(matches!(error, GuardedError::Superseded { .. }), "{error:?}");
    assert!(error.to_string().starts_with("nothing was written"), "{error}");
    assert!(operator.check_stat(&state).await.unwrap().is_none());
}

async fn an_old_master_writes_nothing_under_the_name_of_the_new_one(zookeeper: ZooKeeper) {
    let paths = Paths::new();
    let (_proxy, old) = old_master(&zookeeper, &paths).await;
    let session = connect(&zookeeper.connect_string()).await;
    let new = won(&paths.builder(&session, Mode::Master, "new").build().unwrap()).await.unwrap();
    refuses(&zookeeper, &old).await;
    let state = unique_path("crumb-state");
    new.guarded().create(&state, "", CreateMode::Persistent, &Acls::anyone_all()).commit().await.unwrap();
}

/// A breadcrumb that is emptied and written again must not look like the first one.
async fn a_resigned_leader_in_between_does_not_help_an_old_one(zookeeper: ZooKeeper) {
    let paths = Paths::new();
    let (_proxy, old) = old_master(&zookeeper, &paths).await;
    let session = connect(&zookeeper.connect_string()).await;
    let election = paths.builder(&session, Mode::Master, "new").build().unwrap();
    won(&election).await.unwrap().resign().await.unwrap();
    let _new = won(&election).await.unwrap();
    refuses(&zookeeper, &old).await;
}

async fn when_the_answers_are_lost_the_own_breadcrumb_is_not_fenced(zookeeper: ZooKeeper) {
    for when in [When::Before, When::After] {
        let (paths, hook) = (Paths::new(), Hook::default());
        let proxy = Proxy::start(zookeeper.connect_string()).await;
        let builder = Session::builder().session_timeout(Duration::from_secs(10)).connect_timeout(PATIENCE);
        let session = builder.connect(&proxy.address()).await.unwrap();
        let election = paths.join(&session, Mode::Sequential, "a", &hook);
        won(&election).await.unwrap().resign().await.unwrap();
        // The first transactions of a campaign are the proof and the breadcrumb: each gets one.
        for skipped in 0..2 {
            let mut standings = election.standings();
            let campaign = won(&election);
            let faults = async {
                if skipped == 1 {
                    let leads = |it: &_| matches!(it, zookeeper_election::Standing::Leading { .. });
                    standings.wait_for(leads).await.unwrap();
                }
                proxy.arm(Fault::new(&[OpCode::MULTI], when, How::Fin));
            };
            let (leadership, ()) = tokio::join!(campaign, faults);
            let leadership = leadership.unwrap();
            let (text, _) = paths.read(&operator(&zookeeper).await).await;
            assert!(text.contains(&leadership.token().to_string()), "{text}");
            let state = unique_path("crumb-state");
            let write =
                || leadership.guarded().create(&state, "", CreateMode::Persistent, &Acls::anyone_all());
            // A fault that is armed yet may meet this one.
            let written = match write().commit().await {
                Err(GuardedError::Unknown { .. }) => write().commit().await.map(drop),
                other => other.map(drop),
            };
            let there = matches!(written, Ok(()) | Err(GuardedError::Failed { .. }));
            assert!(there, "the version is known: {written:?}");
            proxy.fired().await;
            // And the answer to the emptying.
            proxy.arm(Fault::new(&[OpCode::MULTI], when, How::Fin));
            tokio::time::timeout(PATIENCE, leadership.resign()).await.expect("an end").unwrap();
            assert_eq!(paths.read(&operator(&zookeeper).await).await.0, "");
        }
        assert_eq!(hook.calls(), [], "{when:?}");
    }
}

async fn what_is_no_breadcrumb_is_left_alone(zookeeper: ZooKeeper) {
    let (paths, hook) = (Paths::new(), Hook::default());
    let operator = operator(&zookeeper).await;
    let everything = CreateMode::Persistent.with_acls(Acls::anyone_all());
    operator.mkdir(&paths.breadcrumb, &everything).await.unwrap();
    operator.set_data(&paths.breadcrumb, b"{\"retries\": 3}", None).await.unwrap();
    let session = connect(&zookeeper.connect_string()).await;
    let election = paths.join(&session, Mode::Sequential, "a", &hook);
    let error = won(&election).await.expect_err("somebody else's znode");
    assert!(matches!(&error, Error::NoBreadcrumb { path } if *path == paths.breadcrumb), "{error:?}");
    assert!(error.to_string().contains("choose another path"), "{error}");
    assert_eq!(paths.read(&operator).await, ("{\"retries\": 3}".into(), 1));
    election.withdraw().await.unwrap();
    assert_eq!(election.contenders().await.unwrap(), []);
    operator.set_data(&paths.breadcrumb, b"", None).await.unwrap();
    let _ = won(&election).await.unwrap();
    assert_eq!(hook.calls(), []);
}

async fn whoever_may_not_write_it_is_told(zookeeper: ZooKeeper) {
    let paths = Paths::new();
    let operator = operator(&zookeeper).await;
    operator.mkdir(&paths.breadcrumb, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    operator.set_acl(&paths.breadcrumb, Acls::anyone_read().as_ref(), None).await.unwrap();
    let session = connect(&zookeeper.connect_string()).await;
    let error = won(&paths.builder(&session, Mode::Sequential, "a").build().unwrap()).await;
    let error = error.expect_err("no permission");
    assert!(matches!(error, Error::NotAuthorized { operation: "write", .. }), "{error:?}");
}

async fn each_mistake_is_answered_when_the_election_is_built(zookeeper: ZooKeeper) {
    let session = connect(&zookeeper.connect_string()).await;
    let election = |path: &str| session.election("/app/x").breadcrumb(path);
    for (builder, parts) in [
        (election("crumb"), &["\"crumb\"", "begin with a slash", "/app/leader_election_breadcrumb"][..]),
        (election("/app/x"), &["the election's directory", "other clients"]),
        (election("/app/x/crumb"), &["the election's directory", "other clients"]),
        (election("/app/x/crumb").mode(Mode::Master), &["the master's znode"]),
        (election("/"), &["the root"]),
        (election("/zookeeper/crumb"), &["reserved"]),
        (session.election("/app/x").fence(Hook::default()), &["never be called", "`breadcrumb`"]),
    ] {
        let described = format!("{builder:?}");
        let message = builder.build().expect_err(&described).to_string();
        println!("{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{described}: {message}");
    }
}

async fn only_the_election_writes_it(zookeeper: ZooKeeper) {
    let paths = Paths::new();
    let session = connect(&zookeeper.connect_string()).await;
    let leadership = won(&paths.builder(&session, Mode::Sequential, "a").build().unwrap()).await.unwrap();
    let write = || leadership.guarded().set_data(&paths.breadcrumb, "mine", None);
    let error = write().commit().await.expect_err("it is the election's");
    assert!(matches!(error, GuardedError::InvalidPath { .. }), "{error:?}");
    // Whoever changes it by hand ends the guarded writes, and nothing else.
    let operator = operator(&zookeeper).await;
    operator.set_data(&paths.breadcrumb, b"", None).await.unwrap();
    let state = unique_path("crumb-state");
    let create = || leadership.guarded().create(&state, "", CreateMode::Persistent, &Acls::anyone_all());
    for _ in 0..2 {
        let error = create().commit().await.expect_err("changed");
        assert!(matches!(error, GuardedError::Superseded { .. }), "{error:?}");
        operator.delete(&paths.breadcrumb, None).await.ok();
    }
    tokio::time::timeout(PATIENCE, leadership.resign()).await.expect("an end").unwrap();
}
