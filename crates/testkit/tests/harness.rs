//! Tests of the test harness itself, with four-letter words and hand-made requests.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::handmade::{Client, Echo, SHORT, create, exists, request};
use testkit::{Direction, Ensemble, Fault, How, Mode, OpCode, Proxy, Server, When, eventually, unique_path};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_server_is_standalone() {
    let started = Instant::now();
    let ensemble = Ensemble::start(1).await;
    println!("1 server: {:?}", started.elapsed());
    assert_eq!(ensemble.server(0).mode().await, Some(Mode::Standalone));
    assert_eq!(ensemble.leader().await, 0);
    assert_eq!(ensemble.connect_string(), ensemble.server(0).address());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_leader_makes_another_lead() {
    let started = Instant::now();
    let mut ensemble = Ensemble::start(3).await;
    println!("3 servers: {:?}", started.elapsed());
    let first = ensemble.leader().await;
    assert_eq!(ensemble.four_letter_all("ruok").await, ["imok", "imok", "imok"]);

    ensemble.server_mut(first).kill();
    assert!(!ensemble.server(first).is_running());
    ensemble.wait_until_serving().await;
    let second = ensemble.leader().await;
    assert_ne!(second, first);

    ensemble.server_mut(first).restart().await;
    assert_eq!(ensemble.server(first).mode().await, Some(Mode::Follower));
    assert_eq!(ensemble.leader().await, second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_does_not_answer_until_it_continues() {
    let mut ensemble = Ensemble::start(1).await;
    ensemble.server_mut(0).stop();
    assert!(!ensemble.server(0).is_running());
    assert_eq!(ensemble.server(0).four_letter("srvr").await, None);

    ensemble.server_mut(0).cont();
    assert!(ensemble.server(0).is_running());
    ensemble.wait_until_serving().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_an_ensemble_ends_its_processes() {
    let mut ensemble = Ensemble::start(3).await;
    let pids: Vec<u32> = ensemble.servers().iter().filter_map(Server::pid).collect();
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| process_exists(*pid)));

    // A stopped process can be killed, too.
    ensemble.server_mut(1).stop();
    drop(ensemble);
    assert!(!pids.iter().any(|pid| process_exists(*pid)), "{pids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_test_process_ends_its_servers() {
    // The test runs itself in another process, which this variable tells that it is the one to be killed.
    const VICTIM: &str = "ZOOKEEPER_ELECTION_VICTIM";
    if env::var_os(VICTIM).is_some() {
        let ensemble = Ensemble::start(1).await;
        println!("\n{PID}{}", ensemble.server(0).pid().expect("a process"));
        sleep(Duration::from_secs(60)).await;
        return;
    }
    let directory = env::temp_dir().join(unique_path("harness").replace('/', "-"));
    fs::create_dir(&directory).expect("a directory");
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["--exact", "--nocapture", "killing_the_test_process_ends_its_servers"]);
    command.env(VICTIM, "1").env("TMPDIR", &directory).stdout(Stdio::piped()).kill_on_drop(true);
    let mut other = command.spawn().expect("another test process");

    let mut lines = BufReader::new(other.stdout.take().expect("a pipe")).lines();
    let server = loop {
        let line = lines.next_line().await.expect("output").expect("the server's process id");
        if let Some(pid) = line.strip_prefix(PID) {
            break pid.parse().expect("a process id");
        }
    };
    assert!(process_exists(server));
    other.kill().await.expect("killing the other test process");
    let gone = async || (!process_exists(server)).then_some(());
    eventually("the server has ended", Duration::from_secs(5), gone).await;
    fs::remove_dir_all(directory).expect("removing what the killed process left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_forwards_and_counts() {
    let (_echo, proxy) = echo_behind_proxy().await;
    let mut client = Client::connect(&proxy.address()).await;
    for (xid, op_code) in [(1, OpCode::CREATE), (-2, OpCode::PING), (2, OpCode::MULTI)] {
        client.send(xid, op_code, b"").await;
        assert_eq!(client.receive().await.expect("an answer"), request(xid, op_code, b""));
    }
    assert_eq!(proxy.requests(), [OpCode::CREATE, OpCode::MULTI]);
    proxy.clear_requests();
    assert_eq!(proxy.requests(), []);

    assert_eq!(proxy.connections(), 1);
    drop(client);
    no_connections(&proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_before_keeps_the_request_from_the_server_once() {
    let (echo, proxy) = echo_behind_proxy().await;
    for (how, seen) in [(How::Fin, ErrorKind::UnexpectedEof), (How::Reset, ErrorKind::ConnectionReset)] {
        let mut client = Client::connect(&proxy.address()).await;
        proxy.arm(Fault::on_create(When::Before, how));
        client.send(1, OpCode::EXISTS, b"").await;
        assert_eq!(client.receive().await.expect("an answer"), request(1, OpCode::EXISTS, b""));
        client.send(2, OpCode::CREATE2, b"").await;
        assert_eq!(client.end().await, seen);
        proxy.fired().await;
        assert_eq!(echo.take_requests(), [request(1, OpCode::EXISTS, b"")]);
    }
    no_connections(&proxy).await;

    let mut client = Client::connect(&proxy.address()).await;
    client.send(1, OpCode::CREATE, b"").await;
    client.receive().await.expect("an answer, as a fault fires once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_after_keeps_the_reply_from_the_client() {
    let (echo, proxy) = echo_behind_proxy().await;
    for (how, seen) in [(How::Fin, ErrorKind::UnexpectedEof), (How::Reset, ErrorKind::ConnectionReset)] {
        let mut client = Client::connect(&proxy.address()).await;
        proxy.arm(Fault::on_create(When::After, how));
        client.send(1, OpCode::EXISTS, b"").await;
        client.send(2, OpCode::CREATE, b"").await;
        client.send(3, OpCode::DELETE, b"").await;
        assert_eq!(client.receive().await.expect("an answer"), request(1, OpCode::EXISTS, b""));
        assert_eq!(client.end().await, seen);
        proxy.fired().await;
        assert_eq!(echo.take_requests(), [request(1, OpCode::EXISTS, b""), request(2, OpCode::CREATE, b"")]);
    }
    no_connections(&proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_back_is_not_lost() {
    let (echo, proxy) = echo_behind_proxy().await;
    for (when, direction) in [(When::Before, Direction::ToServer), (When::After, Direction::ToClient)] {
        let mut client = Client::connect(&proxy.address()).await;
        echo.take_requests();
        proxy.arm(Fault::new(&[OpCode::DELETE], when, How::Hold));
        for (xid, op_code) in [(1, OpCode::DELETE), (2, OpCode::EXISTS)] {
            client.send(xid, op_code, b"").await;
        }
        proxy.fired().await;
        client.hears_nothing().await;
        assert_eq!(echo.take_requests().len(), if when == When::After { 2 } else { 0 });
        proxy.hold(direction, false);
        for (xid, op_code) in [(1, OpCode::DELETE), (2, OpCode::EXISTS)] {
            assert_eq!(client.receive().await.expect("an answer"), request(xid, op_code, b""));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_a_path_fires_at_no_other() {
    let (_echo, proxy) = echo_behind_proxy().await;
    let mut client = Client::connect(&proxy.address()).await;
    proxy.arm(Fault::at("/a/b", &[OpCode::DELETE], When::Before, How::Fin));
    let part = |op_code: OpCode, path: &str| {
        [op_code.0.to_be_bytes().as_slice(), &[0], &(-1_i32).to_be_bytes(), &exists(path)].concat()
    };
    let others = [
        (OpCode::DELETE, exists("/a")),
        (OpCode::DELETE, exists("/a/bc")),
        (OpCode::EXISTS, exists("/a/b")),
        (OpCode::MULTI, [part(OpCode::CHECK, "/a/b"), part(OpCode::DELETE, "/a/bc")].concat()),
    ];
    for (xid, (op_code, body)) in (1..).zip(&others) {
        client.send(xid, *op_code, body).await;
        assert_eq!(client.receive().await.expect("an answer"), request(xid, *op_code, body));
    }
    for (op_code, body) in [
        (OpCode::DELETE, exists("/a/b")),
        (OpCode::DELETE, exists("/a/b/c")),
        (OpCode::MULTI, [part(OpCode::CHECK, "/a"), part(OpCode::DELETE, "/a/b")].concat()),
    ] {
        let mut client = Client::connect(&proxy.address()).await;
        proxy.arm(Fault::at("/a/b", &[OpCode::DELETE], When::Before, How::Fin));
        client.send(1, op_code, &body).await;
        assert_eq!(client.end().await, ErrorKind::UnexpectedEof);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_stays_open() {
    let (echo, proxy) = echo_behind_proxy().await;
    for when in [When::Before, When::After] {
        let mut client = Client::connect(&proxy.address()).await;
        echo.take_requests();
        proxy.arm(Fault::new(&[OpCode::MULTI], when, How::Silence));
        client.send(1, OpCode::MULTI, b"").await;
        proxy.fired().await;
        client.send(2, OpCode::DELETE, b"").await;
        client.hears_nothing().await;
        assert_eq!(echo.take_requests().len(), usize::from(when == When::After));

        let mut other = Client::connect(&proxy.address()).await;
        other.send(1, OpCode::MULTI, b"").await;
        other.receive().await.expect("an answer on another connection");
        assert_eq!(proxy.connections(), 2);
        proxy.cut_all();
        assert_eq!(client.end().await, ErrorKind::UnexpectedEof);
        no_connections(&proxy).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_and_resets_reach_both_sides() {
    let (echo, proxy) = echo_behind_proxy().await;
    let mut client = Client::connect(&proxy.address()).await;
    proxy.cut_all();
    assert_eq!(client.end().await, ErrorKind::UnexpectedEof);
    echo.has_seen_end(ErrorKind::UnexpectedEof).await;

    let mut client = Client::connect(&proxy.address()).await;
    proxy.reset_all();
    assert_eq!(client.end().await, ErrorKind::ConnectionReset);
    echo.has_seen_end(ErrorKind::ConnectionReset).await;

    let mut client = Client::connect(&proxy.address()).await;
    let address = proxy.address();
    drop(proxy);
    assert_eq!(client.end().await, ErrorKind::UnexpectedEof);
    let refused = async || TcpStream::connect(&address).await.err();
    eventually("the proxy's port is closed", Duration::from_secs(5), refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swallowed_bytes_are_lost_and_the_connection_goes_on() {
    let (echo, proxy) = echo_behind_proxy().await;
    let mut client = Client::connect(&proxy.address()).await;
    for (xid, direction) in [(1, Direction::ToServer), (3, Direction::ToClient), (5, Direction::Both)] {
        echo.take_requests();
        proxy.swallow(direction, true);
        client.send(xid, OpCode::EXISTS, b"").await;
        client.hears_nothing().await;
        assert_eq!(echo.take_requests().len(), usize::from(direction == Direction::ToClient));

        proxy.swallow(direction, false);
        client.send(xid + 1, OpCode::EXISTS, b"").await;
        assert_eq!(client.receive().await.expect("an answer"), request(xid + 1, OpCode::EXISTS, b""));
    }

    // The end of a side is not seen either, until the swallowing ends.
    proxy.swallow(Direction::ToServer, true);
    drop(client);
    assert!(timeout(SHORT, echo.has_seen_end(ErrorKind::UnexpectedEof)).await.is_err());
    proxy.swallow(Direction::ToServer, false);
    echo.has_seen_end(ErrorKind::UnexpectedEof).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_delays_refuses_and_changes_its_upstream() {
    let (first, proxy) = echo_behind_proxy().await;
    let mut client = Client::connect(&proxy.address()).await;
    proxy.delay(Direction::Both, SHORT);
    let sent = Instant::now();
    client.send(1, OpCode::EXISTS, b"").await;
    client.receive().await.expect("an answer");
    assert!(sent.elapsed() >= 2 * SHORT);
    proxy.delay(Direction::Both, Duration::ZERO);

    proxy.refuse(true);
    let mut refused = TcpStream::connect(proxy.address()).await.expect("a connection");
    assert!(matches!(refused.read(&mut [0]).await, Ok(0) | Err(_)));
    proxy.refuse(false);

    let second = Echo::start().await;
    proxy.set_upstream(format!("127.0.0.1:1,{}", second.address()));
    let _client = Client::connect(&proxy.address()).await;
    assert_eq!((first.connections(), second.connections()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_exists_whose_creation_was_never_answered() {
    let ensemble = Ensemble::start(1).await;
    let proxy = Proxy::start(ensemble.connect_string()).await;
    let path = unique_path("lost-reply").replace("/test/", "/");

    let mut client = Client::connect(&proxy.address()).await;
    assert_eq!(client.error_of(1, OpCode::EXISTS, &exists(&path)).await, NO_NODE);
    proxy.arm(Fault::on_create(When::After, How::Fin));
    client.send(2, OpCode::CREATE, &create(&path)).await;
    assert_eq!(client.end().await, ErrorKind::UnexpectedEof);
    proxy.fired().await;
    assert_eq!(proxy.requests(), [OpCode::EXISTS, OpCode::CREATE]);

    let mut client = Client::connect(&proxy.address()).await;
    assert_eq!(client.error_of(1, OpCode::EXISTS, &exists(&path)).await, 0);

    // What is not framed passes as well.
    let mut raw = TcpStream::connect(proxy.address()).await.expect("a connection");
    raw.write_all(b"ruok").await.expect("a request");
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await.expect("an answer");
    assert_eq!(answer, "imok");
}

/// What precedes the process id in the output of [`a_test_process_with_a_server`].
const PID: &str = "the server's process: ";

/// ZooKeeper's error code.
const NO_NODE: i32 = -101;

async fn echo_behind_proxy() -> (Echo, Proxy) {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.address()).await;
    (echo, proxy)
}

async fn no_connections(proxy: &Proxy) {
    let none = async || (proxy.connections() == 0).then_some(());
    eventually("the proxy has no connections", Duration::from_secs(5), none).await;
}

/// Whether there is a process, other than one that has ended and that its parent has not reaped.
fn process_exists(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_servers_survive_the_loss_of_two() {
    let mut ensemble = Ensemble::start(5).await;
    for _ in 0..2 {
        let leader = ensemble.leader().await;
        ensemble.server_mut(leader).kill();
    }
    ensemble.wait_until_serving().await;
    assert_eq!(ensemble.servers().iter().filter(|server| server.is_running()).count(), 3);
}
