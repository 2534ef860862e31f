//! A create whose reply is lost: there is one znode, never two and never a ghost.

use std::time::Instant;

use crate::support::{
    Contender, Fault, How, OpCode, PATIENCE, Proxy, SESSION_TIMEOUT, When, ZooKeeper, connect, eventually,
    identities, on_both_servers, queue, unique_path,
};
use zookeeper_election::{Lost, Mode, Standing};

on_both_servers! {
    a_campaign_that_is_dropped_while_the_reply_is_lost_leaves_no_znode;
    the_reply_to_a_resignation_is_lost;
    a_leader_whose_connection_breaks_goes_on_leading;
    a_leader_that_stays_disconnected_steps_down_and_its_znode_goes;
    a_namesake_in_the_queue_is_not_robbed;
    a_namesake_that_is_master_is_not_robbed;
}

/// Cuts the connection around the create of a contender in a queue of two, and looks at what is left.
async fn one_znode(zookeeper: ZooKeeper, mode: Mode, when: When, how: How) {
    let path = unique_path("lost-reply");
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    // The directory is there, so that the first create is the contender's.
    let mut first = Contender::join(&zookeeper.connect_string(), &path, mode, "first").await;
    let leadership = first.leads().await;
    if mode == Mode::Master {
        leadership.resign().await.unwrap();
    } else {
        assert!(leadership.is_valid());
        std::mem::forget(leadership);
    }

    let session = connect(&proxy.address()).await;
    let id = session.id();
    proxy.arm(Fault::on_join(when, how));
    let mut second = Contender::join_on(session, &path, mode, "second").await;
    proxy.fired().await;
    assert_eq!(second.session.id(), id, "still the same session");
    let expected = if mode == Mode::Master { vec!["second"] } else { vec!["first", "second"] };
    assert_eq!(identities(&first.election).await, expected);
    if mode == Mode::Sequential {
        let names = queue(&first.election).await;
        assert_eq!(names, ["guid_0000000000", "guid_0000000001"], "no number was given out in vain");
    } else {
        assert!(second.leads().await.is_valid());
    }

    // What was found is in use: it goes when the contender goes.
    second.election.withdraw().await.unwrap();
    let left = identities(&first.election).await;
    assert_eq!(left, expected[..expected.len() - 1]);
}

macro_rules! one_znode {
    ($($name:ident: $mode:ident, $when:ident, $how:ident;)*) => {$(
        on_both_servers!($name;);

        async fn $name(zookeeper: ZooKeeper) {
            one_znode(zookeeper, Mode::$mode, When::$when, How::$how).await;
        }
    )*};
}

one_znode! {
    the_connection_is_closed_after_the_create: Sequential, After, Fin;
    the_connection_is_reset_after_the_create: Sequential, After, Reset;
    the_connection_falls_silent_after_the_create: Sequential, After, Silence;
    the_connection_is_closed_before_the_create: Sequential, Before, Fin;
    the_connection_is_reset_before_the_create: Sequential, Before, Reset;
    the_connection_falls_silent_before_the_create: Sequential, Before, Silence;
    the_connection_is_closed_after_the_create_in_master_mode: Master, After, Fin;
    the_connection_is_reset_after_the_create_in_master_mode: Master, After, Reset;
    the_connection_falls_silent_after_the_create_in_master_mode: Master, After, Silence;
    the_connection_is_closed_before_the_create_in_master_mode: Master, Before, Fin;
}

async fn a_campaign_that_is_dropped_while_the_reply_is_lost_leaves_no_znode(zookeeper: ZooKeeper) {
    let path = unique_path("dropped");
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let first = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "first").await;
    for how in [How::Fin, How::Reset, How::Silence] {
        let session = connect(&proxy.address()).await;
        let election = session.election(&path).identity("second").build().unwrap();
        proxy.arm(Fault::on_join(When::After, how));
        {
            let campaign = election.campaign();
            tokio::pin!(campaign);
            tokio::select! {
                _ = &mut campaign => panic!("second is not to lead"),
                () = proxy.fired() => {}
            }
        }
        eventually("no znode of second", PATIENCE, async || {
            (election.standing() == Standing::Idle).then_some(())
        })
        .await;
        assert_eq!(identities(&first.election).await, ["first"]);
        session.close().await.unwrap();
    }
}

