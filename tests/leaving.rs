//! Leaving an election in every way there is: no znode is left behind, and nothing hangs.

mod support;

use std::time::Duration;

use support::{
    Contender, Ensemble, OpCode, PATIENCE, Proxy, connect, eventually, identities, queue, unique_path,
};
use zookeeper_election::zookeeper_client::Client;
use zookeeper_election::{Error, Lost, Mode, Parents, Standing};

async fn children(client: &Client, path: &str) -> Vec<String> {
    client.list_children(path).await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_dropped_at_any_moment_leaves_no_znode() {
    let ensemble = Ensemble::start(1).await;
    let path = unique_path("dropped");
    let servers = ensemble.connect_string();
    let operator = Client::connect(&servers).await.unwrap();
    let session = connect(&servers).await;
    for mode in [Mode::Sequential, Mode::Master] {
        let path = format!("{path}-{mode:?}");
        let election = session.election(&path).mode(mode).build().unwrap();
        // From before the create is sent to after the campaign was won.
        for step in 0..60 {
            let _ = tokio::time::timeout(Duration::from_micros(200 * step), election.campaign()).await;
        }
        eventually("idle", PATIENCE, async || (election.standing() == Standing::Idle).then_some(())).await;
        assert!(children(&operator, &path).await.is_empty());
        assert_eq!(election.leader().await.unwrap(), None);
        // And it is of use still.
        election.campaign().await.unwrap().resign().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_election_dropped_while_it_waits_leaves_no_znode() {
    let ensemble = Ensemble::start(1).await;
    let path = unique_path("handle");
    let servers = ensemble.connect_string();
    let a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&servers, &path, Mode::Sequential, "b").await;
    assert_eq!(identities(&a.election).await, ["a", "b"]);
    b.drop_campaign();
    drop(b);
    eventually("b is gone", PATIENCE, async || (identities(&a.election).await == ["a"]).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leadership_that_is_dropped_resigns_and_outlives_its_election() {
    let ensemble = Ensemble::start(1).await;
    let path = unique_path("drop");
    let session = connect(&ensemble.connect_string()).await;
    let leadership = session.election(&path).identity("a").build().unwrap().campaign().await.unwrap();
    let mut b = Contender::join_on(session, &path, Mode::Sequential, "b").await;
    assert!(leadership.is_valid(), "the election was dropped long ago");
    drop(leadership);
    let next = b.leads().await;
    assert_eq!(identities(&b.election).await, ["b"]);
    next.resign().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withdrawing_ends_what_is_under_way_and_waits_until_it_is_removed() {
    let ensemble = Ensemble::start(1).await;
    let path = unique_path("withdraw");
    let servers = ensemble.connect_string();
    let operator = Client::connect(&servers).await.unwrap();
    let mut a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&servers, &path, Mode::Sequential, "b").await;
    b.election.withdraw().await.unwrap();
    assert_eq!(children(&operator, &path).await.len(), 1);
    assert!(matches!(b.ended().await, Err(Error::Withdrawn)));
    let leadership = a.leads().await;
    a.election.withdraw().await.unwrap();
    assert!(children(&operator, &path).await.is_empty());
    assert_eq!(leadership.lost().await, Lost::Resigned);
    // Nothing is under way any more.
    a.election.withdraw().await.unwrap();
    leadership.resign().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_a_session_ends_everything_on_it() {
    let ensemble = Ensemble::start(3).await;
    let path = unique_path("close");
    let servers = ensemble.connect_string();
    let mut other = Contender::join(&servers, &path, Mode::Sequential, "other").await;
    let session = connect(&servers).await;
    let mut leader = Contender::join_on(session.clone(), &format!("{path}-2"), Mode::Sequential, "a").await;
    let mut waiter = Contender::join_on(session.clone(), &path, Mode::Sequential, "b").await;
    let leadership = leader.leads().await;
    let id = session.id().unwrap().to_string();

    session.close().await.unwrap();
    assert!(!leadership.is_valid());
    assert_eq!(leadership.lost().await, Lost::SessionClosed);
    assert!(matches!(waiter.ended().await, Err(Error::SessionClosed)));
    assert_eq!(identities(&other.election).await, ["other"]);
    let dumps = ensemble.four_letter_all("dump").await;
    assert!(dumps.iter().all(|dump| !dump.contains(&id)), "the ensemble has ended the session: {dumps:?}");
    assert!(matches!(leader.election.campaign().await, Err(Error::SessionClosed)));
    assert!(matches!(leader.election.leader().await, Err(Error::SessionClosed)));
    let late = session.election(&path).build().unwrap();
    assert!(matches!(late.campaign().await, Err(Error::SessionClosed)));
    session.close().await.unwrap();
    assert!(other.leads().await.is_valid());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_whose_handles_are_all_dropped_is_closed() {
    let ensemble = Ensemble::start(1).await;
    let path = unique_path("handles");
    let servers = ensemble.connect_string();
    let observer = connect(&servers).await;
    let election = observer.election(&path).build().unwrap();
    let a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let id = a.session.id().unwrap().to_string();
    assert_eq!(identities(&election).await, ["a"]);
    drop(a);
    eventually("the session is closed", PATIENCE, async || {
        let dump = ensemble.server(0).four_letter("dump").await?;
        (!dump.contains(&id)).then_some(())
    })
    .await;
    assert!(identities(&election).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_deletes_znodes() {
    let ensemble = Ensemble::start(1).await;
    let path = unique_path("operator");
    let servers = ensemble.connect_string();
    let operator = Client::connect(&servers).await.unwrap();
    let mut a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&servers, &path, Mode::Sequential, "b").await;
    let c = Contender::join(&servers, &path, Mode::Sequential, "c").await;
    let leadership = a.leads().await;

    // That of one who waits: it is back at the tail, and nobody's leadership changes.
    operator.delete(&format!("{path}/guid_0000000001"), None).await.unwrap();
    eventually("b at the tail", PATIENCE, async || {
        (identities(&c.election).await == ["a", "c", "b"]).then_some(())
    })
    .await;
    assert!(leadership.is_valid() && b.campaigns());

    // That of the leader: it steps down, the next one leads.
    operator.delete(leadership.node(), None).await.unwrap();
    assert_eq!(leadership.lost().await, Lost::NodeDeleted);
    assert!(!leadership.is_valid());
    c.reaches("the lead", |standing| matches!(standing, Standing::Leading { .. })).await;
    a.campaign();
    a.placed().await;
    assert_eq!(identities(&c.election).await, ["c", "b", "a"]);

    // The whole directory, from the tail: those who wait join again, and one of them leads.
    for node in queue(&c.election).await.into_iter().rev() {
        operator.delete(&format!("{path}/{node}"), None).await.unwrap();
    }
    // Somebody may have joined again before the directory is gone.
    let _ = operator.delete(&path, None).await;
    let mut campaigning = [a.election.clone(), b.election.clone()];
    eventually("two are back", PATIENCE, async || {
        campaigning.sort_by_key(|election| matches!(election.standing(), Standing::Waiting { .. }));
        let settled = matches!(campaigning[0].standing(), Standing::Leading { .. })
            && matches!(campaigning[1].standing(), Standing::Waiting { .. });
        settled.then_some(())
    })
    .await;
    assert!(a.campaigns() != b.campaigns());
    let leading = if a.campaigns() { b.leads().await } else { a.leads().await };
    assert!(leading.is_valid());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_vanishes_is_created_again() {
    let ensemble = Ensemble::start(1).await;
    let path = unique_path("vanishing");
    let servers = ensemble.connect_string();
    let operator = Client::connect(&servers).await.unwrap();
    let proxy = Proxy::start(&servers).await;
    let session = connect(&proxy.address()).await;
    let election = session.election(&path).parents(Parents::Container).build().unwrap();
    let first = election.campaign().await.unwrap();
    let token = first.token();
    assert!(proxy.requests().contains(&OpCode::CREATE_CONTAINER), "{:?}", proxy.requests());
    first.resign().await.unwrap();
    operator.delete(&path, None).await.unwrap();
    let second = election.campaign().await.unwrap();
    assert_eq!(second.node(), format!("{path}/guid_0000000000"), "numbers begin again");
    assert!(second.token() > token, "tokens do not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_elections_share_a_session() {
    let ensemble = Ensemble::start(1).await;
    let path = unique_path("shared");
    let session = connect(&ensemble.connect_string()).await;
    // The same identity, the same path, the same session: contenders all the same.
    let mut contenders = Vec::new();
    for _ in 0..5 {
        contenders.push(Contender::join_on(session.clone(), &path, Mode::Sequential, "twin").await);
    }
    assert_eq!(identities(&contenders[0].election).await, ["twin"; 5]);
    for contender in &mut contenders {
        contender.leads().await.resign().await.unwrap();
    }
    let masters = unique_path("masters");
    let mut a = Contender::join_on(session.clone(), &masters, Mode::Master, "twin").await;
    let mut b = Contender::join_on(session.clone(), &masters, Mode::Master, "twin").await;
    let master = a.leads().await;
    assert!(b.campaigns(), "the znode of the own session is not the own znode");
    master.resign().await.unwrap();
    assert!(b.leads().await.is_valid());
}
