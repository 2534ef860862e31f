//! [`Elector`](zookeeper_fle::Elector) among ZooKeeper's servers: it elects with them, and sends what they send, message
//! for message. Five electors also elect among themselves.
//!
//! ```text
//! FLE_SEED=$RANDOM cargo test -p zookeeper-fle --test elections                          # other conversations and histories
//! FLE_SEED=$RANDOM FLE_SCRIPTS=300 cargo test -p zookeeper-fle --test elections message  # a minute of conversations
//! FLE_SEED=7 cargo test -p zookeeper-fle --test elections                                # repeat a failed run
//! ```
//!
//! Conversations and histories are the same in each run unless `FLE_SEED` is set, so that a rare disagreement with real
//! servers is found by a search and not by chance. Only the mutated messages, which no server receives, differ in each
//! run; the test prints their seed.

mod connections;
mod fuzz;
mod histories;
mod lockstep;
mod peer;
mod quorum_ports;
mod raw_connection;
mod real_servers;
mod round_trip;
mod script;

use std::collections::BTreeMap;
use std::env;
use std::net::{Ipv4Addr, SocketAddr};

use fastrand::Rng;
use tokio::net::TcpListener;
use zookeeper_fle::{Decision, Epoch, History, Notification, Round, ServerId, ServerState, Vote, Zxid};

use lockstep::Lockstep;
use peer::{Peer, ReceivedNotification};
use raw_connection::ask;
use real_servers::{RecordedRun, assert_genuine, config, members};
use script::DecisionCounts;
use testkit::ports::Ports;
use testkit::{Ensemble, PATIENCE, eventually};

use ServerState::{Following, Leading, Looking};

const FRESH: History = History { epoch: Epoch(0), zxid: Zxid(0) };

/// A generator from a random seed, unless `FLE_SEED` is set.
fn seeded() -> Rng {
    seeded_or(fastrand::u64(..1 << 40))
}

/// A generator from this seed, unless `FLE_SEED` is set. Prints the seed.
fn seeded_or(seed: u64) -> Rng {
    let seed = env::var("FLE_SEED").map_or(seed, |seed| seed.parse().expect("FLE_SEED, a number"));
    println!("FLE_SEED={seed}");
    Rng::with_seed(seed)
}

#[tokio::test]
async fn five_peers_elect_the_third_that_comes_and_when_it_goes_the_best_of_the_others() {
    let mut ports = Ports::reserve();
    let members: BTreeMap<ServerId, SocketAddr> =
        (1..=5).map(|id| (ServerId(id), SocketAddr::from((Ipv4Addr::LOCALHOST, ports.take())))).collect();
    ports.release();
    let line = |(id, address): (&ServerId, &SocketAddr)| {
        format!("server.{id}={address}:{}:participant\n", address.port())
    };
    let config = members.iter().map(line).collect::<String>() + "version=0";

    let mut peers = BTreeMap::new();
    for id in [1, 2] {
        peers.insert(id, Peer::start(id, &members, &config, FRESH).await);
        // All that have come vote for the best of them, and are too few.
        let agree =
            || peers.values().all(|peer| peer.status().proposal.is_some_and(|it| it.leader == ServerId(id)));
        eventually("a common vote", PATIENCE, async || agree().then_some(())).await;
    }
    for id in [3, 4, 5] {
        peers.insert(id, Peer::start(id, &members, &config, FRESH).await);
        for (id, peer) in &peers {
            let decision = peer.decides(Round(1)).await;
            let state = if *id == 3 { Leading } else { Following };
            assert_eq!(
                (decision.state, decision.vote.leader, decision.round),
                (state, ServerId(3), Round(1))
            );
        }
    }

    peers.remove(&3);
    peers.values().for_each(|peer| peer.look_again(FRESH));
    for (id, peer) in &peers {
        let decision = peer.decides(Round(2)).await;
        let state = if *id == 5 { Leading } else { Following };
        assert_eq!((decision.state, decision.vote.leader, decision.round), (state, ServerId(5), Round(2)));
        assert!(peer.record().unreadable.is_empty());
    }
}

#[tokio::test]
async fn on_equal_data_a_real_server_follows_the_peer_with_the_higher_id_until_it_finds_nobody_at_its_quorum_port()
 {
    let mut ensemble = Ensemble::builder(3).prepare();
    let (members, config) = (members(&ensemble), config(&ensemble));
    ensemble.server_mut(0).start();
    let peer = Peer::start(3, &members, &config, FRESH).await;
    let decision = peer.decides(Round(1)).await;
    let vote = Vote { epoch: Epoch(0), zxid: Zxid(0), leader: ServerId(3) };
    assert_eq!(decision, Decision { state: Leading, vote, round: Round(1) });

    // It looks again by itself; and is answered that nothing has changed.
    let again = |heard: &ReceivedNotification| {
        heard.notification.state == Looking && heard.notification.round == Round(2)
    };
    let looks_again = async || peer.record().heard.iter().any(again).then_some(());
    eventually("a second round of the real server", PATIENCE, looks_again).await;
    let log = ensemble.server(0).log();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text:?} in the log:\n{log}"));
    assert!(at("Peer state changed: following") < at("shutdown Follower"), "{log}");
    assert!(!log.contains("Peer state changed: leading"), "{log}");

    let record = peer.record();
    assert!(record.unreadable.is_empty());
    // In the first round it ends with a vote for the peer, and it begins the second with one for itself.
    let votes = record.heard.iter().map(|it| (it.notification.round.0, it.notification.vote.leader.0));
    let votes: Vec<_> = votes.collect();
    let second = votes.iter().position(|(round, _)| *round == 2).expect("a second round");
    assert_eq!(votes[second - 1..=second], [(1, 3), (2, 1)], "{votes:?}");
    for heard in &record.heard {
        assert_eq!(heard.from, ServerId(1));
        assert_genuine(&ensemble, &heard.raw);
    }
}

