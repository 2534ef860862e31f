//! Znodes that may be left over: after looks that are refused, words of servers that were deposed, and closings that meet a
//! reconnection.

use std::sync::Arc;
use std::time::Duration;

use testkit::network::on_a_network;
use testkit::{
    Direction, Fault, How, OpCode, PATIENCE, Proxy, SESSION_TIMEOUT, When, eventually, unique_path,
};
use tokio::time::{sleep, timeout};
use zookeeper_election::zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Permission, SessionState};
use zookeeper_election::{Error, Mode, Session, Standing};

use crate::deposed::Servers;
use crate::doors::Doors;
use crate::{Operator, session};

fn anyone(permission: Permission) -> [Acl; 1] {
    [Acl::new(permission, AuthId::new("world", "anyone"))]
}

/// The answer to a create is lost, and the look for the own znode is refused, here because nobody may list the directory
/// for a while. The znode stands, nobody removes it, and `withdraw` says Ok.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_after_a_look_that_was_refused_says_what_is_true() {
    let server = zookeeper_embedded::Server::start().await.unwrap();
    let path: &'static str = unique_path("refused-look").leak();
    let operator = Operator::connect(&server.connect_string()).await;
    operator.create(path).await;
    let acl = anyone(Permission::CREATE | Permission::DELETE | Permission::WRITE | Permission::ADMIN);
    operator.0.set_acl(path, &acl, None).await.unwrap();
    let proxy = Proxy::start(server.connect_string()).await;
    let session = session(&proxy.address(), SESSION_TIMEOUT).await;
    let election = session.election(path).identity("A").build().unwrap();
    proxy.arm(Fault::on_join(When::After, How::Fin));
    let campaign = timeout(PATIENCE, election.campaign()).await.expect("an end");
    assert!(matches!(campaign, Err(Error::NotAuthorized { .. })), "{campaign:?}");
    operator.0.set_acl(path, &Acls::anyone_all(), None).await.unwrap();
    let withdrawn = timeout(PATIENCE, election.withdraw()).await.expect("an end");
    sleep(Duration::from_secs(1)).await;
    let left = operator.left(Mode::Sequential, path).await;
    assert!(
        withdrawn.is_err() || left.is_empty(),
        "withdraw() says {withdrawn:?}, and there stands {left:?}"
    );
    let led = timeout(PATIENCE, election.campaign()).await;
    assert!(led.is_ok(), "A waits for ever for its own znode: {:?}", election.standing());
}

/// A znode of the own session that nobody answers for is found in the way, claimed, and then the campaign is withdrawn
/// before the answer is there: nobody removes it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_znode_is_not_forgotten_twice() {
    let server = zookeeper_embedded::Server::start().await.unwrap();
    let path: &'static str = unique_path("forgotten").leak();
    let operator = Operator::connect(&server.connect_string()).await;
    operator.create(path).await;
    let proxy = Proxy::start(server.connect_string()).await;
    let connector = Client::connector().with_session_timeout(Duration::from_secs(4));
    let client = connector.connect(&proxy.address()).await.unwrap();
    let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
    let (_, sequence) = client.create(&format!("{path}/guid_"), b"x", &options).await.unwrap();
    let forgotten: &'static str = format!("{path}/guid_{sequence}").leak();
    let session = Session::from_client(client.clone());
    let election = Arc::new(session.election(path).identity("A").build().unwrap());
    proxy.arm(Fault::at(forgotten, &[OpCode::GET_DATA], When::After, How::Hold));
    let campaigning = {
        let election = election.clone();
        tokio::spawn(async move { election.campaign().await })
    };
    proxy.fired().await;
    let withdrawing = {
        let election = election.clone();
        tokio::spawn(async move { election.withdraw().await })
    };
    sleep(Duration::from_millis(200)).await;
    proxy.hold(Direction::ToClient, false);
    timeout(PATIENCE, withdrawing).await.expect("an end").unwrap().unwrap();
    let _ = campaigning.await;
    let b = crate::session(&server.connect_string(), SESSION_TIMEOUT).await;
    let other = b.election(path).identity("B").build().unwrap();
    let (a, b) = (timeout(Duration::from_secs(15), election.campaign()), other.campaign());
    tokio::select! {
        a = a => assert!(a.is_ok(), "nobody leads: A {:?}, B {:?}", election.standing(), other.standing()),
        _ = b => {}
    }
}

/// A container, or a znode with a time to live, that has a contender's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_with_a_contender_s_name_is_not_waited_for_in_silence() {
    let server = zookeeper_embedded::Server::start().await.unwrap();
    let operator = Operator::connect(&server.connect_string()).await;
    for mode in [Mode::Sequential, Mode::Master] {
        let path = unique_path("container");
        operator.create(if mode == Mode::Master { "/test" } else { &path }).await;
        let name = if mode == Mode::Master { path.clone() } else { format!("{path}/guid_0000000000") };
        operator.0.create(&name, b"", &CreateMode::Container.with_acls(Acls::anyone_all())).await.unwrap();
        let session = session(&server.connect_string(), SESSION_TIMEOUT).await;
        let election = session.election(&path).mode(mode).identity("A").build().unwrap();
        let ended = timeout(Duration::from_secs(5), election.campaign()).await;
        assert!(ended.is_ok(), "{mode}: {:?}", election.standing());
    }
}

