//! Packets that get lost: between servers, and between the leader and the servers.

use std::net::Ipv4Addr;

use testkit::SESSION_TIMEOUT;
use testkit::network::Network;

use crate::stage::{SERVERS, Stage};
use crate::{on_a_network, rounds, session_timeout};

/// Contenders that know one server each.
async fn at_one_server_each(network: Network, servers: impl IntoIterator<Item = usize>) -> Stage {
    let mut stage = Stage::set(network, session_timeout(SESSION_TIMEOUT)).await;
    for server in servers {
        stage.add(&[server]).await;
    }
    stage
}

/// Cuts off the server of whoever leads, again and again.
async fn cut_off_the_leaders_server(mut stage: Stage, wanted: impl AsyncFn(&Stage, usize) -> bool) {
    let mut done = 0;
    for _ in 0..10 * rounds() {
        if done == rounds() {
            return;
        }
        let (leader, token) = stage.recovered().await;
        let server = stage.server_of(leader).await;
        let is_wanted = wanted(&stage, server).await;
        done += usize::from(is_wanted);
        if is_wanted {
            // The leader's client still reaches it, and is answered, for as long as the server does not give up.
            stage.cut_off(server);
        } else {
            stage.runners[leader].kill();
        }
        let (successor, _) = stage.successor_of(token).await;
        assert_ne!(successor, leader);
        // A fault that ended now could tell the old leader in time.
        match is_wanted {
            true => stage.gives_up(leader, token).await,
            false => stage.runners[leader].restart(),
        }
        stage.network.heal();
        stage.ensemble.wait_until_serving().await;
        stage.recovered().await;
        let verdict = stage.assert_clean("a server that was cut off");
        println!("after cut {done}: {verdict}");
    }
    assert_eq!(done, rounds(), "the leader's server was hardly ever one of those to cut off");
}

#[test]
fn the_leader_s_follower_is_cut_off_from_the_other_servers() {
    on_a_network(|network| async {
        let stage = at_one_server_each(network, 0..SERVERS).await;
        let follows = async |stage: &Stage, server| stage.ensemble.leader().await != server;
        cut_off_the_leaders_server(stage, follows).await;
    });
}

#[test]
fn the_leader_s_server_leads_the_ensemble_and_is_cut_off() {
    on_a_network(|network| async {
        let stage = at_one_server_each(network, 0..SERVERS).await;
        let leads = async |stage: &Stage, server| stage.ensemble.leader().await == server;
        cut_off_the_leaders_server(stage, leads).await;
    });
}

/// Drops packets between the leader and all servers until somebody else leads, again and again.
async fn lose(network: Network, faults: &[fn(&Network, Ipv4Addr, &[Ipv4Addr])]) {
    let mut stage = Stage::set(network, session_timeout(SESSION_TIMEOUT)).await;
    for _ in 0..3 {
        stage.add(&[0, 1, 2]).await;
    }
    for round in 0..rounds() {
        for fault in faults {
            let (leader, token) = stage.recovered().await;
            fault(&stage.network, stage.runners[leader].host.client, &stage.for_clients());
            let (successor, _) = stage.successor_of(token).await;
            assert_ne!(successor, leader);
            stage.gives_up(leader, token).await;
            stage.network.heal();
            stage.recovered().await;
            let verdict = stage.assert_clean("packets between the leader and the servers were lost");
            println!("after round {round}: {verdict}");
        }
    }
}

#[test]
fn the_leader_s_packets_vanish_both_ways() {
    on_a_network(|network| lose(network, &[|network, leader, servers| network.cut(&[leader], servers)]));
}

#[test]
fn the_leader_s_packets_vanish_one_way() {
    let to_servers = |network: &Network, leader, servers: &[_]| network.drop_packets(&[leader], servers);
    let to_leader = |network: &Network, leader, servers: &[_]| network.drop_packets(servers, &[leader]);
    on_a_network(move |network| async move { lose(network, &[to_servers, to_leader]).await });
}
