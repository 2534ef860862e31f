//! Writes that commit only under a leadership: all of them or none, and none of an old leader's.

use std::time::Duration;

use crate::support::{
    Contender, Direction, Fault, How, OpCode, PATIENCE, Proxy, SESSION_TIMEOUT, When, ZooKeeper, connect,
    eventually, lost, on_both_servers, unique_path,
};
use zookeeper_election::zookeeper_client::{
    Acls, Client, CreateMode, Error as ClientError, MultiWriteResult, Permission,
};
use zookeeper_election::{GuardedError, GuardedWrite, Leadership, Lost, MAX_GUARDED_BYTES, Mode, Session};

on_both_servers! {
    a_leader_writes_several_znodes_at_once;
    all_or_nothing_is_written;
    a_refusal_says_which_operation_failed_and_why;
    whoever_has_withdrawn_writes_nothing;
    whoever_has_lost_the_session_writes_nothing;
    a_leader_that_has_not_heard_of_its_end_writes_nothing;
    each_mistake_is_answered_before_anything_is_sent;
    the_largest_transaction_is_accepted_and_a_larger_one_costs_no_connection: 3 servers;
    when_the_answer_is_lost_nobody_knows;
    during_a_disconnection_it_waits_as_long_as_the_leadership_lasts;
    paths_are_below_the_chroot;
}

/// A session timeout that outlasts what a test does to a connection.
const LONG: Duration = Duration::from_secs(10);

/// A leader on a session of its own, somebody else's client, and a znode to write to.
struct Scene {
    leadership: Leadership,
    operator: Client,
    state: String,
}

impl Scene {
    async fn new(zookeeper: &ZooKeeper) -> Self {
        Self::on(zookeeper, &connect(&zookeeper.connect_string()).await).await
    }

    async fn on(zookeeper: &ZooKeeper, session: &Session) -> Self {
        let leadership = session.election(&unique_path("guarded")).build().unwrap().campaign().await.unwrap();
        let operator = Client::connect(&zookeeper.connect_string()).await.unwrap();
        let state = unique_path("guarded-state");
        operator
            .create(&state, b"before", &CreateMode::Persistent.with_acls(Acls::anyone_all()))
            .await
            .unwrap();
        Self { leadership, operator, state }
    }

    async fn state(&self) -> String {
        String::from_utf8(self.operator.get_data(&self.state).await.unwrap().0).unwrap()
    }

    async fn write(&self, data: &str) -> Result<Vec<MultiWriteResult>, GuardedError> {
        committed(self.leadership.guarded().set_data(&self.state, data, None)).await
    }
}

async fn committed(write: GuardedWrite<'_>) -> Result<Vec<MultiWriteResult>, GuardedError> {
    tokio::time::timeout(PATIENCE, write.commit()).await.expect("an answer")
}

async fn long_session(servers: &str) -> Session {
    Session::builder()
        .session_timeout(LONG)
        .connect_timeout(PATIENCE)
        .connect(servers)
        .await
        .expect("a session")
}

async fn a_leader_writes_several_znodes_at_once(zookeeper: ZooKeeper) {
    let scene = Scene::new(&zookeeper).await;
    let child = format!("{}/child", scene.state);
    let anyone = Acls::anyone_all();
    let write = scene
        .leadership
        .guarded()
        .create(&child, "new", CreateMode::Persistent, &anyone)
        .create(format!("{child}-"), "", CreateMode::PersistentSequential, &anyone)
        .check(&child, 0)
        .set_data(&scene.state, "after", 0)
        .delete(&child, None);
    let results = committed(write).await.unwrap();
    let [
        created,
        numbered,
        MultiWriteResult::Check,
        MultiWriteResult::SetData { stat },
        MultiWriteResult::Delete,
    ] = &results[..]
    else {
        panic!("one result for each operation, and none for the guard: {results:?}");
    };
    assert!(matches!(created, MultiWriteResult::Create { path, .. } if *path == child), "{created:?}");
    let MultiWriteResult::Create { path: numbered, .. } = numbered else { panic!("{numbered:?}") };
    assert!(numbered.starts_with(&format!("{child}-")) && numbered.len() == child.len() + 11, "{numbered}");
    assert_eq!(stat.version, 1);
    assert_eq!(scene.state().await, "after");
    assert!(scene.operator.check_stat(&child).await.unwrap().is_none());
    assert!(scene.operator.check_stat(numbered).await.unwrap().is_some());
}

