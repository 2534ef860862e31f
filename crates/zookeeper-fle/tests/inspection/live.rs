//! Five servers, of which fewer and fewer are left.

use std::process::{Output, Stdio};
use std::time::Instant;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;
use zookeeper_client::{Acls, Client, CreateMode};
use zookeeper_fle::{Finding, Inspection, NoAnswer, Role, ServerRef, ServerState, Zxid};

use crate::{election_address, finds, id, inspect};
use testkit::{Ensemble, Mode, PATIENCE, Server, eventually, example};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_servers_until_two_are_left_and_start_again() {
    let mut ensemble = Ensemble::start(5).await;
    let leader = ensemble.leader().await;

    // One address is enough, whosever it is.
    for asked in [leader, (leader + 1) % 5] {
        let began = Instant::now();
        let inspection =
            finds("all is well", &election_address(&ensemble, asked), Inspection::is_healthy).await;
        eprintln!(
            "an inspection of five servers, from one address, until all is well: {:?}",
            began.elapsed()
        );
        is_as_srvr_says(&ensemble, &inspection).await;
    }
    let all: Vec<String> = (0..5).map(|i| election_address(&ensemble, i)).collect();
    let began = Instant::now();
    let inspection = inspect(&all.join(",")).await;
    assert!(inspection.is_healthy(), "{inspection}");
    eprintln!("an inspection of five servers, from all addresses: {:?}", began.elapsed());

    the_example_prints_a_table(&ensemble, &all[leader]).await;

    // One that is stopped is deaf, and the others are reported.
    let paused = (leader + 2) % 5;
    ensemble.server_mut(paused).stop();
    let inspection = inspect(&all[leader]).await;
    assert_eq!(inspection.servers[paused].outcome, Err(NoAnswer::Deaf), "{inspection}");
    assert_eq!(inspection.leader().map(|it| it.0), Some(id(leader)), "{inspection}");
    assert!(
        inspection.findings.contains(&Finding::Deaf { servers: vec![ServerRef::Server(id(paused))] }),
        "{inspection}"
    );
    ensemble.server_mut(paused).cont();

    // Without its leader it elects another one.
    ensemble.server_mut(leader).kill();
    let (dead, before) = (leader, inspection.leader().expect("a leader").1);
    let ask = all[(dead + 1) % 5].clone();
    // A leader shows its new epoch only when it begins to serve.
    let four_agree = |it: &Inspection| {
        it.leader().is_some_and(|(leader, epoch)| leader != id(dead) && epoch > before)
            && it.findings.len() == 2
    };
    let inspection = finds("another leader, and one missing", &ask, four_agree).await;
    let leader = ensemble.leader().await;
    assert_eq!(inspection.leader().unwrap().0, id(leader), "{inspection}");
    assert!(inspection.leader().unwrap().1 > before, "{inspection}");
    assert_eq!(inspection.servers[dead].outcome, Err(NoAnswer::Refused), "{inspection}");
    let missing = Finding::NotReached { server: ServerRef::Server(id(dead)), reason: NoAnswer::Refused };
    assert_eq!(inspection.findings[1], missing, "{inspection}");

    // Then one misses a transaction that another one has, two more are killed, and what is left knows a leader only.
    let mut alive: Vec<usize> = (0..5).filter(|i| ![dead, leader].contains(i)).collect();
    let behind = alive.pop().expect("three followers");
    write(&ensemble.connect_string(), "/before").await;
    let epoch = inspection.leader().unwrap().1;
    eventually("the transaction arrives", PATIENCE, async || {
        zxid(ensemble.server(behind)).await.filter(|zxid| zxid.epoch() == epoch)
    })
    .await;
    ensemble.server_mut(behind).kill();
    let addresses: Vec<String> = alive.iter().map(|i| ensemble.server(*i).address()).collect();
    write(&addresses.join(","), "/after").await;
    ensemble.server_mut(leader).kill();
    let no_quorum = |it: &Inspection| it.findings.iter().any(|it| matches!(it, Finding::NextUnknown { .. }));
    let inspection = finds("two that look", &all[alive[0]], no_quorum).await;
    for i in &alive {
        let answer =
            inspection.servers[*i].outcome.as_ref().unwrap_or_else(|why| panic!("{why}\n{inspection}"));
        assert_eq!(answer.ballot.state, ServerState::Looking, "{inspection}");
        assert_eq!(answer.ballot.vote.leader, id(leader), "its last vote: {inspection}");
    }
    says_what_is_missing(&inspection, &[dead, leader, behind]);
    let output = run(&["--json", &all[alive[0]]]).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let document: Value = serde_json::from_slice(&output.stdout).expect("a JSON document");
    assert_eq!(document["leader"], Value::Null);
    assert_eq!(document["findings"][0]["name"], "no_quorum");
    let answered = document["servers"].as_array().unwrap().iter().filter(|it| it["outcome"] == "answered");
    assert_eq!(answered.count(), 2);

    // After a start they show their own histories: the one with more transactions would lead, although its id is lower.
    let ahead = alive[0];
    ensemble.server_mut(alive[1]).kill();
    ensemble.server_mut(ahead).kill();
    ensemble.server_mut(ahead).start();
    ensemble.server_mut(behind).start();
    let known = |it: &Inspection| it.servers.iter().filter(|it| it.outcome.is_ok()).count() == 2;
    let inspection = finds("two that have started", &format!("{},{}", all[ahead], all[behind]), known).await;
    let votes = [ahead, behind].map(|i| inspection.servers[i].outcome.as_ref().unwrap().ballot.vote);
    assert!(
        votes[0] > votes[1] && votes[0].leader == id(ahead) && votes[1].leader == id(behind),
        "{inspection}"
    );
    let others: Vec<usize> = (0..5).filter(|i| ![ahead, behind].contains(i)).collect();
    says_what_is_missing(&inspection, &others);
    let elects = |it: &Finding| matches!(it, Finding::WouldElect { vote, .. } if *vote == votes[0]);
    assert!(inspection.findings.iter().any(elects), "{inspection}");
}

