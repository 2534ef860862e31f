//! How many requests it takes to lead, to wait and to take over: no more than the recipe needs.

mod support;

use support::{Contender, OpCode, Proxy, ZooKeeper, connect, on_both_servers, unique_path};
use zookeeper_election::Mode;

on_both_servers! {
    leading_takes_three_requests_and_taking_over_takes_one;
    a_master_sends_the_create_first_and_the_watch_along_with_it;
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

    let mut leader = Contender::join_on(session_one, &path, Mode::Sequential, "leader").await;
    let leadership = leader.leads().await;
    let mut start = one.requests();
    start.sort_by_key(|request| request.0);
    assert_eq!(start, [OpCode::GET_DATA, OpCode::GET_CHILDREN, OpCode::CREATE2]);

    let mut next = Contender::join_on(session_two, &path, Mode::Sequential, "next").await;
    let mut wait = two.requests();
    wait.sort_by_key(|request| request.0);
    assert_eq!(wait, [OpCode::GET_DATA, OpCode::GET_DATA, OpCode::GET_CHILDREN, OpCode::CREATE2]);

    one.clear_requests();
    two.clear_requests();
    leadership.resign().await.unwrap();
    let leadership = next.leads().await;
    assert_eq!(one.requests(), [OpCode::DELETE]);
    assert_eq!(two.requests(), [OpCode::GET_CHILDREN]);
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
    let mut next = Contender::join_on(session, &path, Mode::Master, "next").await;
    assert_eq!(proxy.requests(), [OpCode::CREATE2, OpCode::GET_DATA]);
    proxy.clear_requests();
    leadership.resign().await.unwrap();
    assert!(next.leads().await.is_valid());
    assert_eq!(proxy.requests()[..2], [OpCode::CREATE2, OpCode::GET_DATA]);
}