/// The client of the application gives its session up by itself, and the server keeps it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_the_client_gave_up_may_keep_its_znode() {
    let server = zookeeper_embedded::Server::start().await.unwrap();
    let path = unique_path("given-up");
    let b = session(&server.connect_string(), SESSION_TIMEOUT).await;
    let leader = b.election(&path).identity("B").build().unwrap();
    let _leadership = leader.campaign().await.unwrap();
    let connector = Client::connector().with_session_timeout(Duration::from_secs(2));
    let client = connector.connect(&server.connect_string()).await.unwrap();
    let session = Session::from_client(client);
    let election = Arc::new(session.election(&path).identity("A").build().unwrap());
    let campaigning = {
        let election = election.clone();
        tokio::spawn(async move { election.campaign().await })
    };
    let waits = async || matches!(election.standing(), Standing::Waiting { .. }).then_some(());
    eventually("A waits", PATIENCE, waits).await;
    server.kill();
    let campaign = timeout(PATIENCE, campaigning).await.expect("an end").unwrap();
    assert!(matches!(campaign, Err(Error::SessionLost)), "{campaign:?}");
    let withdrawn = election.withdraw().await;
    let closed = session.close().await;
    server.revive();
    let operator = Operator::connect(&server.connect_string()).await;
    let left = operator.left(Mode::Sequential, &path).await;
    let says = format!("withdraw() says {withdrawn:?}, close() {closed:?}, there stands {left:?}");
    assert!(left.len() == 1 || withdrawn.is_err(), "{says}");
}

/// A leader server that was deposed says of a session that the others have created that it has expired.
#[test]
fn a_deposed_server_s_word_about_a_session_is_not_the_last() {
    on_a_network(|network| async {
        let mut servers = Servers::start(network, |builder| builder).await;
        let (old, [new, _]) = (servers.old, servers.others);
        servers.depose().await;
        let operator = Operator::connect(&servers.majority()).await;
        for closing in [true, false] {
            let path = unique_path("expired");
            let doors = Doors::to(&servers.ensemble).await;
            doors.open_only(new);
            let a = session(&doors.connect_string(), Duration::from_secs(8)).await;
            let election = a.election(&path).identity("A").build().unwrap();
            let leadership = election.campaign().await.unwrap();
            doors.open_only(old);
            leadership.lost().await;
            let said = if closing {
                a.close().await
            } else {
                let leaving = tokio::spawn(async move {
                    let (one, two) = tokio::join!(election.withdraw(), leadership.resign());
                    one.and(two)
                });
                sleep(Duration::from_secs(1)).await;
                assert!(!leaving.is_finished(), "nobody has confirmed anything");
                doors.open_only(new);
                timeout(PATIENCE, leaving).await.expect("an end").unwrap()
            };
            let left = operator.left(Mode::Sequential, &path).await;
            assert!(said.is_err() || left.is_empty(), "closing {closing}: {said:?}, there stands {left:?}");
        }
    });
}

/// The application closes in the moment in which its client has a connection again: the keeper says so and takes it back
/// before the contender has heard of it.
#[tokio::test]
async fn closing_in_the_moment_of_a_reconnection_leaves_no_znode() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let server = zookeeper_embedded::Server::start().await.unwrap();
    let path = unique_path("closing");
    let operator = Operator::connect(&server.connect_string()).await;
    operator.create(&path).await;
    for round in 0..10 {
        let proxy = Proxy::start(server.connect_string()).await;
        let client =
            Client::connector().with_session_timeout(TIMEOUT).connect(&proxy.address()).await.unwrap();
        let cell = Arc::new(std::sync::OnceLock::<Session>::new());
        let closing = {
            let (cell, mut states) = (cell.clone(), client.state_watcher());
            tokio::spawn(async move {
                while states.changed().await != SessionState::Disconnected {}
                while states.changed().await != SessionState::SyncConnected {}
                cell.get().unwrap().close().await
            })
        };
        tokio::task::yield_now().await;
        let session = Session::from_client(client.clone());
        cell.set(session.clone()).unwrap();
        let election = session.election(&path).identity("A").build().unwrap();
        let leadership = election.campaign().await.unwrap();
        proxy.refuse(true);
        proxy.cut_all();
        let suspended = async || session.id().is_none().then_some(());
        eventually("A has no connection", PATIENCE, suspended).await;
        sleep(TIMEOUT / 10).await;
        proxy.refuse(false);
        let closed = closing.await.unwrap();
        sleep(2 * TIMEOUT).await;
        let left = operator.left(Mode::Sequential, &path).await;
        let state = client.state();
        assert!(left.is_empty(), "round {round}: close() says {closed:?}, {state:?}, there stands {left:?}");
        drop(leadership);
    }
}
