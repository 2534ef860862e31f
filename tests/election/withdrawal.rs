//! Leaving an election in every way there is: no znode is left behind, and nothing hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{
    Contender, OpCode, PATIENCE, Proxy, SESSION_TIMEOUT, ZooKeeper, connect, contenders_become, eventually,
    identities, on_both_servers, queue, unique_path,
};
use zookeeper_election::zookeeper_client::Client;
use zookeeper_election::{Error, Lost, Mode, Parents, Standing};

on_both_servers! {
    a_campaign_dropped_at_any_moment_leaves_no_znode;
    an_election_dropped_while_it_waits_leaves_no_znode;
    a_leadership_that_is_dropped_resigns_and_outlives_its_election;
    withdrawing_ends_what_is_under_way_and_waits_until_it_is_removed;
    closing_a_session_ends_everything_on_it: 3 servers;
    a_session_whose_handles_are_all_dropped_is_closed;
    an_operator_deletes_znodes;
    a_directory_that_vanishes_is_created_again;
    many_elections_share_a_session;
    a_directory_that_vanishes_under_those_who_campaign_is_created_again;
    withdrawing_ends_a_run_wherever_it_is;
    closing_removes_the_znodes_before_it_ends_the_session;
    a_leader_and_the_next_who_close_at_the_same_moment_are_both_closed;
}

async fn children(client: &Client, path: &str) -> Vec<String> {
    client.list_children(path).await.unwrap_or_default()
}

async fn a_campaign_dropped_at_any_moment_leaves_no_znode(zookeeper: ZooKeeper) {
    let path = unique_path("dropped");
    let servers = zookeeper.connect_string();
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

async fn an_election_dropped_while_it_waits_leaves_no_znode(zookeeper: ZooKeeper) {
    let path = unique_path("handle");
    let servers = zookeeper.connect_string();
    let a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&servers, &path, Mode::Sequential, "b").await;
    assert_eq!(identities(&a.election).await, ["a", "b"]);
    // The campaign alone first: the election lives.
    b.drop_campaign();
    contenders_become(&a.election, &["a"]).await;
    b.campaign();
    b.placed().await;
    // The session stays: nothing goes with it.
    let session = b.session.clone();
    b.drop_campaign();
    drop(b);
    contenders_become(&a.election, &["a"]).await;
    assert!(session.id().is_some());
}

async fn a_leadership_that_is_dropped_resigns_and_outlives_its_election(zookeeper: ZooKeeper) {
    let path = unique_path("drop");
    let session = connect(&zookeeper.connect_string()).await;
    let leadership = session.election(&path).identity("a").build().unwrap().campaign().await.unwrap();
    let mut b = Contender::join_on(session, &path, Mode::Sequential, "b").await;
    assert!(leadership.is_valid(), "the election was dropped long ago");
    drop(leadership);
    let next = b.leads().await;
    assert_eq!(identities(&b.election).await, ["b"]);
    next.resign().await.unwrap();
}

async fn withdrawing_ends_what_is_under_way_and_waits_until_it_is_removed(zookeeper: ZooKeeper) {
    let path = unique_path("withdraw");
    let servers = zookeeper.connect_string();
    let operator = Client::connect(&servers).await.unwrap();
    let mut a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&servers, &path, Mode::Sequential, "b").await;
    b.election.withdraw().await.unwrap();
    assert_eq!(children(&operator, &path).await.len(), 1);
    assert!(matches!(b.ended().await, Err(Error::Withdrawn)));
    let leadership = a.leads().await;
    a.election.withdraw().await.unwrap();
    assert!(children(&operator, &path).await.is_empty());
    assert_eq!(crate::support::lost(&leadership).await, Lost::Resigned);
    // Nothing is under way any more.
    a.election.withdraw().await.unwrap();
    leadership.resign().await.unwrap();
}

async fn closing_a_session_ends_everything_on_it(zookeeper: ZooKeeper) {
    let path = unique_path("close");
    let servers = zookeeper.connect_string();
    let mut other = Contender::join(&servers, &path, Mode::Sequential, "other").await;
    let session = connect(&servers).await;
    let mut leader = Contender::join_on(session.clone(), &format!("{path}-2"), Mode::Sequential, "a").await;
    let mut waiter = Contender::join_on(session.clone(), &path, Mode::Sequential, "b").await;
    let leadership = leader.leads().await;
    let id = session.id().unwrap().to_string();

    session.close().await.unwrap();
    assert!(!leadership.is_valid());
    assert_eq!(crate::support::lost(&leadership).await, Lost::SessionClosed);
    assert!(matches!(waiter.ended().await, Err(Error::SessionClosed)));
    contenders_become(&other.election, &["other"]).await;
    // A server that lags behind hears of it a moment later. The session's own timeout would take longer.
    eventually("the session has ended on every server", SESSION_TIMEOUT / 2, async || {
        let dumps = zookeeper.four_letter_all("dump").await;
        dumps.iter().all(|dump| !dump.contains(&id)).then_some(())
    })
    .await;
    assert!(matches!(leader.election.campaign().await, Err(Error::SessionClosed)));
    assert!(matches!(leader.election.leader().await, Err(Error::SessionClosed)));
    let late = session.election(&path).build().unwrap();
    assert!(matches!(late.campaign().await, Err(Error::SessionClosed)));
    session.close().await.unwrap();
    assert!(other.leads().await.is_valid());
}

