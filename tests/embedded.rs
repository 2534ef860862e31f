//! Contenders and faults of the embedded server.

mod support;

use support::{Contender, PATIENCE, SESSION_TIMEOUT, connect, eventually, identities, lost, unique_path};
use tokio::time::timeout;
use zookeeper_election::{Mode, Session};
use zookeeper_embedded::{Direction, Operation, Server, SessionId, When};

/// Two contenders, the first of which leads.
async fn two(server: &Server) -> (Contender, Contender) {
    let (servers, path) = (server.connect_string(), unique_path("embedded"));
    let a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let b = Contender::join(&servers, &path, Mode::Sequential, "b").await;
    (a, b)
}

fn id(session: &Session) -> SessionId {
    SessionId::from_raw(session.id().expect("a session").raw())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_leader_is_followed_by_the_next() {
    let server = Server::start().await.unwrap();
    let (mut a, mut b) = two(&server).await;
    let leadership = a.leads().await;
    let session = id(&a.session);
    server.client(session).expire();
    assert!(!server.sessions().contains(&session));
    assert!(b.leads().await.token() > leadership.token());
    lost(&leadership).await;
    eventually("another session", PATIENCE, async || a.session.id().filter(|it| it.raw() != session.raw()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contenders_whose_sessions_expire_at_once_get_new_ones() {
    let server = Server::start().await.unwrap();
    let (a, b) = two(&server).await;
    let before = [id(&a.session), id(&b.session)];
    server.clients().expire();
    eventually("two new sessions", PATIENCE, async || {
        let now = server.sessions();
        (now.len() == 2 && now.iter().all(|it| !before.contains(it))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_disconnected_goes_on_leading() {
    let server = Server::start().await.unwrap();
    let (mut a, b) = two(&server).await;
    let leadership = a.leads().await;
    let (first, second) = (id(&a.session), id(&b.session));
    server.client(first).disconnect();
    // The leadership lasts for longer than the session timeout.
    tokio::time::sleep(3 * a.session.timeout().unwrap_or(SESSION_TIMEOUT) / 2).await;
    assert!(leadership.is_valid());
    assert!(matches!(b.election.standing(), zookeeper_election::Standing::Waiting { .. }));
    assert_eq!([id(&a.session), id(&b.session)], [first, second]);
    assert_eq!(server.sessions(), [first, second]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_answer_is_cut_off_leaves_one_znode() {
    // A contender's znode is created in a transaction.
    for (when, operation) in
        [(When::Before, Operation::Create), (When::After, Operation::Create), (When::After, Operation::Multi)]
    {
        let server = Server::start().await.unwrap();
        let path = unique_path("cut");
        // Creates the directory, so that the next create is the contender's.
        let first = Contender::join(&server.connect_string(), &path, Mode::Sequential, "first").await;
        first.election.withdraw().await.unwrap();

        let session = connect(&server.connect_string()).await;
        let mine = server.client(id(&session)).disconnect_at(when, operation);
        let of_nobody = server.client(SessionId::from_raw(1)).disconnect_at(when, Operation::Any);
        let mut a = Contender::join_on(session, &path, Mode::Sequential, "a").await;
        timeout(PATIENCE, mine.done()).await.expect("the fault strikes");
        assert!(mine.is_done() && !of_nobody.is_done());
        let leadership = a.leads().await;
        assert_eq!(identities(&a.election).await, ["a"], "{when:?}");
        assert!(leadership.is_valid());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_packets_are_swallowed_is_followed_by_the_next() {
    tokio::join!(swallowed(Direction::ToServer), swallowed(Direction::ToClient), swallowed(Direction::Both),);
}

async fn swallowed(direction: Direction) {
    let server = Server::start().await.unwrap();
    let (mut a, mut b) = two(&server).await;
    let leadership = a.leads().await;
    let session = id(&a.session);
    server.client(session).swallow(direction);
    assert!(b.leads().await.token() > leadership.token(), "{direction:?}");
    assert!(!server.sessions().contains(&session));
    lost(&leadership).await;
    server.client(session).heal();
    eventually("another session", PATIENCE, async || a.session.id().filter(|it| it.raw() != session.raw()))
        .await;
}
