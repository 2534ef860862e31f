//! ACLs that permit less than is wanted: what cannot be removed is reported, and goes with the session.

use crate::support::{
    Contender, Fault, How, PATIENCE, Proxy, SESSION_TIMEOUT, When, ZooKeeper, connect, eventually,
    on_both_servers, unique_path,
};
use zookeeper_election::zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Permission};
use zookeeper_election::{Error, Mode, Session, Standing};

on_both_servers! {
    a_znode_that_may_not_be_deleted_goes_with_the_session;
    closing_says_that_a_znode_is_left_on_the_application_s_own_client;
    closing_says_that_a_znode_is_left_of_a_contender_that_was_dropped;
    a_znode_that_its_owner_may_not_read_is_no_place_in_the_queue;
    whoever_may_not_read_the_znode_before_its_own_is_told_and_not_left_waiting;
    a_master_needs_permission_to_write_the_counter;
    a_directory_is_enough_for_a_contender;
    a_session_with_many_watched_paths_survives_reconnections_and_refuses_too_many;
}

fn anyone(permission: Permission) -> [Acl; 1] {
    [Acl::new(permission, AuthId::new("world", "anyone"))]
}

/// A directory in which anyone may create and look, and nobody may delete.
async fn sticky(operator: &Client, path: &str) {
    let everything = CreateMode::Persistent.with_acls(Acls::anyone_all());
    operator.mkdir("/test", &everything).await.unwrap();
    let acl = anyone(Permission::READ | Permission::CREATE);
    operator.create(path, b"", &CreateMode::Persistent.with_acls(Acls::new(&acl))).await.unwrap();
}

/// The path of a master below a directory, with a counter that anyone may use.
async fn master(operator: &Client, dir: &str) -> String {
    let path = format!("{dir}/master");
    let counter = CreateMode::Persistent.with_acls(Acls::anyone_all());
    operator.create(&format!("{path}..counter"), b"", &counter).await.unwrap();
    path
}

async fn a_znode_that_may_not_be_deleted_goes_with_the_session(zookeeper: ZooKeeper) {
    let path = unique_path("sticky");
    let operator = Client::connect(&zookeeper.connect_string()).await.unwrap();
    sticky(&operator, &path).await;

    let session = connect(&zookeeper.connect_string()).await;
    let election = session.election(&path).build().unwrap();
    let leadership = election.campaign().await.unwrap();
    let resigned = leadership.resign().await;
    let Err(Error::NotAuthorized { operation: "delete", path: refused }) = &resigned else {
        panic!("{resigned:?}");
    };
    assert!(refused.starts_with(&path));
    let again = election.campaign().await;
    assert!(matches!(again, Err(Error::NotAuthorized { operation: "delete", .. })), "{again:?}");
    assert_eq!(operator.list_children(&path).await.unwrap().len(), 1);
    drop((election, session));
    eventually("the session closes and takes the znode along", PATIENCE, async || {
        operator.list_children(&path).await.unwrap().is_empty().then_some(())
    })
    .await;
}

async fn closing_says_that_a_znode_is_left_on_the_application_s_own_client(zookeeper: ZooKeeper) {
    let path = unique_path("sticky");
    let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    let client = connector.connect(&zookeeper.connect_string()).await.unwrap();
    sticky(&client, &path).await;
    let session = Session::from_client(client.clone());
    let leadership = session.election(&path).build().unwrap().campaign().await.unwrap();
    // However often it is asked for, everybody gets the same answer.
    let (closed, again) = tokio::join!(session.close(), session.close());
    for closed in [closed, again] {
        assert!(matches!(closed, Err(Error::RemovalUnconfirmed)), "{closed:?}");
    }
    assert!(!leadership.is_valid());
    assert_eq!(client.list_children(&path).await.unwrap().len(), 1);
}

