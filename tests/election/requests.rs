//! How many requests it takes to lead, to wait and to take over: no more than the recipe needs.

use crate::support::{
    Contender, OpCode, PATIENCE, Proxy, SESSION_TIMEOUT, ZooKeeper, connect, eventually, on_both_servers,
    unique_path,
};
use zookeeper_election::Mode;

on_both_servers! {
    leading_takes_three_requests_and_taking_over_takes_one;
    a_master_sends_the_create_first_and_the_watch_along_with_it;
    a_hundred_leaderships_on_one_session_take_no_more_proofs_than_one;
    who_only_waits_sends_no_transactions;
    who_leads_next_is_ready_before;
}

/// The requests of the recipes, without those of the session: its reads when nobody leads, and its proofs.
fn steps(proxy: &Proxy) -> Vec<OpCode> {
    let mut requests = proxy.requests();
    requests.retain(|it| !matches!(*it, OpCode::EXISTS | OpCode::MULTI));
    requests
}

fn proofs(proxy: &Proxy) -> usize {
    proxy.requests().iter().filter(|it| **it == OpCode::MULTI).count()
}

async fn leading_takes_three_requests_and_taking_over_takes_one(zookeeper: ZooKeeper) {
    let path = unique_path("requests");
    let servers = zookeeper.connect_string();
    // The directory is there.
    Contender::join(&servers, &path, Mode::Sequential, "first").await.leads().await.resign().await.unwrap();
    let (one, two) = (Proxy::start(&servers).await, Proxy::start(&servers).await);
    let (session_one, session_two) = (connect(&one.address()).await, connect(&two.address()).await);
    one.clear_requests();
    two.clear_requests();

    // The create, and its next two requests along with each other; who waits then watches the one ahead.
    let mut leader = Contender::join_on(session_one, &path, Mode::Sequential, "leader").await;
    let leadership = leader.leads().await;
    let start = steps(&one);
    assert_eq!(start, [OpCode::MULTI_CREATE, OpCode::GET_DATA, OpCode::GET_CHILDREN]);
    let mut next = Contender::join_on(session_two, &path, Mode::Sequential, "next").await;
    assert_eq!(steps(&two)[..3], start);
    assert_eq!(steps(&two)[3..], [OpCode::GET_DATA]);

    one.clear_requests();
    two.clear_requests();
    leadership.resign().await.unwrap();
    let leadership = next.leads().await;
    assert_eq!(steps(&one), [OpCode::DELETE]);
    assert_eq!(steps(&two), [OpCode::GET_CHILDREN]);
    leadership.resign().await.unwrap();
}

async fn a_master_sends_the_create_first_and_the_watch_along_with_it(zookeeper: ZooKeeper) {
    let path = unique_path("requests");
    let servers = zookeeper.connect_string();
    let mut first = Contender::join(&servers, &path, Mode::Master, "first").await;
    let leadership = first.leads().await;
    let proxy = Proxy::start(&servers).await;
    let session = connect(&proxy.address()).await;
    proxy.clear_requests();
    // It reads the counter before its first create, and again when another's znode stands there.
    let create_and_watch = [OpCode::MULTI_CREATE, OpCode::GET_DATA];
    let mut next = Contender::join_on(session, &path, Mode::Master, "next").await;
    assert_eq!(steps(&proxy)[..1], [OpCode::GET_DATA]);
    assert_eq!(steps(&proxy)[1..], [OpCode::MULTI_CREATE, OpCode::GET_DATA, OpCode::GET_DATA]);

    // So it knows the counter when its turn comes.
    proxy.clear_requests();
    leadership.resign().await.unwrap();
    let leadership = next.leads().await;
    assert_eq!(steps(&proxy), create_and_watch);

    // A contender that has been master and waits again knows it, too.
    leadership.resign().await.unwrap();
    first.campaign();
    let leadership = first.leads().await;
    proxy.clear_requests();
    next.campaign();
    next.placed().await;
    assert_eq!(steps(&proxy), [OpCode::MULTI_CREATE, OpCode::GET_DATA, OpCode::GET_DATA]);
    proxy.clear_requests();
    leadership.resign().await.unwrap();
    assert!(next.leads().await.is_valid());
    assert_eq!(steps(&proxy), create_and_watch);
}

async fn a_hundred_leaderships_on_one_session_take_no_more_proofs_than_one(zookeeper: ZooKeeper) {
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let session = connect(&proxy.address()).await;
    let mut leaderships = Vec::new();
    for i in 0..100 {
        let election = session.election(&unique_path(&format!("many-{i}"))).build().unwrap();
        leaderships.push((election.campaign().await.unwrap(), election));
    }
    proxy.clear_requests();
    let begun = std::time::Instant::now();
    tokio::time::sleep(2 * SESSION_TIMEOUT).await;
    assert!(leaderships.iter().all(|(leadership, _)| leadership.is_valid()));
    // Seven in a session timeout, and room for one more at each end.
    let most = begun.elapsed().as_secs_f64() / SESSION_TIMEOUT.as_secs_f64() * 7.0 + 2.0;
    let (proofs, requests) = (proofs(&proxy), proxy.requests().len());
    assert!(proofs > 0 && proofs as f64 <= most, "{proofs} proofs");
    assert_eq!(proofs, requests, "nothing but proofs");
}

async fn who_only_waits_sends_no_transactions(zookeeper: ZooKeeper) {
    let path = unique_path("waits");
    let mut leader = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "leader").await;
    let mut second = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "second").await;
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let mut next = Contender::join_on(connect(&proxy.address()).await, &path, Mode::Sequential, "next").await;
    proxy.clear_requests();
    tokio::time::sleep(2 * SESSION_TIMEOUT).await;
    assert!(proxy.requests().iter().all(|it| *it == OpCode::EXISTS), "{:?}", proxy.requests());
    // By now the create proves nothing any more.
    leader.leads().await.resign().await.unwrap();
    second.leads().await.resign().await.unwrap();
    let leadership = next.leads().await;
    assert!(proofs(&proxy) > 0);
    eventually("a proof", PATIENCE, async || (proofs(&proxy) > 1).then_some(())).await;
    assert!(leadership.is_valid());
}

async fn who_leads_next_is_ready_before(zookeeper: ZooKeeper) {
    let path = unique_path("ready");
    let mut leader = Contender::join(&zookeeper.connect_string(), &path, Mode::Sequential, "leader").await;
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let mut next = Contender::join_on(connect(&proxy.address()).await, &path, Mode::Sequential, "next").await;
    // By then the create proves nothing any more.
    tokio::time::sleep(2 * SESSION_TIMEOUT).await;
    assert!(proofs(&proxy) > 2, "{:?}", proxy.requests());
    leader.leads().await.resign().await.unwrap();
    assert!(next.leads().await.is_valid());
}
