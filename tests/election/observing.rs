//! Looking at an election without taking part.

use std::time::Duration;

use crate::support::{Contender, PATIENCE, Proxy, ZooKeeper, connect, on_both_servers, unique_path};
use zookeeper_election::{Contender as Seen, Error, LeaderWatch, Mode};

on_both_servers! {
    an_observer_sees_every_leader_and_vacancy: 3 servers;
    an_observer_sees_every_master_and_vacancy: 3 servers;
    an_observer_survives_disconnections_and_misses_nothing_of_what_is_left;
    a_leader_that_changes_while_the_observer_looks_is_not_missed;
    a_master_that_changes_while_the_observer_looks_is_not_missed;
    an_observer_asks_nothing_while_nothing_changes;
}

async fn next(watch: &mut LeaderWatch) -> Option<Seen> {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("a change").expect("no error")
}

async fn sees_every_leader_and_vacancy(zookeeper: ZooKeeper, mode: Mode) {
    let path = unique_path("observe");
    let servers = zookeeper.connect_string();
    let session = connect(&servers).await;
    let election = session.election(&path).mode(mode).build().unwrap();
    // Looking at a path that does not exist is no error.
    assert_eq!(election.leader().await.unwrap(), None);
    assert_eq!(election.contenders().await.unwrap(), []);
    let mut watch = election.observe();
    assert_eq!(next(&mut watch).await, None);

    let mut tokens = Vec::new();
    for round in 0..3 {
        let mut a = Contender::join(&servers, &path, mode, "a").await;
        let mut b = Contender::join(&servers, &path, mode, "b").await;
        let first = a.leads().await;
        let seen = next(&mut watch).await.expect("a leader");
        assert_eq!(
            (seen.identity.as_str(), seen.token, seen.node.as_str()),
            ("a", first.token(), first.node())
        );
        assert_eq!(Some(seen.session), a.session.id());
        let first_seen = seen.token;
        assert_eq!(seen.sequence.map(|it| it.number()), (mode == Mode::Sequential).then_some(round * 2));

        // In master mode there is a moment without a master, which may be seen or not.
        first.resign().await.unwrap();
        let second = b.leads().await;
        let mut seen = next(&mut watch).await;
        if mode == Mode::Master && seen.is_none() {
            seen = next(&mut watch).await;
        }
        let seen = seen.expect("the successor");
        assert_eq!((seen.identity.as_str(), seen.token), ("b", second.token()));
        assert_eq!(election.leader().await.unwrap().as_ref(), Some(&seen));

        second.resign().await.unwrap();
        assert_eq!(next(&mut watch).await, None, "nobody");
        assert_eq!(election.leader().await.unwrap(), None);
        tokens.extend([first_seen, seen.token]);
    }
    assert!(tokens.windows(2).all(|two| two[0] < two[1]), "tokens grow: {tokens:?}");
    let quiet = tokio::time::timeout(Duration::from_millis(300), watch.next()).await;
    assert!(quiet.is_err(), "no change, nothing to report: {quiet:?}");
}

async fn an_observer_sees_every_leader_and_vacancy(zookeeper: ZooKeeper) {
    sees_every_leader_and_vacancy(zookeeper, Mode::Sequential).await;
}

async fn an_observer_sees_every_master_and_vacancy(zookeeper: ZooKeeper) {
    sees_every_leader_and_vacancy(zookeeper, Mode::Master).await;
}

async fn an_observer_survives_disconnections_and_misses_nothing_of_what_is_left(zookeeper: ZooKeeper) {
    let path = unique_path("observe");
    let servers = zookeeper.connect_string();
    let proxy = Proxy::start(&servers).await;
    let session = connect(&proxy.address()).await;
    let mut watch = session.election(&path).build().unwrap().observe();
    let mut a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&servers, &path, Mode::Sequential, "b").await;
    let first = a.leads().await;
    assert_eq!(next(&mut watch).await.unwrap().identity, "a");

    // A disconnection without a change of leader reports nothing.
    proxy.cut_all();
    let quiet = tokio::time::timeout(Duration::from_millis(800), watch.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");

    // A change during a disconnection that is longer than the client's patience.
    proxy.refuse(true);
    proxy.cut_all();
    first.resign().await.unwrap();
    let second = b.leads().await;
    tokio::time::sleep(2 * crate::support::SESSION_TIMEOUT).await;
    proxy.refuse(false);
    let seen = next(&mut watch).await.expect("a leader");
    assert_eq!((seen.identity.as_str(), seen.token), ("b", second.token()));

    session.close().await.unwrap();
    assert!(matches!(watch.next().await, Err(Error::SessionClosed)));
}

/// A change between the observer's requests is seen: the watch is there before what it guards is read.
async fn a_change_while_the_observer_looks_is_not_missed(zookeeper: ZooKeeper, mode: Mode) {
    let path = unique_path("between");
    let servers = zookeeper.connect_string();
    let proxy = Proxy::start(&servers).await;
    let session = connect(&proxy.address()).await;
    let mut a = Contender::join(&servers, &path, mode, "a").await;
    let mut b = Contender::join(&servers, &path, mode, "b").await;
    let first = a.leads().await;
    let mut watch = session.election(&path).mode(mode).build().unwrap().observe();
    proxy.clear_requests();
    proxy.delay(crate::support::Direction::ToServer, Duration::from_millis(500));
    let watching =
        tokio::spawn(
            async move { while next(&mut watch).await.is_none_or(|leader| leader.identity != "b") {} },
        );
    crate::support::eventually("the reading", PATIENCE, async || {
        proxy.requests().contains(&crate::support::OpCode::GET_DATA).then_some(())
    })
    .await;
    // Whatever the observer asks next arrives after this.
    first.resign().await.unwrap();
    let second = b.leads().await;
    proxy.delay(crate::support::Direction::ToServer, Duration::ZERO);
    watching.await.expect("the observer sees b");
    assert!(second.is_valid());
}

async fn a_leader_that_changes_while_the_observer_looks_is_not_missed(zookeeper: ZooKeeper) {
    a_change_while_the_observer_looks_is_not_missed(zookeeper, Mode::Sequential).await;
}

async fn a_master_that_changes_while_the_observer_looks_is_not_missed(zookeeper: ZooKeeper) {
    a_change_while_the_observer_looks_is_not_missed(zookeeper, Mode::Master).await;
}

async fn an_observer_asks_nothing_while_nothing_changes(zookeeper: ZooKeeper) {
    let path = unique_path("quiet");
    let servers = zookeeper.connect_string();
    let proxy = Proxy::start(&servers).await;
    let session = connect(&proxy.address()).await;
    let mut watch = session.election(&path).build().unwrap().observe();
    assert_eq!(next(&mut watch).await, None);
    let mut a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let leadership = a.leads().await;
    assert_eq!(next(&mut watch).await.unwrap().token, leadership.token());
    // The first moment is for the watch to be left and for another look.
    for allowed in [usize::MAX, 0] {
        proxy.clear_requests();
        let quiet = tokio::time::timeout(Duration::from_millis(500), watch.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        // But for the beats of the session.
        let asked = proxy.requests().iter().filter(|it| **it != crate::support::OpCode::EXISTS).count();
        assert!(asked <= allowed, "{:?}", proxy.requests());
    }
}
