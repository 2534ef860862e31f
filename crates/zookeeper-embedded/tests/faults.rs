//! How the server starts and ends, its faults on command, and its four-letter words.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::{PATIENCE, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, EventType, SessionState};
use zookeeper_embedded::{Direction, Operation, Server, SessionId, When};

/// Two seconds, within the bounds of the default tick.
const SESSION_TIMEOUT: Duration = Duration::from_secs(2);

const PERSISTENT: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());

async fn connect(server: &Server) -> Client {
    let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    connector.connect(&server.connect_string()).await.expect("a session")
}

/// Two clients with an ephemeral znode each, `/a` and `/b`.
async fn two(server: &Server) -> (Client, Client) {
    let (a, b) = (connect(server).await, connect(server).await);
    a.create("/a", b"", &EPHEMERAL).await.unwrap();
    b.create("/b", b"", &EPHEMERAL).await.unwrap();
    (a, b)
}

fn id(client: &Client) -> SessionId {
    SessionId::from_raw(client.session_id().0)
}

/// Waits until the client reports this state.
async fn reaches(client: &Client, state: SessionState) {
    let what = format!("{state:?}");
    eventually(&what, PATIENCE, async || (client.state() == state).then_some(())).await;
}

/// Connects without the client's retries. An error if the server opens no session.
async fn connect_once(server: &Server) -> Result<Client, Error> {
    let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT).with_fail_eagerly();
    connector.connect(&server.connect_string()).await
}

