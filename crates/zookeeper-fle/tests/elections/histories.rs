//! The same servers with the same histories, started in the same order: real ones and simulated ones elect the same leader.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use zookeeper_client::{Acls, Client, CreateMode};
use zookeeper_fle::simulator::{EventKind, Simulation};
use zookeeper_fle::{History, LONGEST_WAIT, Notification, Quorum, ServerId, ServerState};

use crate::raw_connection::ask;
use crate::{FRESH, seeded_or};
use testkit::{Ensemble, PATIENCE, Server, eventually};

/// What is done to real servers before they are all stopped, so that they have histories. Servers are named by id.
#[derive(Clone, Copy, Debug)]
enum HistoryStep {
    /// The ensemble writes so many transactions.
    Write(u32),
    /// A server is killed.
    Kill(i64),
    /// A server that was killed is started, and is in step before the next step.
    Start(i64),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_fresh_servers_started_one_after_the_other() {
    let mut ensemble = Ensemble::builder(5).prepare();
    let histories = (1..=5).map(|id| (ServerId(id), FRESH)).collect();
    let elected = elect_both(&mut ensemble, &majority(5), &histories, &[1, 2, 3, 4, 5]).await;
    assert_eq!(elected, [None, None, Some(ServerId(3)), Some(ServerId(3)), Some(ServerId(3))]);

    // For the record: how long the others take to agree on the next leader, once they have noticed.
    server(&mut ensemble, 3).kill();
    finds_leader(&ensemble, &[1, 2, 4, 5]).await;
    let took = |server: &Server| server.log().lines().filter_map(election_took).next_back();
    let real = [1, 2, 4, 5].map(|id| took(server(&mut ensemble, id)).expect("a line in the log"));
    println!("agreed on the next leader after {real:?} (real), {:?} (simulated)", simulated_agreement());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_higher_zxid_wins_over_a_higher_id() {
    let steps = [HistoryStep::Write(2), HistoryStep::Kill(3), HistoryStep::Write(3)];
    let mut ensemble = Ensemble::builder(3).start().await;
    let histories = make_histories(&mut ensemble, &steps).await;
    assert!(histories[&ServerId(1)] > histories[&ServerId(3)], "{histories:?}");
    let elected = elect_both(&mut ensemble, &majority(3), &histories, &[3, 1, 2]).await;
    assert_eq!(elected, [None, Some(ServerId(1)), Some(ServerId(1))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_with_random_histories() {
    // Each server is killed at some time, and twice of three times a better history wins over a higher id.
    let mut rng = seeded_or(442);
    for _ in 0..3 {
        let (steps, order) = draw(&mut rng);
        println!("{steps:?}, then started in the order {order:?}");
        let mut ensemble = Ensemble::builder(3).start().await;
        let histories = make_histories(&mut ensemble, &steps).await;
        println!("    {histories:?}");
        let elected = elect_both(&mut ensemble, &majority(3), &histories, &order).await;
        println!("    leaders: {elected:?}");
        assert!(elected[1].is_some(), "two of three are a quorum: {elected:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_weighs_nothing_neither_leads_nor_counts() {
    let grouped = Ensemble::builder(3).config("group.1=1:2:3").config("weight.3=0");
    let mut ensemble = grouped.prepare();
    let quorum = Quorum::hierarchical([(1, 1), (2, 1), (3, 0)].map(|(id, weight)| (ServerId(id), 1, weight)));
    let histories = (1..=3).map(|id| (ServerId(id), FRESH)).collect();
    let elected = elect_both(&mut ensemble, &quorum, &histories, &[3, 1, 2]).await;
    assert_eq!(elected, [None, None, Some(ServerId(2))]);
}

fn majority(servers: i64) -> Quorum {
    Quorum::majority((1..=servers).map(ServerId))
}

/// Some steps and an order. At most one of the three is down at a time, so that the others can write.
fn draw(rng: &mut Rng) -> (Vec<HistoryStep>, Vec<i64>) {
    let mut down = None;
    let mut steps = Vec::new();
    for _ in 0..3 {
        steps.push(match down.take() {
            Some(id) if rng.bool() => HistoryStep::Start(id),
            Some(id) => {
                down = Some(id);
                HistoryStep::Write(rng.u32(1..5))
            }
            None => {
                let id = rng.i64(1..=3);
                down = Some(id);
                HistoryStep::Kill(id)
            }
        });
        steps.push(HistoryStep::Write(rng.u32(1..5)));
    }
    let mut order = vec![1, 2, 3];
    rng.shuffle(&mut order);
    (steps, order)
}

/// Does these steps to an ensemble that runs, kills all its servers, and reads from each what it has on disk.
async fn make_histories(ensemble: &mut Ensemble, steps: &[HistoryStep]) -> BTreeMap<ServerId, History> {
    for step in steps {
        match *step {
            HistoryStep::Write(transactions) => {
                let running = ensemble.servers().iter().filter(|it| it.is_running()).map(Server::address);
                let client =
                    Client::connect(&running.collect::<Vec<_>>().join(",")).await.expect("a session");
                let options = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
                for _ in 0..transactions {
                    client.create("/n-", b"", &options).await.expect("a znode");
                }
            }
            HistoryStep::Kill(id) => {
                server(ensemble, id).kill();
                ensemble.wait_until_serving().await;
            }
            HistoryStep::Start(id) => {
                server(ensemble, id).start();
                ensemble.wait_until_serving().await;
            }
        }
    }
    let ids: Vec<i64> = (1..).take(ensemble.servers().len()).collect();
    for id in &ids {
        server(ensemble, *id).kill();
    }
    let mut histories = BTreeMap::new();
    for id in ids {
        // One that is alone looks for a leader, and shows a vote for itself.
        server(ensemble, id).start();
        let vote = finds(ensemble, &[id], all_looking).await[&ServerId(id)].vote;
        assert_eq!(vote.leader, ServerId(id));
        histories.insert(ServerId(id), History { epoch: vote.epoch, zxid: vote.zxid });
        server(ensemble, id).kill();
    }
    histories
}

/// Starts real servers and simulated ones in this order, each when the ones before have come to rest. Says who leads after
/// each start.
///
/// # Panics
/// When the real ones and the simulated ones have different leaders at any time.
async fn elect_both(
    ensemble: &mut Ensemble,
    quorum: &Quorum,
    histories: &BTreeMap<ServerId, History>,
    order: &[i64],
) -> Vec<Option<ServerId>> {
    let mut simulation = Simulation::new(quorum.clone(), 1);
    for (id, history) in histories {
        simulation = simulation.with_history(*id, *history);
    }
    let (mut running, mut leaders) = (Vec::new(), Vec::new());
    for id in order {
        running.push(*id);
        simulation.start(ServerId(*id));
        server(ensemble, *id).start();
        let suffice = quorum.is_quorum(&running.iter().copied().map(ServerId).collect());
        let real = if suffice {
            Some(finds_leader(ensemble, &running).await)
        } else {
            finds(ensemble, &running, all_looking).await;
            None
        };
        // Longer than any wait: one that weighs nothing hears of the leader when it asks again.
        simulation.run_for(2 * LONGEST_WAIT);
        assert_eq!(simulation.leader(), real, "{histories:?}, started: {running:?} of {order:?}");
        leaders.push(real);
    }
    leaders
}

/// The leader of these servers, once all of them have settled on it.
async fn finds_leader(ensemble: &Ensemble, running: &[i64]) -> ServerId {
    let settled = |answers: &Answers| {
        let leader = answers.values().next()?.vote.leader;
        let has_settled = |(id, it): (&ServerId, &Notification)| {
            let state = if *id == leader { ServerState::Leading } else { ServerState::Following };
            (it.state, it.vote.leader) == (state, leader)
        };
        (answers.contains_key(&leader) && answers.iter().all(has_settled)).then_some(leader)
    };
    settled(&finds(ensemble, running, |it| settled(it).is_some()).await).expect("it was there")
}

/// The answers of servers on their election ports.
type Answers = BTreeMap<ServerId, Notification>;

/// Asks these servers until all their answers are as wanted.
async fn finds(ensemble: &Ensemble, running: &[i64], wanted: impl Fn(&Answers) -> bool) -> Answers {
    eventually("the servers come to rest", PATIENCE, async || {
        let mut answers = Answers::new();
        for id in running {
            let server = ensemble.server(usize::try_from(id - 1).expect("an id"));
            answers.insert(ServerId(*id), ask(server.election_address()).await.0);
        }
        wanted(&answers).then_some(answers)
    })
    .await
}

fn all_looking(answers: &Answers) -> bool {
    answers.values().all(|it| it.state == ServerState::Looking)
}

/// The server with this id.
fn server(ensemble: &mut Ensemble, id: i64) -> &mut Server {
    ensemble.server_mut(usize::try_from(id - 1).expect("an id"))
}

/// What a line of a server's log says about the length of an election.
fn election_took(line: &str) -> Option<Duration> {
    let (_, took) = line.split_once("LEADER ELECTION TOOK - ")?;
    let milliseconds = took.split(' ').next()?.parse().ok()?;
    Some(Duration::from_millis(milliseconds))
}

/// How long four simulated servers take from the moment at which they look for a leader, because the fifth has crashed.
fn simulated_agreement() -> Vec<Duration> {
    let mut simulation = Simulation::new(majority(5), 1);
    (1..=5).for_each(|id| simulation.start(ServerId(id)));
    assert!(simulation.run_until(PATIENCE, Simulation::is_settled));
    let crashed = simulation.leader().expect("a leader");
    simulation.crash(crashed);
    let before = simulation.trace().len();
    assert!(simulation.run_until(PATIENCE, |it| it.leader().is_some_and(|leader| leader != crashed)));
    let mut began = BTreeMap::new();
    let mut took = Vec::new();
    for event in &simulation.trace()[before..] {
        match event.kind {
            EventKind::RoundStarted { .. } => _ = began.insert(event.server, event.at),
            EventKind::Decided { .. } => {
                took.extend(began.remove(&event.server).map(|began| event.at - began))
            }
            _ => {}
        }
    }
    took
}
