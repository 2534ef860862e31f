//! Sequential mode: the queue, its watches, and who moves when somebody leaves.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{
    Contender, PATIENCE, SESSION_TIMEOUT, ZooKeeper, connect, contenders_become, eventually, identities,
    on_both_servers, queue, unique_path,
};
use zookeeper_election::zookeeper_client::{Acls, Client, CreateMode};
use zookeeper_election::{Error, Mode, Session, Standing};

on_both_servers! {
    five_contenders_form_a_queue_and_each_watches_its_predecessor_alone: 3 servers;
    a_predecessor_whose_data_is_changed_and_that_leaves_is_followed;
    foreign_children_are_ignored;
    a_znode_that_does_not_go_by_itself_ends_the_campaign_behind_it;
    a_directory_whose_numbers_are_used_up_ends_campaigns;
    a_znode_of_the_own_session_that_nobody_answers_for_is_removed;
}

async fn five(zookeeper: &ZooKeeper, path: &str) -> Vec<Contender> {
    let mut contenders = Vec::new();
    for id in ["a", "b", "c", "d", "e"] {
        contenders.push(Contender::join(&zookeeper.connect_string(), path, Mode::Sequential, id).await);
    }
    contenders
}

/// Which sessions watch which paths below `dir`, over all servers.
async fn watches(zookeeper: &ZooKeeper, dir: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut watches: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for answer in zookeeper.four_letter_all("wchp").await {
        let mut path = "";
        for line in answer.lines() {
            match line.strip_prefix('\t') {
                Some(session) if path.starts_with(dir) => {
                    watches.entry(path.to_owned()).or_default().insert(session.to_owned());
                }
                Some(_) => {}
                None => path = line,
            }
        }
    }
    watches
}

/// Each znode is watched by its owner and by the contender behind, and nothing else is watched.
async fn watched_by_owner_and_next(zookeeper: &ZooKeeper, path: &str, contenders: &[&Contender]) {
    let election = &contenders[0].election;
    let identities: Vec<&str> = contenders.iter().map(|contender| contender.id.as_str()).collect();
    contenders_become(election, &identities).await;
    let nodes = election.contenders().await.unwrap();
    let mut expected = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate() {
        let watchers = nodes[i..].iter().take(2).map(|it| it.session.to_string());
        expected.insert(node.node.clone(), watchers.collect::<BTreeSet<_>>());
    }
    eventually(&format!("these watches: {expected:?}"), PATIENCE, async || {
        (watches(zookeeper, path).await == expected).then_some(())
    })
    .await;
}

async fn five_contenders_form_a_queue_and_each_watches_its_predecessor_alone(zookeeper: ZooKeeper) {
    let path = unique_path("queue");
    let mut contenders = five(&zookeeper, &path).await;

    let election = contenders[0].election.clone();
    let names: Vec<String> = (0..5).map(|number| format!("guid_{number:010}")).collect();
    contenders_become(&election, &["a", "b", "c", "d", "e"]).await;
    assert_eq!(queue(&election).await, names);
    let first = contenders[0].leads().await;
    assert_eq!(first.node(), format!("{path}/guid_0000000000"));
    for i in 1..5 {
        assert!(contenders[i].campaigns());
        let expected = Standing::Waiting {
            node: Some(format!("{path}/{}", names[i])),
            behind: format!("{path}/{}", names[i - 1]),
        };
        assert_eq!(contenders[i].election.standing(), expected);
    }
    let leader = contenders[4].election.leader().await.unwrap().expect("a leader");
    assert_eq!((leader.identity.as_str(), leader.token), ("a", first.token()));
    watched_by_owner_and_next(&zookeeper, &path, &contenders.iter().collect::<Vec<_>>()).await;

    // One in the middle leaves: the leader goes on, the one behind watches the next lower.
    contenders[2].election.withdraw().await.unwrap();
    assert!(contenders[2].ended().await.is_err());
    let behind_b = contenders[3].reaches(
        "a place behind b",
        |standing| matches!(standing, Standing::Waiting { behind, .. } if behind.ends_with(&names[1])),
    );
    behind_b.await;
    assert!(first.is_valid());
    let left: Vec<&Contender> = [0, 1, 3, 4].map(|i| &contenders[i]).into();
    watched_by_owner_and_next(&zookeeper, &path, &left).await;

    // The leader leaves: the next one leads, and the rest stays where it is.
    let token = first.token();
    first.resign().await.unwrap();
    let second = contenders[1].leads().await;
    assert!(second.token() > token);
    assert!(contenders[3].campaigns() && contenders[4].campaigns());
    let left: Vec<&Contender> = [1, 3, 4].map(|i| &contenders[i]).into();
    watched_by_owner_and_next(&zookeeper, &path, &left).await;
}

async fn a_predecessor_whose_data_is_changed_and_that_leaves_is_followed(zookeeper: ZooKeeper) {
    let path = unique_path("data");
    let servers = zookeeper.connect_string();
    let mut a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&servers, &path, Mode::Sequential, "b").await;
    let leadership = a.leads().await;

    let operator = zookeeper_election::zookeeper_client::Client::connect(&servers).await.unwrap();
    for data in ["x", "y"] {
        operator.set_data(leadership.node(), data.as_bytes(), None).await.unwrap();
        // The follower has looked again when its watch is back.
        eventually("the watch on the predecessor", PATIENCE, async || {
            let watchers = watches(&zookeeper, &path).await.remove(leadership.node())?;
            watchers.contains(&b.session.id()?.to_string()).then_some(())
        })
        .await;
    }
    assert!(leadership.is_valid(), "its own data does not matter to the leader");
    assert!(b.campaigns());
    leadership.resign().await.unwrap();
    assert!(b.leads().await.is_valid());
}