#[tokio::test]
async fn it_serves_on_the_listener_that_it_is_given() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().start(listener).unwrap();
    assert_eq!((server.address(), server.connect_string()), (address, address.to_string()));
    assert_eq!(server.sessions(), []);
    let client = connect(&server).await;
    assert_eq!(server.sessions(), [id(&client)]);
    drop(client);
    eventually("the session is closed", PATIENCE, async || server.sessions().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_listener_on_every_address_is_reached_at_loopback() {
    let server = Server::builder().start(TcpListener::bind("0.0.0.0:0").await.unwrap()).unwrap();
    assert!(server.connect_string().starts_with("127.0.0.1:"), "{}", server.connect_string());
}

#[tokio::test]
async fn a_tick_out_of_bounds_is_refused() {
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
    let client = connect(&server).await;
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
        let _client = connect(&server).await;
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
async fn its_debug_output_is_one_line() {
    let server = Server::start().await.unwrap();
    let client = connect(&server).await;
    client.create("/big", &[7; 100_000], &PERSISTENT).await.unwrap();
    let shown = format!(
        "{server:?} {:?} {:?}",
        server.clients(),
        server.clients().disconnect_at(When::Before, Operation::Any)
    );
    assert!(shown.contains("sessions: 1, znodes: 5") && shown.len() < 300, "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_session_is_gone_at_once_and_its_watched_znode_with_it() {
    let server = Server::start().await.unwrap();
    let (a, b) = two(&server).await;
    let (_, _, deleted) = b.get_and_watch_data("/a").await.unwrap();
    server.client(id(&a)).expire();
    assert_eq!(server.sessions(), [id(&b)]);
    let event = timeout(PATIENCE, deleted.changed()).await.expect("an event");
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeDeleted, "/a"));
    reaches(&a, SessionState::Expired).await;
    assert_ne!(id(&connect(&server).await), id(&a));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sessions_expire_at_once() {
    let server = Server::start().await.unwrap();
    let (a, b) = two(&server).await;
    let before = [id(&a), id(&b)];
    server.clients().expire();
    assert_eq!(server.sessions(), []);
    reaches(&a, SessionState::Expired).await;
    reaches(&b, SessionState::Expired).await;
    let now = two(&server).await;
    assert_eq!(server.sessions(), [id(&now.0), id(&now.1)]);
    assert!(server.sessions().iter().all(|it| !before.contains(it)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_disconnected_keeps_its_session() {
    let server = Server::start().await.unwrap();
    let (a, b) = two(&server).await;
    let sessions = [id(&a), id(&b)];
    let mut states = a.state_watcher();
    server.client(sessions[0]).disconnect();
    assert_eq!(timeout(PATIENCE, states.changed()).await, Ok(SessionState::Disconnected));
    // The session stays alive for longer than its timeout, because the client reconnects.
    tokio::time::sleep(3 * a.session_timeout() / 2).await;
    assert_eq!((a.state(), b.state()), (SessionState::SyncConnected, SessionState::SyncConnected));
    assert_eq!(server.sessions(), sessions);
    assert!(b.check_stat("/a").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_cut_before_or_after_an_operation() {
    for (when, created) in [(When::Before, false), (When::After, true)] {
        let server = Server::start().await.unwrap();
        let client = connect(&server).await;
        let create = server.client(id(&client)).disconnect_at(when, Operation::Create);
        let of_nobody = server.client(1).disconnect_at(when, Operation::Any);
        client.check_stat("/").await.expect("another operation does not trigger the fault");
        assert!(!create.is_done());
        assert_eq!(client.create("/cut", b"", &PERSISTENT).await.unwrap_err(), Error::ConnectionLoss);
        timeout(PATIENCE, create.done()).await.expect("the fault strikes");
        assert!(create.is_done() && !of_nobody.is_done());
        reaches(&client, SessionState::SyncConnected).await;
        assert_eq!(client.check_stat("/cut").await.unwrap().is_some(), created, "{when:?}");
        assert_eq!(server.sessions(), [id(&client)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_in_a_transaction_triggers_faults_of_both_kinds() {
    for operation in [Operation::Create, Operation::Multi] {
        let server = Server::start().await.unwrap();
        let client = connect(&server).await;
        let cut = server.client(id(&client)).disconnect_at(When::After, operation);
        let mut transaction = client.new_multi_writer();
        transaction.add_create("/cut", b"", &PERSISTENT).unwrap();
        assert!(transaction.commit().await.is_err(), "{operation:?}");
        assert!(cut.is_done());
        reaches(&client, SessionState::SyncConnected).await;
        assert!(client.check_stat("/cut").await.unwrap().is_some(), "{operation:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_can_be_disarmed_and_ends_with_the_server() {
    let server = Server::start().await.unwrap();
    let client = connect(&server).await;
    let clients = server.clients();
    let disarmed = clients.disconnect_at(When::Before, Operation::Any);
    let kept = clients.disconnect_at(When::Before, Operation::Sync);
    disarmed.disarm();
    timeout(PATIENCE, disarmed.done()).await.expect("nothing to wait for");
    clients.heal();
    client.check_stat("/").await.unwrap();
    server.shutdown().await;
    timeout(PATIENCE, kept.done()).await.expect("nothing to wait for");
    let late = clients.disconnect_at(When::After, Operation::Any);
    timeout(PATIENCE, late.done()).await.expect("nothing to wait for");
    assert!(!disarmed.is_done() && !kept.is_done());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_replies_are_sent_when_the_delay_ends_and_lost_with_the_connection() {
    let server = Server::start().await.unwrap();
    let client = Client::connect(&server.connect_string()).await.unwrap();
    let other = Client::connect(&server.connect_string()).await.unwrap();
    let victim = server.client(id(&client));
    for (path, healed) in [("/healed", true), ("/lost", false)] {
        victim.delay_replies(Duration::MAX);
        let create = client.create(path, b"", &PERSISTENT);
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
    // A client gives up on a session after its timeout, and this one must outlive the kill.
    let long = Client::connector().with_session_timeout(Duration::from_secs(10));
    let client = long.connect(&server.connect_string()).await.unwrap();
    client.create("/a", b"", &EPHEMERAL).await.unwrap();
    // No client comes back for this session, so that only the server can end it.
    let orphan = Client::connector().with_session_timeout(SESSION_TIMEOUT).with_detached();
    drop(orphan.connect(&server.connect_string()).await.unwrap());
    let sessions = server.sessions();
    assert_eq!(sessions.len(), 2);
    server.kill();
    reaches(&client, SessionState::Disconnected).await;
    assert!(connect_once(&server).await.is_err());
    tokio::time::sleep(2 * SESSION_TIMEOUT).await;
    assert_eq!(server.sessions(), sessions);
    server.revive();
    tokio::time::sleep(SESSION_TIMEOUT / 2).await;
    assert_eq!(server.sessions(), sessions, "the timeouts restart");
    reaches(&client, SessionState::SyncConnected).await;
    assert!(client.check_stat("/a").await.unwrap().is_some());
    eventually("the orphan expires", PATIENCE, async || (server.sessions().len() == 1).then_some(())).await;
    assert_eq!(server.sessions(), [id(&client)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_connects_to_a_stopped_server_is_served_when_it_resumes() {
    let server = Server::start().await.unwrap();
    server.stop();
    let mut early = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    // A connect request: zeros, and the length of the password.
    let request = [&45_i32.to_be_bytes()[..], &[0; 24], &16_i32.to_be_bytes(), &[0; 17]].concat();
    early.write_all(&request).await.unwrap();
    // Longer than a connection may be open without a request.
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
async fn a_client_whose_packets_are_swallowed_expires_and_others_continue() {
    tokio::join!(swallowed(Direction::ToServer), swallowed(Direction::ToClient), swallowed(Direction::Both),);
}

async fn swallowed(direction: Direction) {
    let server = Server::start().await.unwrap();
    let (a, b) = two(&server).await;
    let (_, _, deleted) = b.get_and_watch_data("/a").await.unwrap();
    let session = id(&a);
    server.client(session).swallow(direction);
    let event = timeout(PATIENCE, deleted.changed()).await.expect("an event");
    assert_eq!(event.event_type, EventType::NodeDeleted, "{direction:?}");
    assert_eq!(server.sessions(), [id(&b)], "{direction:?}");
    reaches(&a, SessionState::Expired).await;
    server.client(session).heal();
    assert_ne!(id(&connect(&server).await), session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swallowed_request_is_not_carried_out_and_a_request_with_a_swallowed_reply_is() {
    for (direction, carried_out) in [(Direction::ToServer, false), (Direction::ToClient, true)] {
        let server = Server::start().await.unwrap();
        let victim = Client::connect(&server.connect_string()).await.unwrap();
        let other = Client::connect(&server.connect_string()).await.unwrap();
        server.client(id(&victim)).swallow(direction);
        let create = victim.create("/swallowed", b"", &PERSISTENT);
        assert!(timeout(Duration::from_millis(300), create).await.is_err(), "no answer");
        assert_eq!(other.check_stat("/swallowed").await.unwrap().is_some(), carried_out, "{direction:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_is_refused_and_another_is_not() {
    let server = Server::start().await.unwrap();
    let connector = Client::connector().with_session_timeout(Duration::from_secs(10));
    let a = connector.connect(&server.connect_string()).await.unwrap();
    let b = connect(&server).await;
    let victim = server.client(id(&a));
    victim.refuse(true);
    victim.disconnect();
    reaches(&a, SessionState::Disconnected).await;
    drop(connect(&server).await);
    assert_eq!((a.state(), b.state()), (SessionState::Disconnected, SessionState::SyncConnected));
    victim.refuse(false);
    reaches(&a, SessionState::SyncConnected).await;
    assert!(server.sessions().contains(&id(&a)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_opened_while_all_clients_are_refused() {
    let server = Server::start().await.unwrap();
    server.clients().refuse(true);
    assert!(connect_once(&server).await.is_err());
    assert_eq!(server.sessions(), []);
    server.clients().heal();
    connect_once(&server).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_answers_when_it_resumes() {
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
async fn sessions_whose_timeout_has_passed_expire_when_a_server_resumes() {
    let server = Server::builder().tick(Duration::from_millis(50)).start_on_free_port().await.unwrap();
    let connector = Client::connector().with_session_timeout(Duration::from_millis(200));
    let _client = connector.connect(&server.connect_string()).await.unwrap();
    server.stop();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(server.sessions().len(), 1, "a stopped server expires no session");
    server.resume();
    assert_eq!(server.sessions(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_letter_words_are_answered() {
    let server = Server::start().await.unwrap();
    let connector = || Client::connector().with_session_timeout(Duration::from_secs(10));
    let a = connector().connect(&server.connect_string()).await.unwrap();
    let b = connector().connect(&server.connect_string()).await.unwrap();
    a.create("/a", b"", &EPHEMERAL).await.unwrap();
    b.create("/b", b"", &EPHEMERAL).await.unwrap();
    // Two connections, two paths, three watches.
    let _watches = (
        a.get_and_watch_data("/a").await.unwrap(),
        b.get_and_watch_data("/a").await.unwrap(),
        b.get_and_watch_data("/b").await.unwrap(),
    );
    let ask = |word: &str| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(word.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    // Asks again, because the connections of earlier words may still be open for a moment.
    let contains = |word: &str, parts: &[&str]| {
        let begun = Instant::now();
        loop {
            let answer = tokio::task::block_in_place(|| ask(word));
            let Some(missing) = parts.iter().find(|part| !answer.contains(**part)) else {
                return;
            };
            assert!(begun.elapsed() < PATIENCE, "{word}: {missing:?} is not in\n{answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    assert_eq!(tokio::task::block_in_place(|| ask("ruok")), "imok");
    contains("isro", &["rw"]);
    contains(
        "srvr",
        &[
            "Zookeeper version: 3.8.0-embedded, zookeeper-embedded ",
            "Connections: 3",
            "Zxid: 0x",
            "Mode: standalone",
            "Node count: ",
        ],
    );
    contains("stat", &["Clients:\n /127.0.0.1:", "Mode: standalone"]);
    contains("mntr", &["zk_server_state\tstandalone", "zk_ephemerals_count\t2", "zk_global_sessions\t2"]);
    contains("cons", &[&format!("sid={}", id(&a))]);
    contains("dump", &["Session Sets (", "Sessions with Ephemerals (2):", &format!("{}:\n\t/a", id(&a))]);
    contains("wchs", &["2 connections watching 2 paths", "Total watches:3"]);
    contains("wchp", &[&format!("/a\n\t{}\n\t{}\n/b\n\t{}\n", id(&a), id(&b), id(&b))]);
    for client in [&a, &b] {
        server.client(id(client)).refuse(true);
    }
    server.clients().disconnect();
    contains("wchs", &["0 connections watching 0 paths", "Total watches:0"]);
    contains("mntr", &["zk_ephemerals_count\t2", "zk_global_sessions\t2"]);
}
