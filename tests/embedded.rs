//! The embedded server's own features: how it starts and ends, and the faults on command.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::{Contender, PATIENCE, SESSION_TIMEOUT, connect, eventually, identities, lost, unique_path};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use zookeeper_election::zookeeper_client::{Acls, Client, CreateMode};
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

#[tokio::test]
async fn it_serves_on_the_listener_that_it_is_given() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().start(listener).unwrap();
    assert_eq!((server.address(), server.connect_string()), (address, address.to_string()));
    assert_eq!(server.sessions(), []);
    let session = connect(&server.connect_string()).await;
    assert_eq!(server.sessions(), [id(&session)]);
    session.close().await.unwrap();
    assert_eq!(server.sessions(), []);
}

#[tokio::test]
async fn a_listener_on_every_address_is_reached_at_loopback() {
    let server = Server::builder().start(TcpListener::bind("0.0.0.0:0").await.unwrap()).unwrap();
    assert!(server.connect_string().starts_with("127.0.0.1:"), "{}", server.connect_string());
}

#[tokio::test]
async fn a_tick_that_makes_no_sense_is_refused() {
    for tick in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(3601)] {
        let refused = Server::builder().tick(tick).start_on_free_port().await.unwrap_err();
        assert!(refused.to_string().contains("give it between 1 ms and 1 h"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_gone_after_its_end() {
    let server = Server::start().await.unwrap();
    let address = server.address();
    let mut silent = TcpStream::connect(address).unwrap();
    let client = Client::connect(&server.connect_string()).await.unwrap();
    server.shutdown().await;
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0, "the connection is closed");
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
    drop(client);

    let dropped = Server::start().await.unwrap();
    let address = dropped.address();
    drop(dropped);
    eventually("nobody listens", PATIENCE, async || TcpStream::connect(address).err()).await;
}

#[tokio::test]
async fn servers_that_start_together_give_out_different_sessions() {
    let mut sessions = std::collections::HashSet::new();
    for _ in 0..20 {
        let server = Server::start().await.unwrap();
        let _client = Client::connect(&server.connect_string()).await.unwrap();
        assert!(sessions.insert(server.sessions()[0]), "{sessions:?}");
    }
}

#[test]
fn a_runtime_without_a_timer_is_refused_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let start = std::panic::AssertUnwindSafe(|| runtime.block_on(Server::start()));
    assert!(std::panic::catch_unwind(start).is_err());
}

#[tokio::test]
async fn it_is_shown_in_a_line() {
    let server = Server::start().await.unwrap();
    let client = Client::connect(&server.connect_string()).await.unwrap();
    client
        .create("/big", &[7; 100_000], &CreateMode::Persistent.with_acls(Acls::anyone_all()))
        .await
        .unwrap();
    let shown = format!(
        "{server:?} {:?} {:?}",
        server.clients(),
        server.clients().disconnect_at(When::Before, Operation::Any)
    );
    assert!(shown.contains("sessions: 1, znodes: 5") && shown.len() < 300, "{shown}");
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
async fn all_sessions_expire_at_once() {
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
async fn a_client_that_is_disconnected_keeps_its_session() {
    let server = Server::start().await.unwrap();
    let (mut a, b) = two(&server).await;
    let leadership = a.leads().await;
    let (first, second) = (id(&a.session), id(&b.session));
    server.client(first).disconnect();
    // The leadership goes on, longer than the session timeout.
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
        // The directory is there, so that the first create is the contender's.
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
async fn a_fault_may_be_taken_back_and_ends_with_the_server() {
    let server = Server::start().await.unwrap();
    let client = Client::connect(&server.connect_string()).await.unwrap();
    let clients = server.clients();
    let taken_back = clients.disconnect_at(When::Before, Operation::Any);
    let kept = clients.disconnect_at(When::Before, Operation::Sync);
    taken_back.disarm();
    timeout(PATIENCE, taken_back.done()).await.expect("nothing to wait for");
    clients.heal();
    client.check_stat("/").await.unwrap();
    server.shutdown().await;
    timeout(PATIENCE, kept.done()).await.expect("nothing to wait for");
    timeout(PATIENCE, clients.disconnect_at(When::After, Operation::Any).done())
        .await
        .expect("nobody to strike");
    assert!(!taken_back.is_done() && !kept.is_done());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_back_leaves_when_the_delay_ends_and_is_lost_with_the_connection() {
    let server = Server::start().await.unwrap();
    let client = Client::connect(&server.connect_string()).await.unwrap();
    let other = Client::connect(&server.connect_string()).await.unwrap();
    let victim = server.client(SessionId::from_raw(client.session_id().0));
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for (path, healed) in [("/healed", true), ("/lost", false)] {
        victim.delay_replies(Duration::MAX);
        let create = client.create(path, b"", &options);
        tokio::pin!(create);
        eventually("it is created", PATIENCE, async || {
            let pending = timeout(Duration::from_millis(1), &mut create).await;
            assert!(pending.is_err(), "{path}: {pending:?}");
            other.check_stat(path).await.unwrap()
        })
        .await;
        if healed {
            victim.heal();
        } else {
            victim.disconnect();
        }
        let answer = timeout(PATIENCE, create).await.expect("an end");
        assert_eq!(answer.is_ok(), healed, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_comes_back_with_its_sessions_and_znodes() {
    let server = Server::start().await.unwrap();
    let (a, b) = two(&server).await;
    let sessions = server.sessions();
    server.kill();
    for contender in [&a, &b] {
        eventually("no connection", PATIENCE, async || contender.session.id().is_none().then_some(())).await;
    }
    let builder = Session::builder().connect_timeout(Duration::from_millis(300));
    assert!(builder.connect(&server.connect_string()).await.is_err());
    tokio::time::sleep(2 * SESSION_TIMEOUT).await;
    assert_eq!(server.sessions(), sessions);
    server.revive();
    for (contender, session) in [&a, &b].into_iter().zip(sessions) {
        eventually("the same session", PATIENCE, async || {
            contender.session.id().filter(|it| it.raw() == session.raw())
        })
        .await;
    }
    assert_eq!(identities(&b.election).await.last().unwrap(), "b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_connects_while_the_server_stands_still_is_served_when_it_goes_on() {
    let server = Server::start().await.unwrap();
    server.stop();
    let mut early = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    // A request for a session: nothing but zeros, and the length of the password.
    let request = [&45_i32.to_be_bytes()[..], &[0; 24], &16_i32.to_be_bytes(), &[0; 17]].concat();
    early.write_all(&request).await.unwrap();
    // Longer than a connection may be open without a word.
    let answer = timeout(Duration::from_secs(11), early.peek(&mut [0])).await;
    assert!(answer.is_err(), "{answer:?}");
    server.resume();
    let answered = timeout(PATIENCE, early.read_exact(&mut [0; 41])).await.expect("an answer");
    assert_eq!((answered.unwrap(), server.sessions().len()), (41, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_are_delayed() {
    const BY: Duration = Duration::from_millis(150);
    let server = Server::start().await.unwrap();
    let client = Client::connect(&server.connect_string()).await.unwrap();
    server.clients().delay_replies(BY);
    let begun = Instant::now();
    client.check_stat("/").await.unwrap();
    client.check_stat("/").await.unwrap();
    assert!(begun.elapsed() >= 2 * BY);
    server.clients().heal();
    client.check_stat("/").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_a_black_hole_is_expired_and_others_go_on() {
    tokio::join!(
        a_black_hole(Direction::ToServer),
        a_black_hole(Direction::ToClient),
        a_black_hole(Direction::Both),
    );
}

async fn a_black_hole(direction: Direction) {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_swallowed_before_the_server_is_not_carried_out_and_what_after_is() {
    for (direction, carried_out) in [(Direction::ToServer, false), (Direction::ToClient, true)] {
        let server = Server::start().await.unwrap();
        let victim = Client::connect(&server.connect_string()).await.unwrap();
        let other = Client::connect(&server.connect_string()).await.unwrap();
        server.client(SessionId::from_raw(victim.session_id().0)).swallow(direction);
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let create = victim.create("/swallowed", b"", &options);
        assert!(timeout(Duration::from_millis(300), create).await.is_err(), "no answer");
        assert_eq!(other.check_stat("/swallowed").await.unwrap().is_some(), carried_out, "{direction:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_is_refused_and_another_is_not() {
    let server = Server::start().await.unwrap();
    let (a, b) = two(&server).await;
    let session = id(&a.session);
    let victim = server.client(session);
    victim.refuse(true);
    victim.disconnect();
    eventually("a is not connected", PATIENCE, async || a.session.id().is_none().then_some(())).await;
    connect(&server.connect_string()).await.close().await.unwrap();
    assert!(a.session.id().is_none() && b.session.id().is_some());
    victim.refuse(false);
    eventually("the same session", PATIENCE, async || a.session.id().filter(|it| it.raw() == session.raw()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_a_session_while_all_are_refused() {
    let server = Server::start().await.unwrap();
    server.clients().refuse(true);
    let builder = Session::builder().connect_timeout(Duration::from_millis(500));
    assert!(builder.connect(&server.connect_string()).await.is_err());
    server.clients().heal();
    connect(&server.connect_string()).await.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_answers_when_it_goes_on() {
    let server = Server::start().await.unwrap();
    let client = Client::connect(&server.connect_string()).await.unwrap();
    server.stop();
    let read = tokio::spawn({
        let client = client.clone();
        async move { client.check_stat("/").await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!read.is_finished());
    server.resume();
    timeout(PATIENCE, read).await.expect("an answer").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_were_not_heard_of_expire_when_a_server_goes_on() {
    let server = Server::builder().tick(Duration::from_millis(50)).start_on_free_port().await.unwrap();
    let connector = Client::connector().with_session_timeout(Duration::from_millis(200));
    let _client = connector.connect(&server.connect_string()).await.unwrap();
    server.stop();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(server.sessions().len(), 1, "nothing expires while it stands still");
    server.resume();
    assert_eq!(server.sessions(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_letter_words_are_answered() {
    let server = Server::start().await.unwrap();
    let (a, b) = two(&server).await;
    let session = id(&a.session);
    let ask = |word: &str| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(word.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let contains = |word: &str, parts: &[&str]| {
        let answer = tokio::task::block_in_place(|| ask(word));
        for part in parts {
            assert!(answer.contains(part), "{word}: {part:?} is not in\n{answer}");
        }
    };
    assert_eq!(tokio::task::block_in_place(|| ask("ruok")), "imok");
    contains("isro", &["rw"]);
    contains(
        "srvr",
        &["Zookeeper version: 3.8", "Connections: 3", "Zxid: 0x", "Mode: standalone", "Node count: "],
    );
    contains("stat", &["Clients:\n /127.0.0.1:", "Mode: standalone"]);
    contains("mntr", &["zk_server_state\tstandalone", "zk_ephemerals_count\t2", "zk_global_sessions\t2"]);
    contains("cons", &[&format!("sid={session}")]);
    contains("dump", &["Session Sets (", "Sessions with Ephemerals (2):", &format!("{session}:\n\t/test/")]);
    contains("wchs", &["2 connections watching 2 paths", "Total watches:3"]);
    for contender in [&a, &b] {
        server.client(id(&contender.session)).refuse(true);
    }
    server.clients().disconnect();
    contains("wchs", &["0 connections watching 0 paths", "Total watches:0"]);
    contains("mntr", &["zk_ephemerals_count\t2", "zk_global_sessions\t2"]);
}