async fn the_reply_to_a_resignation_is_lost(zookeeper: ZooKeeper) {
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    for mode in [Mode::Sequential, Mode::Master] {
        let path: &'static str = unique_path("resignation").leak();
        for (when, how) in [(When::After, How::Fin), (When::Before, How::Reset), (When::Before, How::Silence)]
        {
            let session = connect(&proxy.address()).await;
            let mut a = Contender::join_on(session, path, mode, "a").await;
            let mut b = Contender::join(&zookeeper.connect_string(), path, mode, "b").await;
            let leadership = a.leads().await;
            // By itself, or in a transaction.
            proxy.arm(Fault::at(path, &[OpCode::DELETE], when, how));
            leadership.resign().await.unwrap();
            proxy.fired().await;
            let leadership = b.leads().await;
            assert_eq!(identities(&b.election).await, ["b"], "{mode}");
            leadership.resign().await.unwrap();
            a.session.close().await.unwrap();
        }
    }
}

async fn a_leader_whose_connection_breaks_goes_on_leading(zookeeper: ZooKeeper) {
    let path = unique_path("broken");
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let mut a = Contender::join_on(connect(&proxy.address()).await, &path, Mode::Sequential, "a").await;
    let b = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "b").await;
    let leadership = a.leads().await;
    let (session, begun) = (a.session.id(), Instant::now());
    for _ in 0..5 {
        proxy.cut_all();
        tokio::time::sleep(SESSION_TIMEOUT / 2).await;
        assert!(leadership.is_valid(), "after {:?}", begun.elapsed());
    }
    assert_eq!(a.session.id(), session);
    assert!(b.campaigns());
}

async fn a_leader_that_stays_disconnected_steps_down_and_its_znode_goes(zookeeper: ZooKeeper) {
    let path = unique_path("broken");
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let mut a = Contender::join_on(connect(&proxy.address()).await, &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "b").await;
    let leadership = a.leads().await;
    let session = a.session.id();
    proxy.refuse(true);
    proxy.cut_all();
    assert_eq!(crate::support::lost(&leadership).await, Lost::LeaseExpired);
    assert!(!leadership.is_valid());
    assert!(b.campaigns(), "nobody leads before the znode has gone");
    proxy.refuse(false);
    // Reconnected, it removes its znode: nobody waits for the session timeout, and the session lives.
    assert!(b.leads().await.token() > leadership.token());
    a.reaches("idle", |standing| *standing == Standing::Idle).await;
    assert_eq!(a.session.id(), session);
    a.campaign();
    a.placed().await;
    assert_eq!(identities(&b.election).await.last().unwrap(), "a");
}

/// After a lost reply, a znode with the same identity is not the own one if another session owns it.
async fn a_namesake_on_another_session_is_not_robbed(zookeeper: ZooKeeper, mode: Mode, when: When) {
    let path = unique_path("namesake");
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let mut first = Contender::join(&zookeeper.connect_string(), &path, mode, "twin").await;
    let leadership = first.leads().await;
    let session = connect(&proxy.address()).await;
    proxy.arm(Fault::on_join(when, How::Fin));
    let mut second = Contender::join_on(session, &path, mode, "twin").await;
    proxy.fired().await;
    assert!(second.campaigns(), "two leaders on {}", leadership.node());
    let node = match second.election.standing() {
        Standing::Waiting { node, .. } => node,
        other => panic!("{other:?}"),
    };
    assert_ne!(node.as_deref(), Some(leadership.node()));
    assert!(leadership.is_valid());
    let token = leadership.token();
    leadership.resign().await.unwrap();
    assert!(second.leads().await.token() > token);
}

async fn a_namesake_in_the_queue_is_not_robbed(zookeeper: ZooKeeper) {
    a_namesake_on_another_session_is_not_robbed(zookeeper, Mode::Sequential, When::Before).await;
}

async fn a_namesake_that_is_master_is_not_robbed(zookeeper: ZooKeeper) {
    a_namesake_on_another_session_is_not_robbed(zookeeper, Mode::Master, When::After).await;
}