async fn all_or_nothing_is_written(zookeeper: ZooKeeper) {
    let scene = Scene::new(&zookeeper).await;
    let child = format!("{}/child", scene.state);
    let write = scene
        .leadership
        .guarded()
        .set_data(&scene.state, "after", None)
        .create(&child, "", CreateMode::Persistent, &Acls::anyone_all())
        .delete(format!("{}/missing", scene.state), None);
    let error = committed(write).await.expect_err("the last one cannot be done");
    assert!(matches!(error, GuardedError::Failed { index: 2, source: ClientError::NoNode, .. }), "{error:?}");
    assert_eq!(scene.state().await, "before");
    assert!(scene.operator.check_stat(&child).await.unwrap().is_none());
    // It costs nothing but the transaction.
    scene.write("later").await.unwrap();
    assert_eq!(scene.state().await, "later");
}

async fn a_refusal_says_which_operation_failed_and_why(zookeeper: ZooKeeper) {
    let scene = Scene::new(&zookeeper).await;
    let Scene { leadership, operator, state } = &scene;
    let closed = format!("{state}/closed");
    let read_only = [zookeeper_election::zookeeper_client::Acl::new(
        Permission::READ,
        zookeeper_election::zookeeper_client::AuthId::anyone(),
    )];
    operator.create(&closed, b"", &CreateMode::Persistent.with_acls(Acls::new(&read_only))).await.unwrap();
    let anyone = Acls::anyone_all();
    let first = || leadership.guarded().set_data(state, "after", None);
    let missing = format!("{state}/missing");
    let own = leadership.node();
    for (write, expected, parts) in [
        (first().set_data(state, "", 7), ClientError::BadVersion, ["set the data of", "its version"]),
        (first().check(&missing, None), ClientError::NoNode, ["check", "create the znode"]),
        (first().delete(state, None), ClientError::NotEmpty, ["delete", "its children"]),
        (
            first().create(&closed, "", CreateMode::Persistent, &anyone),
            ClientError::NodeExists,
            ["create", "set_data"],
        ),
        (first().set_data(&closed, "", None), ClientError::NoAuth, ["set the data of", "credentials"]),
        (
            first().create(format!("{own}/x"), "", CreateMode::Persistent, &anyone),
            ClientError::NoChildrenForEphemerals,
            ["create", "another parent"],
        ),
    ] {
        let error = committed(write).await.expect_err("it cannot be done");
        let message = error.to_string();
        println!("{message}");
        assert!(message.starts_with("nothing was written, since operation 1 failed"), "{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}: {parts:?}");
        let GuardedError::Failed { index: 1, source, .. } = error else { panic!("{error:?}") };
        assert_eq!(source, expected);
        assert_eq!(scene.state().await, "before");
    }
    assert!(leadership.is_valid());
}

async fn whoever_has_withdrawn_writes_nothing(zookeeper: ZooKeeper) {
    let servers = zookeeper.connect_string();
    let mut a = Contender::join(&servers, &unique_path("guarded"), Mode::Sequential, "a").await;
    let leadership = a.leads().await;
    let state = unique_path("guarded-state");
    let create = || leadership.guarded().create(&state, "", CreateMode::Persistent, &Acls::anyone_all());
    a.election.withdraw().await.unwrap();
    let error = committed(create()).await.expect_err("not the leader");
    assert!(matches!(error, GuardedError::NotLeading { reason: Lost::Resigned }), "{error:?}");
    a.session.close().await.unwrap();
    let error = committed(create()).await.expect_err("not the leader");
    assert!(matches!(error, GuardedError::NotLeading { reason: Lost::Resigned }), "{error:?}");
    let operator = Client::connect(&servers).await.unwrap();
    assert!(operator.check_stat(&state).await.unwrap().is_none());
}