async fn a_session_whose_handles_are_all_dropped_is_closed(zookeeper: ZooKeeper) {
    let path = unique_path("handles");
    let servers = zookeeper.connect_string();
    let observer = connect(&servers).await;
    let election = observer.election(&path).build().unwrap();
    let a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let id = a.session.id().unwrap().to_string();
    assert_eq!(identities(&election).await, ["a"]);
    drop(a);
    eventually("the session is closed", PATIENCE, async || {
        let dumps = zookeeper.four_letter_all("dump").await;
        (!dumps.is_empty() && dumps.iter().all(|dump| !dump.contains(&id))).then_some(())
    })
    .await;
    assert!(identities(&election).await.is_empty());
}

async fn an_operator_deletes_znodes(zookeeper: ZooKeeper) {
    let path = unique_path("operator");
    let servers = zookeeper.connect_string();
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
    assert_eq!(crate::support::lost(&leadership).await, Lost::NodeDeleted);
    assert!(!leadership.is_valid());
    c.reaches("the lead", |standing| matches!(standing, Standing::Leading { .. })).await;
    // The loss is told first, and the standing a moment later.
    a.reaches("idle", |standing| *standing == Standing::Idle).await;
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

async fn a_directory_that_vanishes_is_created_again(zookeeper: ZooKeeper) {
    let path = unique_path("vanishing");
    let servers = zookeeper.connect_string();
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

async fn many_elections_share_a_session(zookeeper: ZooKeeper) {
    let path = unique_path("shared");
    let session = connect(&zookeeper.connect_string()).await;
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

async fn a_directory_that_vanishes_under_those_who_campaign_is_created_again(zookeeper: ZooKeeper) {
    let path = unique_path("vanishing");
    let servers = zookeeper.connect_string();
    let operator = Client::connect(&servers).await.unwrap();
    let a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
    let mut b = Contender::join(&servers, &path, Mode::Sequential, "b").await;
    let before = operator.check_stat(&path).await.unwrap().unwrap().czxid;
    // Somebody may join again before the directory is empty: then once more.
    eventually("the directory is gone for a moment", PATIENCE, async || {
        for child in children(&operator, &path).await {
            let _ = operator.delete(&format!("{path}/{child}"), None).await;
        }
        operator.delete(&path, None).await.ok()
    })
    .await;
    drop(a);
    let mut leadership = b.leads().await;
    // It may be one that was won and lost with the first directory, and b may not have heard of it yet.
    if operator.check_stat(leadership.node()).await.unwrap().map(|stat| stat.czxid)
        != Some(leadership.token().zxid())
    {
        crate::support::lost(&leadership).await;
        b.campaign();
        leadership = b.leads().await;
    }
    assert!(leadership.is_valid());
    let after = operator.check_stat(&path).await.unwrap().unwrap().czxid;
    assert!(after > before, "another directory");
}

async fn withdrawing_ends_a_run_wherever_it_is(zookeeper: ZooKeeper) {
    use zookeeper_election::{BoxError, LeaderTask, Leadership, async_trait};
    /// Fails each time, so that the run rests most of the time.
    struct Failing(Arc<AtomicUsize>);
    #[async_trait]
    impl LeaderTask for Failing {
        async fn lead(&mut self, _: &Leadership) -> Result<(), BoxError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err("always".into())
        }
    }
    let session = connect(&zookeeper.connect_string()).await;
    let election = Arc::new(session.election(&unique_path("run")).build().unwrap());
    let mut runs = Vec::new();
    for wait in [0, 50, 400, 900] {
        let led = Arc::new(AtomicUsize::new(0));
        let (it, mut task) = (election.clone(), Failing(led.clone()));
        let run = tokio::spawn(async move { it.run(&mut task).await });
        eventually("the first term", PATIENCE, async || (led.load(Ordering::SeqCst) > 0).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        election.withdraw().await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, run).await.expect("an end").unwrap();
        assert!(matches!(ended, Err(Error::Withdrawn)), "{ended:?}");
        assert_eq!(election.leader().await.unwrap(), None);
        runs.push((led.load(Ordering::SeqCst), led));
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    for (count, led) in runs {
        assert_eq!(led.load(Ordering::SeqCst), count, "it does not lead again");
    }
    assert_eq!(election.leader().await.unwrap(), None);
}

async fn closing_removes_the_znodes_before_it_ends_the_session(zookeeper: ZooKeeper) {
    let path = unique_path("order");
    let proxy = Proxy::start(zookeeper.connect_string()).await;
    let session = connect(&proxy.address()).await;
    let mut a = Contender::join_on(session.clone(), &path, Mode::Sequential, "a").await;
    let leadership = a.leads().await;
    proxy.clear_requests();
    session.close().await.unwrap();
    assert!(!leadership.is_valid());
    let requests = proxy.requests();
    let first = |op| requests.iter().position(|it| *it == op);
    let (delete, close) = (first(OpCode::DELETE), first(OpCode::CLOSE));
    assert!(delete.is_some() && delete < close, "{requests:?}");
}

async fn a_leader_and_the_next_who_close_at_the_same_moment_are_both_closed(zookeeper: ZooKeeper) {
    const ROUNDS: u32 = 100;
    let path = unique_path("together");
    let servers = zookeeper.connect_string();
    let mut failures = Vec::new();
    for round in 0..ROUNDS {
        let mut a = Contender::join(&servers, &path, Mode::Sequential, "a").await;
        let b = Contender::join(&servers, &path, Mode::Sequential, "b").await;
        let leadership = a.leads().await;
        let (first, second) = tokio::join!(a.session.close(), b.session.close());
        assert!(!leadership.is_valid());
        for (id, closed) in [("a", first), ("b", second)] {
            failures.extend(closed.err().map(|error| format!("round {round}, {id}: {error}")));
        }
    }
    assert!(failures.is_empty(), "{} of {ROUNDS} rounds: {failures:#?}", failures.len());
    let observer = connect(&servers).await;
    assert!(identities(&observer.election(&path).build().unwrap()).await.is_empty());
}