async fn foreign_children_are_ignored(zookeeper: ZooKeeper) {
    use zookeeper_election::zookeeper_client::{Acls, Client, CreateMode};
    let path = unique_path("foreign");
    let servers = zookeeper.connect_string();
    let other = Client::connect(&servers).await.unwrap();
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    other.mkdir(&path, &options).await.unwrap();
    for name in ["guid_", "guid_1", "guid_00000000000", "größe_0000000000", "_c_x-latch-0000000000", "config"]
    {
        other.create(&format!("{path}/{name}"), b"", &options).await.unwrap();
    }
    let mut a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let leadership = a.leads().await;
    assert_eq!(identities(&a.election).await, ["a"]);
    assert_eq!(a.election.leader().await.unwrap().unwrap().token, leadership.token());
}

/// A tool that copies znodes makes persistent ones of contenders' znodes, and an operator creates containers. A server
/// keeps a mark in the place of a container's owner, and shows none (`DataNode.getClientEphemeralOwner`).
async fn a_znode_that_does_not_go_by_itself_ends_the_campaign_behind_it(zookeeper: ZooKeeper) {
    let operator = Client::connect(&zookeeper.connect_string()).await.unwrap();
    let session = connect(&zookeeper.connect_string()).await;
    for kind in [CreateMode::Persistent, CreateMode::Container] {
        for mode in [Mode::Sequential, Mode::Master] {
            let path = unique_path("stays");
            let (dir, stays) = match mode {
                Mode::Sequential => (path.clone(), format!("{path}/guid_0000000000")),
                _ => ("/test".to_owned(), path.clone()),
            };
            operator.mkdir(&dir, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
            operator.create(&stays, b"a", &kind.with_acls(Acls::anyone_all())).await.unwrap();

            let election = session.election(&path).mode(mode).identity("b").build().unwrap();
            let campaign = tokio::time::timeout(PATIENCE, election.campaign()).await.expect("an end");
            let error = campaign.expect_err("nobody can lead");
            match (mode, &error) {
                (Mode::Sequential, Error::NotEphemeral { path }) if *path == stays => {}
                (Mode::Master, Error::PathOccupied { path }) if *path == stays => {}
                _ => panic!("{mode}, {kind:?}: {error:?}"),
            }
            assert!(error.to_string().contains("delete "), "{error}");
            election.withdraw().await.unwrap();
            assert!(operator.check_stat(&stays).await.unwrap().is_some(), "it is not the contender's");
            if mode == Mode::Sequential {
                let left = operator.list_children(&path).await.unwrap();
                assert_eq!(left, ["guid_0000000000"], "its own znode is gone");
            }

            operator.delete(&stays, None).await.unwrap();
            let campaign = tokio::time::timeout(PATIENCE, election.campaign()).await.expect("an end");
            campaign.expect("nothing is in the way").resign().await.unwrap();
        }
    }
}

/// A server whose counter has come to its end gives the last number out again and again.
async fn a_directory_whose_numbers_are_used_up_ends_campaigns(zookeeper: ZooKeeper) {
    let operator = Client::connect(&zookeeper.connect_string()).await.unwrap();
    for last in ["guid_2147483647", "guid_-000000001"] {
        let path = unique_path("exhausted");
        operator.mkdir(&path, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
        let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
        operator.create(&format!("{path}/{last}"), b"a", &options).await.unwrap();
        let session = connect(&zookeeper.connect_string()).await;
        let election = session.election(&path).identity("b").build().unwrap();
        let campaign = tokio::time::timeout(PATIENCE, election.campaign()).await.expect("an end");
        let error = campaign.expect_err("there is no order any more");
        assert!(matches!(error, Error::SequenceExhausted { .. }), "{error:?}");
        assert!(error.to_string().contains("another path"), "{error}");
        election.withdraw().await.unwrap();
        assert_eq!(operator.list_children(&path).await.unwrap(), [last]);
    }
}

/// Such a znode would stand in everybody's way for as long as the session lives.
async fn a_znode_of_the_own_session_that_nobody_answers_for_is_removed(zookeeper: ZooKeeper) {
    let dir = unique_path("forgotten");
    let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    let client = connector.connect(&zookeeper.connect_string()).await.unwrap();
    client.mkdir(&dir, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    let master = format!("{dir}/master");
    for (mode, path) in [(Mode::Sequential, &dir), (Mode::Master, &master)] {
        let (options, forgotten) = match mode {
            Mode::Master => (CreateMode::Ephemeral, master.clone()),
            _ => (CreateMode::EphemeralSequential, format!("{dir}/guid_")),
        };
        client.create(&forgotten, b"x", &options.with_acls(Acls::anyone_all())).await.unwrap();
        let session = Session::from_client(client.clone());
        let election = session.election(path).mode(mode).identity("x").build().unwrap();
        let campaign = tokio::time::timeout(PATIENCE, election.campaign()).await;
        campaign.expect("an end").unwrap().resign().await.unwrap();
        // Those of other contenders on the same session are left alone, also by another `Session`.
        let leadership = election.campaign().await.unwrap();
        let other = Session::from_client(client.clone());
        let mut next = Contender::join_on(other, path, mode, "x").await;
        tokio::time::sleep(SESSION_TIMEOUT / 4).await;
        assert!(leadership.is_valid() && next.campaigns(), "{mode}");
        leadership.resign().await.unwrap();
        next.leads().await.resign().await.unwrap();
    }
}