async fn whoever_has_lost_the_session_writes_nothing(zookeeper: ZooKeeper) {
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let session = connect(&proxy.address()).await;
    let scene = Scene::on(&zookeeper, &session).await;
    let id = session.id();
    proxy.refuse(true);
    proxy.cut_all();
    eventually("the connection is gone", PATIENCE, async || session.id().is_none().then_some(())).await;
    // It waits for a connection, and is told when there is none in time.
    let error = scene.write("late").await.expect_err("no connection");
    assert!(matches!(error, GuardedError::NotLeading { reason: Lost::LeaseExpired }), "{error:?}");
    eventually("the ensemble expires the session", PATIENCE, async || {
        scene.operator.check_stat(scene.leadership.node()).await.unwrap().is_none().then_some(())
    })
    .await;
    proxy.refuse(false);
    eventually("another session", PATIENCE, async || session.id().filter(|now| Some(*now) != id)).await;
    let error = scene.write("late").await.expect_err("another session");
    assert!(matches!(error, GuardedError::NotLeading { .. }), "{error:?}");
    assert_eq!(scene.state().await, "before");
}

/// Until the news arrives the lease is valid: it is ZooKeeper that refuses.
async fn a_leader_that_has_not_heard_of_its_end_writes_nothing(zookeeper: ZooKeeper) {
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let session = long_session(&proxy.address()).await;
    let scene = Scene::on(&zookeeper, &session).await;
    proxy.delay(Direction::ToClient, Duration::from_secs(2));
    scene.operator.delete(scene.leadership.node(), None).await.unwrap();
    assert!(scene.leadership.is_valid(), "it does not know");
    let error = scene.write("late").await.expect_err("not the leader any more");
    assert!(matches!(error, GuardedError::NotLeading { reason: Lost::NodeDeleted }), "{error:?}");
    assert!(error.to_string().starts_with("nothing was written"), "{error}");
    assert_eq!(scene.state().await, "before");
    assert_eq!(lost(&scene.leadership).await, Lost::NodeDeleted);
}

async fn each_mistake_is_answered_before_anything_is_sent(zookeeper: ZooKeeper) {
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let session = long_session(&proxy.address()).await;
    let scene = Scene::on(&zookeeper, &session).await;
    let guarded = || scene.leadership.guarded().set_data(&scene.state, "after", None);
    let anyone = Acls::anyone_all();
    let persistent = CreateMode::Persistent;
    // Nothing gets an answer from now on, so that what is sent has no other end than `Unknown`.
    proxy.swallow(Direction::Both, true);
    for (write, parts) in [
        (scene.leadership.guarded(), &["the transaction is empty", "set_data"][..]),
        (guarded().set_data("state", "", None), &["\"state\"", "begin with a slash", "/app/state"]),
        (guarded().delete("/app/", None), &["\"/app/\"", "ends in a slash"]),
        (guarded().delete("/", None), &["the root can be neither"]),
        (guarded().check("", None), &["it is empty"]),
        (guarded().create("/a/../b", "", persistent, &anyone), &["relative"]),
        (guarded().create("/a\u{1}", "", CreateMode::EphemeralSequential, &anyone), &["does not allow"]),
        (guarded().create("/a", "", persistent, &[]), &["ACL for /a is empty", "Acls::anyone_all()"]),
        (guarded().set_data("/a", vec![0; 2 << 20], None), &["2097", "1047551 allowed"]),
        (guarded().create("/a", vec![0; 1 << 20], persistent, &anyone), &["1048", "1047551 allowed"]),
    ] {
        let described = format!("{write:?}");
        let error = committed(write).await.expect_err(&described);
        let message = error.to_string();
        println!("{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{described}: {message}");
    }
    assert!(scene.leadership.is_valid());
    assert_eq!(scene.state().await, "before");
}

async fn the_largest_transaction_is_accepted_and_a_larger_one_costs_no_connection(zookeeper: ZooKeeper) {
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let session = long_session(&proxy.address()).await;
    let scene = Scene::on(&zookeeper, &session).await;
    let write = |bytes: usize| scene.leadership.guarded().set_data(&scene.state, vec![b'x'; bytes], None);
    committed(write(1_000_000)).await.unwrap();
    let error = committed(write(MAX_GUARDED_BYTES)).await.expect_err("with the paths it is too long");
    let GuardedError::TooLarge { bytes } = error else { panic!("{error:?}") };
    let most = MAX_GUARDED_BYTES - (bytes - MAX_GUARDED_BYTES);
    committed(write(most)).await.unwrap();
    assert_eq!(scene.operator.get_data(&scene.state).await.unwrap().0.len(), most);
    let error = committed(write(most + 1)).await.expect_err("one byte more");
    assert!(matches!(error, GuardedError::TooLarge { bytes } if bytes == MAX_GUARDED_BYTES + 1), "{error:?}");
    // In many small pieces, too.
    let many = (0..40_000).fold(scene.leadership.guarded(), |write, _| write.check(&scene.state, None));
    let error = committed(many).await.expect_err("too many");
    assert!(matches!(error, GuardedError::TooLarge { .. }), "{error:?}");
    assert!(scene.leadership.is_valid());
    assert_eq!(proxy.connections(), 1, "the first connection is still in use");
}

