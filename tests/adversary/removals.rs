//! Removals that were asked for early and are carried out late.

use std::sync::Arc;
use std::time::Duration;

use testkit::network::on_a_network;
use testkit::{Direction, Fault, How, OpCode, PATIENCE, When, eventually, unique_path};
use tokio::time::{sleep, timeout};
use zookeeper_election::Mode;

use crate::apart::Apart;
use crate::deposed::Servers;
use crate::doors::Doors;
use crate::referee::Referee;
use crate::{Operator, session};

/// The deposed server keeps the session for so long, and A comes to it after 0.6 of it. The other servers elect a leader in
/// between, which takes seconds on a busy machine.
const SESSION_TIMEOUT: Duration = Duration::from_secs(24);

/// A look and a delete that go over different connections. A deposed leader server answers `sync` at once
/// (`Leader.processSync`) and shows the znode of a master that has left; the delete goes to a server that knows the next
/// master's.
#[test]
fn a_late_removal_leaves_the_next_master_alone() {
    on_a_network(|network| async {
        let path: &'static str = unique_path("late-removal").leak();
        let referee = Referee::start();
        let mut servers = Servers::start(network, |builder| builder.config("maxSessionTimeout=60000")).await;
        let (old, [new, _]) = (servers.old, servers.others);
        let (doors, doors_of_b) = (Doors::to(&servers.ensemble).await, Doors::to(&servers.ensemble).await);

        let apart = Apart::start();
        doors.open_only(new);
        let a = apart.session(doors.connect_string(), SESSION_TIMEOUT).await;
        let election_of_a = Arc::new(a.election(path).mode(Mode::Master).identity("A").build().unwrap());
        referee.leads(election_of_a.clone()).await;
        // A's delete commits, and its answer is lost. (If this takes long, A's lease is over and it leaves by itself.)
        doors.door(new).arm(Fault::at(path, &[OpCode::DELETE], When::After, How::Fin));
        servers.depose().await;
        let connected = async || a.id().map(|_| ());
        eventually("A is connected again", PATIENCE, connected).await;
        doors.door(new).refuse(true);
        let operator = Operator::connect(&servers.majority()).await;
        let withdrawal = tokio::spawn(async move { election_of_a.withdraw().await });
        doors.door(new).fired().await;

        doors_of_b.open_only(servers.others[1]);
        let b = session(&doors_of_b.connect_string(), SESSION_TIMEOUT).await;
        let c = session(&servers.majority(), SESSION_TIMEOUT).await;
        let [election_of_b, election_of_c] = [(&b, "B"), (&c, "C")].map(|(session, name)| {
            Arc::new(session.election(path).mode(Mode::Master).identity(name).build().unwrap())
        });
        let leadership = referee.leads(election_of_b).await;
        let _c = referee.campaign(election_of_c);

        // A looks at the deposed server, which shows what there was, or asks it for a transaction first, which it does not
        // answer. What A does next goes over the next connection.
        let door = doors.door(old);
        let looks =
            Fault::at(path, &[OpCode::EXISTS, OpCode::GET_DATA, OpCode::DELETE], When::After, How::Hold);
        door.arm(looks);
        doors.open_only(old);
        let asks = async || door.requests().contains(&OpCode::MULTI).then_some(());
        tokio::select! {
            () = door.fired() => {}
            () = eventually("A asks the deposed server", PATIENCE, asks) => {}
        }
        let still = apart.stand_still().await;
        doors.door(old).hold(Direction::ToClient, false);
        sleep(Duration::from_millis(100)).await;
        doors.open_only(new);
        doors.door(new).arm(Fault::at(path, &[OpCode::DELETE], When::Before, How::Hold));
        doors_of_b.door(servers.others[1]).hold(Direction::ToClient, true);
        sleep(Duration::from_millis(100)).await;
        drop(still);
        doors.door(new).fired().await;
        doors.door(new).hold(Direction::ToServer, false);

        timeout(PATIENCE, withdrawal).await.expect("A leaves").unwrap().expect("A's znode is gone");
        let standing = operator.czxid(path).await;
        sleep(SESSION_TIMEOUT / 4).await;
        referee.assert_clean();
        // Whether B's lease lasts or not: its session does.
        let token = leadership.token().zxid();
        assert_eq!(standing, Some(token), "the znode of B is {token:#x}, and there is {standing:x?}");
    });
}
