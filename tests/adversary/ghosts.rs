//! Creates whose answers are lost, and which are carried out after the contender has looked for its znode.

use std::sync::Arc;
use std::time::Duration;

use testkit::network::on_a_network;
use testkit::{Direction, Fault, How, OpCode, PATIENCE, When, unique_path};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zookeeper_election::{Election, Error, Mode, Session};

use crate::deposed::Servers;
use crate::doors::Doors;
use crate::{Operator, session};

const SESSION_TIMEOUT: Duration = Duration::from_secs(8);

const CREATES: &[OpCode] = &[OpCode::CREATE, OpCode::CREATE2];

/// A contender that withdraws while the outcome of its create is unknown.
struct Leaver {
    mode: Mode,
    path: &'static str,
    doors: Doors,
    session: Session,
    election: Arc<Election>,
    withdrawal: Option<JoinHandle<Result<(), Error>>>,
}

impl Leaver {
    /// One of each mode, with sessions at the server with this index.
    async fn of_both_modes(servers: &Servers, operator: &Operator, at: usize) -> [Self; 2] {
        let first = Self::new(servers, operator, at, Mode::Master).await;
        [first, Self::new(servers, operator, at, Mode::Sequential).await]
    }

    async fn new(servers: &Servers, operator: &Operator, at: usize, mode: Mode) -> Self {
        let path: &'static str = unique_path("ghost").leak();
        // No other create is to go before the contender's.
        operator.create(if mode == Mode::Master { "/test" } else { path }).await;
        let doors = Doors::to(&servers.ensemble).await;
        doors.open_only(at);
        let session = session(&doors.connect_string(), SESSION_TIMEOUT).await;
        let election = Arc::new(session.election(path).mode(mode).identity("A").build().unwrap());
        Self { mode, path, doors, session, election, withdrawal: None }
    }

    /// Campaigns until a fault at the create fires.
    async fn creates(&self, at: usize, when: When) {
        self.doors.door(at).arm(Fault::at(self.path, CREATES, when, How::Hold));
        let election = self.election.clone();
        tokio::spawn(async move { election.campaign().await });
        self.doors.door(at).fired().await;
    }

    fn withdraws(&mut self) {
        let election = self.election.clone();
        self.withdrawal = Some(tokio::spawn(async move { election.withdraw().await }));
    }

    /// Whether the withdrawal ends within this time, which it may do only when nothing is left.
    async fn has_left(&mut self, limit: Duration, operator: &Operator) -> bool {
        let Some(withdrawal) = &mut self.withdrawal else { return true };
        let Ok(ended) = timeout(limit, withdrawal).await else { return false };
        self.withdrawal = None;
        ended.expect("no panic").expect("the withdrawal is confirmed");
        self.assert_nothing_left(operator).await;
        true
    }

    async fn assert_nothing_left(&self, operator: &Operator) {
        let left = operator.left(self.mode, self.path).await;
        assert!(
            left.is_empty(),
            "{:?} mode: the withdrawal is confirmed, and there stands {left:?}",
            self.mode
        );
    }

    /// Nobody waits behind a ghost.
    async fn assert_others_lead(&self, servers: &str) {
        let session = session(servers, SESSION_TIMEOUT).await;
        let election = session.election(self.path).mode(self.mode).identity("B").build().unwrap();
        let led = timeout(PATIENCE, election.campaign()).await.expect("B leads");
        led.expect("B leads").resign().await.unwrap();
    }
}

/// A create commits, its answer is lost, and the client reaches only a leader server that was deposed: it answers
/// `sync` at once (`Leader.processSync`) and knows nothing of the znode.
#[test]
fn a_withdrawal_that_is_confirmed_leaves_no_znode() {
    on_a_network(|network| async {
        let mut servers = Servers::start(network, |builder| builder).await;
        let (old, [new, _]) = (servers.old, servers.others);
        let operator = Operator::connect(&servers.majority()).await;
        let mut leavers = Leaver::of_both_modes(&servers, &operator, old).await;
        servers.depose().await;
        for leaver in &mut leavers {
            leaver.doors.lead(&leaver.session, new).await;
            leaver.creates(new, When::After).await;
        }
        let operator = Operator::connect(&servers.majority()).await;
        for leaver in &mut leavers {
            leaver.doors.open_only(old);
            leaver.withdraws();
        }
        // Long enough for the session to be taken up by the deposed server, and not to expire at the others.
        sleep(SESSION_TIMEOUT.mul_f64(0.8)).await;
        for leaver in &mut leavers {
            leaver.has_left(Duration::ZERO, &operator).await;
            leaver.doors.open_only(new);
        }
        for leaver in &mut leavers {
            assert!(leaver.has_left(PATIENCE, &operator).await, "{:?} mode: A does not leave", leaver.mode);
            leaver.assert_others_lead(&servers.majority()).await;
            leaver.assert_nothing_left(&operator).await;
        }
    });
}

/// A leader server that does not pass its followers' requests through its commit processor
/// (`ProposalRequestProcessor.shouldForwardToNextProcessor`) answers a client of its own without waiting for a create of
/// that client that came by way of a follower and has not committed yet.
#[test]
fn a_create_that_waits_for_a_quorum_is_waited_for() {
    on_a_network(|network| async {
        let unordered = "zookeeper.forward_learner_requests_to_commit_processor_disabled=true";
        let servers = Servers::start(network, |builder| builder.property(unordered)).await;
        let (old, [follower, _]) = (servers.old, servers.others);
        let operator = Operator::connect(&servers.ensemble.server(old).address()).await;
        let mut leavers = Leaver::of_both_modes(&servers, &operator, follower).await;
        for leaver in &leavers {
            leaver.creates(follower, When::Before).await;
        }
        servers.stall();
        for leaver in &mut leavers {
            leaver.doors.door(follower).hold(Direction::ToServer, false);
            // The create is on its way to the leading server.
            sleep(Duration::from_millis(300)).await;
            leaver.doors.open_only(old);
            leaver.withdraws();
        }
        sleep(SESSION_TIMEOUT / 3).await;
        servers.network.heal();
        for leaver in &mut leavers {
            assert!(leaver.has_left(PATIENCE, &operator).await, "{:?} mode: A does not leave", leaver.mode);
            leaver.assert_others_lead(&servers.majority()).await;
            leaver.assert_nothing_left(&operator).await;
        }
    });
}