async fn when_the_answer_is_lost_nobody_knows(zookeeper: ZooKeeper) {
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let session = long_session(&proxy.address()).await;
    let scene = Scene::on(&zookeeper, &session).await;
    let id = session.id();
    let mut number = 0;
    for (when, how) in [
        (When::Before, How::Fin),
        (When::After, How::Fin),
        (When::Before, How::Reset),
        (When::After, How::Reset),
    ] {
        // Now and then the fault meets a proof of the session, and the write goes through, or never leaves.
        let error = loop {
            let before = scene.state().await;
            number += 1;
            assert!(number < 30, "the fault never meets the write");
            proxy.arm(Fault::new(&[OpCode::MULTI], when, how));
            let written = scene.write(&number.to_string()).await;
            proxy.fired().await;
            let after = scene.state().await;
            let expected = if when == When::After { number.to_string() } else { before.clone() };
            match written {
                Err(error) if after == expected => break error,
                Err(_) => assert_eq!(after, before, "{when:?} {how:?}"),
                Ok(_) => assert_eq!(after, number.to_string()),
            }
        };
        assert!(matches!(error, GuardedError::Unknown { .. }), "{when:?} {how:?}: {error:?}");
        assert!(error.to_string().contains("send it again only if"), "{error}");
        eventually("the same session", PATIENCE, async || session.id().filter(|now| Some(*now) == id)).await;
        assert!(scene.leadership.is_valid(), "a lost answer deposes nobody");
    }
    scene.write("at last").await.unwrap();
    assert_eq!(scene.state().await, "at last");
}

async fn during_a_disconnection_it_waits_as_long_as_the_leadership_lasts(zookeeper: ZooKeeper) {
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let session = long_session(&proxy.address()).await;
    let scene = Scene::on(&zookeeper, &session).await;
    proxy.refuse(true);
    proxy.cut_all();
    eventually("the connection is gone", PATIENCE, async || session.id().is_none().then_some(())).await;
    let write = scene.write("after");
    tokio::pin!(write);
    let early = tokio::time::timeout(SESSION_TIMEOUT / 4, &mut write).await;
    assert!(early.is_err(), "{early:?}");
    proxy.refuse(false);
    write.await.unwrap();
    assert_eq!(scene.state().await, "after");
    assert!(scene.leadership.is_valid());
}

async fn paths_are_below_the_chroot(zookeeper: ZooKeeper) {
    let servers = zookeeper.connect_string();
    let operator = Client::connect(&servers).await.unwrap();
    let everything = CreateMode::Persistent.with_acls(Acls::anyone_all());
    operator.create("/chroot", b"", &everything).await.unwrap();
    let session = connect(&format!("{servers}/chroot")).await;
    let leadership = session.election("/election").build().unwrap().campaign().await.unwrap();
    let write = leadership
        .guarded()
        .create("/state", "new", CreateMode::Persistent, &Acls::anyone_all())
        .check("/missing", None);
    let error = committed(write).await.expect_err("it is missing");
    assert!(matches!(&error, GuardedError::Failed { path, .. } if path == "/missing"), "{error:?}");
    let create = || leadership.guarded().create("/state", "new", CreateMode::Persistent, &Acls::anyone_all());
    let results = committed(create()).await.unwrap();
    assert!(
        matches!(&results[..], [MultiWriteResult::Create { path, .. }] if path == "/state"),
        "{results:?}"
    );
    assert_eq!(operator.get_data("/chroot/state").await.unwrap().0, b"new");
    // What the server gets has the chroot in every path.
    let large = leadership.guarded().set_data("/state", vec![0; MAX_GUARDED_BYTES], None);
    let Err(GuardedError::TooLarge { bytes }) = committed(large).await else { panic!("too long") };
    let paths = [leadership.node(), "/state"].map(|path| "/chroot".len() + path.len());
    let (check, set_data) = (9 + 4 + paths[0] + 4, 9 + 4 + paths[1] + 4 + MAX_GUARDED_BYTES + 4);
    assert_eq!(bytes, 8 + check + set_data + 9);
}