async fn closing_says_that_a_znode_is_left_of_a_contender_that_was_dropped(zookeeper: ZooKeeper) {
    let path = unique_path("sticky");
    let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    let client = connector.connect(&zookeeper.connect_string()).await.unwrap();
    sticky(&client, &path).await;
    let session = Session::from_client(client.clone());
    let election = session.election(&path).build().unwrap();
    let resigned = election.campaign().await.unwrap().resign().await;
    assert!(matches!(resigned, Err(Error::NotAuthorized { operation: "delete", .. })), "{resigned:?}");
    let mut standings = election.standings();
    drop(election);
    // The contender's task gives up, and the channel closes with it.
    tokio::time::timeout(PATIENCE, async { while standings.changed().await.is_ok() {} })
        .await
        .expect("an end");
    let closed = session.close().await;
    assert!(matches!(closed, Err(Error::RemovalUnconfirmed)), "{closed:?}");
    assert_eq!(client.list_children(&path).await.unwrap().len(), 1);
}

async fn a_znode_that_its_owner_may_not_read_is_no_place_in_the_queue(zookeeper: ZooKeeper) {
    let path = unique_path("unreadable");
    let operator = Client::connect(&zookeeper.connect_string()).await.unwrap();
    operator.mkdir(&path, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let session = connect(&proxy.address()).await;
    let acl = anyone(Permission::CREATE | Permission::DELETE);
    for mode in [Mode::Sequential, Mode::Master] {
        let path = if mode == Mode::Master { master(&operator, &path).await } else { path.clone() };
        let election = session.election(&path).mode(mode).acl(&acl).build().unwrap();
        for lost_reply in [false, true] {
            if lost_reply {
                proxy.arm(Fault::on_join(When::After, How::Fin));
            }
            let campaign = tokio::time::timeout(PATIENCE, election.campaign()).await.expect("an end");
            assert!(matches!(campaign, Err(Error::NotAuthorized { operation: "read", .. })), "{campaign:?}");
            eventually("nothing is left", PATIENCE, async || {
                operator.list_children(&path).await.unwrap_or_default().is_empty().then_some(())
            })
            .await;
        }
        proxy.fired().await;
    }
}

/// Servers tell nobody that a znode has gone whom its ACL does not let read it: a contender would wait in vain.
async fn whoever_may_not_read_the_znode_before_its_own_is_told_and_not_left_waiting(zookeeper: ZooKeeper) {
    let path = unique_path("secret");
    let operator = Client::connect(&zookeeper.connect_string()).await.unwrap();
    operator.mkdir(&path, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    for mode in [Mode::Sequential, Mode::Master] {
        let path = if mode == Mode::Master { master(&operator, &path).await } else { path.clone() };
        let builder = Session::builder().session_timeout(SESSION_TIMEOUT).auth("digest", b"a:secret");
        let session = builder.connect(&zookeeper.connect_string()).await.unwrap();
        let mine = [Acl::new(Permission::ALL, AuthId::authed())];
        let first = session.election(&path).mode(mode).acl(&mine).build().unwrap();
        let leadership = tokio::time::timeout(PATIENCE, first.campaign()).await.expect("an end").unwrap();

        let other = connect(&zookeeper.connect_string()).await;
        let second = other.election(&path).mode(mode).build().unwrap();
        let campaign = tokio::time::timeout(PATIENCE, second.campaign()).await.expect("an end");
        assert!(matches!(campaign, Err(Error::NotAuthorized { operation: "read", .. })), "{campaign:?}");
        assert!(leadership.is_valid());
        leadership.resign().await.unwrap();
        // Whoever can read what is there has its turn.
        let campaign = tokio::time::timeout(PATIENCE, second.campaign()).await.expect("an end");
        campaign.unwrap().resign().await.unwrap();
    }
}

async fn a_session_with_many_watched_paths_survives_reconnections_and_refuses_too_many(zookeeper: ZooKeeper) {
    let servers = zookeeper.connect_string();
    let proxy = Proxy::start(&servers).await;
    let (leading, waiting) = (connect(&servers).await, connect(&proxy.address()).await);
    // Each contender that waits watches two znodes, with paths of about 1,500 bytes.
    let path = |number: usize| format!("/{number}-{}", "x".repeat(1500));
    let mut leaders = Vec::new();
    let mut contenders = Vec::new();
    for number in 0..30 {
        leaders.push(Contender::join_on(leading.clone(), &path(number), Mode::Sequential, "leader").await);
        contenders.push(Contender::join_on(waiting.clone(), &path(number), Mode::Sequential, "waiter").await);
    }
    for _ in 0..3 {
        let session = waiting.id();
        proxy.clear_requests();
        proxy.cut_all();
        eventually("all have looked again, or given up", PATIENCE, async || {
            let lists =
                proxy.requests().iter().filter(|it| **it == crate::support::OpCode::GET_CHILDREN).count();
            let given_up = !contenders.iter().all(Contender::campaigns);
            (lists >= contenders.len() || given_up).then_some(())
        })
        .await;
        assert!(contenders.iter().all(Contender::campaigns), "an ordinary disconnection ends no campaign");
        for contender in &contenders {
            contender.reaches("a connection", |it| matches!(it, Standing::Waiting { .. })).await;
        }
        assert!(contenders.iter().all(Contender::campaigns), "an ordinary disconnection ends no campaign");
        assert_eq!(waiting.id(), session);
    }
    let mut refused = None;
    let mut campaigns = Vec::new();
    for number in 30..60 {
        leaders.push(Contender::join_on(leading.clone(), &path(number), Mode::Sequential, "leader").await);
        let election = std::sync::Arc::new(waiting.election(&path(number)).build().unwrap());
        let it = election.clone();
        let campaign = tokio::spawn(async move { it.campaign().await });
        eventually("a place, or none", PATIENCE, async || {
            let waits = matches!(election.standing(), Standing::Waiting { .. });
            (waits || campaign.is_finished()).then_some(())
        })
        .await;
        if campaign.is_finished() {
            refused = Some(campaign.await.unwrap().expect_err("the leader leads"));
            break;
        }
        campaigns.push(campaign);
    }
    let error = refused.expect("a limit");
    assert!(matches!(error, Error::TooManyWatches { .. }), "{error}");
    assert!(error.to_string().contains("open another session"));
    assert!(contenders.iter().all(Contender::campaigns), "the others lose nothing");
}

async fn a_master_needs_permission_to_write_the_counter(zookeeper: ZooKeeper) {
    let path = unique_path("counter");
    let operator = Client::connect(&zookeeper.connect_string()).await.unwrap();
    operator.mkdir("/test", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    let counter = format!("{path}..counter");
    let readable = anyone(Permission::READ);
    operator.create(&counter, b"", &CreateMode::Persistent.with_acls(Acls::new(&readable))).await.unwrap();
    let session = connect(&zookeeper.connect_string()).await;
    let election = session.election(&path).mode(Mode::Master).build().unwrap();
    let campaign = tokio::time::timeout(PATIENCE, election.campaign()).await.expect("an end");
    let Err(Error::NotAuthorized { operation: "write", path: refused }) = campaign else {
        panic!("{campaign:?}");
    };
    assert_eq!(refused, counter);
    assert!(operator.check_stat(&path).await.unwrap().is_none(), "no master without a counter");
}

/// An operator has made the directory, and lets contenders create and delete nothing else.
async fn a_directory_is_enough_for_a_contender(zookeeper: ZooKeeper) {
    let parent = unique_path("locked");
    let path = format!("{parent}/election");
    let operator = Client::connect(&zookeeper.connect_string()).await.unwrap();
    operator.mkdir(&path, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    operator.set_acl(&parent, &anyone(Permission::READ), None).await.unwrap();
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let session = connect(&proxy.address()).await;
    let election = session.election(&path).build().unwrap();
    election.campaign().await.unwrap().resign().await.unwrap();
    // What a lost answer leaves behind stands in the directory, too, and nobody takes it for a contender.
    proxy.arm(Fault::on_join(When::After, How::Fin));
    let leadership = election.campaign().await.unwrap();
    proxy.fired().await;
    assert_eq!(election.contenders().await.unwrap().len(), 1);
    leadership.resign().await.unwrap();
    session.close().await.unwrap();
    assert!(operator.list_children(&path).await.unwrap().is_empty());
}