/// Compares with what the servers say to clients.
async fn is_as_srvr_says(ensemble: &Ensemble, inspection: &Inspection) {
    let leader = ensemble.leader().await;
    let (found, epoch) = inspection.leader().expect("a leader");
    assert_eq!(found, id(leader), "{inspection}");
    assert_eq!(inspection.servers.len(), 5, "{inspection}");
    for (i, server) in inspection.servers.iter().enumerate() {
        assert_eq!(server.id, Some(id(i)), "{inspection}");
        assert_eq!(server.address, election_address(ensemble, i), "{inspection}");
        assert_eq!(server.role, Some(Role::Participant), "{inspection}");
        let answer = server.outcome.as_ref().unwrap_or_else(|why| panic!("{why}\n{inspection}"));
        let leads = ensemble.server(i).mode().await == Some(Mode::Leader);
        let state = if leads { ServerState::Leading } else { ServerState::Following };
        assert_eq!((answer.ballot.state, answer.ballot.vote.leader), (state, id(leader)), "{inspection}");
        let zxid = zxid(ensemble.server(i)).await.expect("a zxid");
        assert!(answer.ballot.vote.zxid <= zxid, "{inspection}");
        // Followers have none of the epoch before its first transaction.
        assert!(if leads { zxid.epoch() == epoch } else { zxid.epoch() <= epoch }, "{zxid}\n{inspection}");
    }
}

/// The last transaction of a server that serves.
async fn zxid(server: &Server) -> Option<Zxid> {
    let srvr = server.four_letter("srvr").await?;
    let zxid = srvr.lines().find_map(|line| line.strip_prefix("Zxid: 0x"))?;
    Some(Zxid(i64::from_str_radix(zxid, 16).expect("a number")))
}

/// Without a quorum: how many answer and are needed, and who is missing.
fn says_what_is_missing(inspection: &Inspection, missing: &[usize]) {
    let mut missing: Vec<_> = missing.iter().copied().map(id).collect();
    missing.sort();
    let expected = Finding::NoQuorum { answering: 2, voters: 5, needed: 3, missing: missing.clone() };
    assert_eq!(inspection.findings[0], expected, "{inspection}");
    for id in missing {
        let refused = Finding::NotReached { server: ServerRef::Server(id), reason: NoAnswer::Refused };
        assert!(inspection.findings.contains(&refused), "{inspection}");
    }
}

async fn the_example_prints_a_table(ensemble: &Ensemble, address: &str) {
    let output = run(&["--timeout", "5s", address]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("server  address"), "{said}");
    let leader = ensemble.leader().await;
    for (i, line) in lines[1..6].iter().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let state = if i == leader { "LEADING" } else { "FOLLOWING" };
        let (id, leader) = (id(i).to_string(), id(leader).to_string());
        assert_eq!(words[..4], [&id, &election_address(ensemble, i), state, &leader], "{said}");
    }
    assert!(lines[6].starts_with("zxid: the leader's when it was elected; round: "), "{said}");
    assert_eq!(lines[7], "");
    assert!(lines[8].starts_with(&format!("settled: server {} leads epoch 0x", id(leader))), "{said}");
    assert_eq!(lines.len(), 9, "{said}");

    let output = run(&["--json", address]).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let document: Value = serde_json::from_slice(&output.stdout).expect("a JSON document");
    assert_eq!(document["healthy"], true);
    assert_eq!(document["leader"], id(leader).0);
    assert_eq!(document["findings"][0]["name"], "settled");
    let server = &document["servers"][leader];
    assert_eq!(server["state"], "LEADING");
    assert_eq!(server["epoch"], document["epoch"]);
    assert_eq!(server["config_version"], "0x0");
    assert!(server["zxid"].as_str().is_some_and(|zxid| zxid.starts_with("0x")), "{document}");

    for wrong in [&["127.0.0.1"][..], &["--timeout", "1ms", address], &["--json", "::1:3888"]] {
        let output = run(wrong).await;
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong:?}");
    }
}

async fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(example("inspect_ensemble"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    timeout(PATIENCE, command.output()).await.expect("an end in time").expect("the example starts")
}

/// Makes a transaction.
async fn write(servers: &str, path: &str) {
    let client = timeout(PATIENCE, Client::connect(servers)).await.expect("in time").expect("a session");
    let mode = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.create(path, b"", &mode).await.expect("a node");
}