#[tokio::test]
async fn the_better_history_wins_whoever_has_it_and_the_epoch_counts_before_the_zxid() {
    let past = RecordedRun::get().await;
    let mut ensemble = Ensemble::builder(3).prepare();
    let (members, config) = (members(&ensemble), config(&ensemble));
    past.restore(ensemble.server(0));
    ensemble.server_mut(0).start();
    let address = ensemble.server(0).election_address();
    // Whoever follows the peer waits here, and is not refused at once.
    let _quorum_port = TcpListener::bind(ensemble.server(2).quorum_address()).await.expect("a free port");
    let (first, raw) = ask(address).await;
    assert_genuine(&ensemble, &raw);
    assert_eq!((first.state, first.vote.leader), (Looking, ServerId(1)));
    assert!(first.vote.zxid > Zxid(0x1_0000_0000), "{}", first.vote);

    // Worse by a transaction.
    let worse = History { epoch: first.vote.epoch, zxid: Zxid(first.vote.zxid.0 - 1) };
    let peer = Peer::start(3, &members, &config, worse).await;
    let decision = peer.decides(Round(1)).await;
    assert_eq!((decision.state, decision.vote), (Following, first.vote));
    let leads = |(answer, raw): &(Notification, Vec<u8>)| {
        assert_genuine(&ensemble, raw);
        (answer.state, answer.vote, answer.round) == (Leading, first.vote, decision.round)
    };
    eventually("the real server leads", PATIENCE, async || Some(ask(address).await).filter(leads)).await;

    // It waits for followers in vain, and looks again; and so does the peer, with a later epoch and next to no history.
    let round = decision.round.next();
    let again = |heard: &ReceivedNotification| {
        heard.notification.state == Looking && heard.notification.round == round
    };
    let looks_again = async || peer.record().heard.iter().any(again).then_some(());
    eventually("a second round of the real server", PATIENCE, looks_again).await;
    let later = History { epoch: Epoch(first.vote.epoch.0 + 1), zxid: Zxid(1) };
    peer.look_again(later);
    let decision = peer.decides(round).await;
    let vote = Vote { epoch: later.epoch, zxid: later.zxid, leader: ServerId(3) };
    assert_eq!((decision.state, decision.vote), (Leading, vote));
    let follows = |answer: &Notification| answer.state == Following && answer.vote == vote;
    eventually("the real server follows", PATIENCE, async || Some(ask(address).await.0).filter(follows))
        .await;
    assert!(peer.record().unreadable.is_empty());
}

#[tokio::test]
async fn a_late_peer_follows_the_settled_servers_however_much_better_it_is_and_disturbs_nobody() {
    let past = RecordedRun::get().await;
    let [follower, leader] = &past.before;
    assert_eq!((follower.state, leader.state), (Following, Leading));
    assert_eq!((follower.vote.leader, leader.vote.leader), (ServerId(2), ServerId(2)));
    let (decision, record) = &past.late;
    assert_eq!((decision.state, decision.vote, decision.round), (Following, leader.vote, leader.round));
    assert_eq!(past.before, past.after);
    assert_eq!(past.elections[0], past.elections[1], "elections before the peer came, and in all");
    assert!(record.unreadable.is_empty());
    for id in [1, 2].map(ServerId) {
        assert!(record.heard.iter().any(|it| it.from == id && it.notification.state != Looking));
    }
}

#[tokio::test]
async fn message_for_message_an_elector_says_what_a_real_server_says() {
    let mut rng = seeded_or(1);
    let past = RecordedRun::get().await;
    let mut ensemble = Ensemble::builder(5).prepare();
    past.restore(ensemble.server(0));
    ensemble.server_mut(0).start();
    let mut lockstep = Lockstep::with(&ensemble).await;
    lockstep.fixed_script().await;
    let mut tally = DecisionCounts::default();
    let scripts =
        env::var("FLE_SCRIPTS").map_or(25, |scripts| scripts.parse().expect("FLE_SCRIPTS, a number"));
    for _ in 0..scripts {
        lockstep.random_script(&mut rng, &mut tally).await;
    }
    println!("{} messages, {tally:?}", lockstep.said);
    assert!(tally.joined > 0 && tally.elected > 0, "{tally:?}");
    lockstep.assert_no_answer_is_missing(&ensemble).await;
    lockstep.be_followed().await;
}
