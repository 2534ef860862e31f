//! The `failover` example: runs by itself, without Java, and judges what it has seen.

// Its judge, which has to find what never happens in a run.
#[path = "../../examples/failover/record.rs"]
mod record;

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;
use zookeeper_election::FencingToken;

use crate::support::{PATIENCE, example, token_in};
use record::Record;

/// Runs the example where there is nothing on the `PATH`.
async fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(example("failover"));
    command.args(arguments).env("PATH", "/nonexistent").stdin(Stdio::null()).kill_on_drop(true);
    timeout(PATIENCE, command.output()).await.expect("an end in time").expect("the example starts")
}

#[tokio::test]
async fn it_runs_without_java_and_shows_a_fail_over() {
    let output = run(&["--plain", "--failovers", "1"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains('\x1b'), "no escapes: {said:?}");

    let token_of = |what: &str| {
        let line = said.lines().find(|line| line.contains(what));
        token_in(line.unwrap_or_else(|| panic!("{what} is missing:\n{said}")))
    };
    let (first, second) = (token_of("a1 leads with token"), token_of("b1 leads with token"));
    assert!(second > first);
    assert!(said.contains("a2 waits behind c1"), "{said}");
    let fail_over = said.lines().find(|line| line.contains("a1 killed, b1 led")).expect("the fail-over");
    assert!(fail_over.ends_with(&format!("token {second} after {first}")), "{fail_over}");
    assert_eq!(
        said.lines().last(),
        Some("fail-overs: 1; leaderships: 2, never two at once, tokens growing"),
        "{said}"
    );
}

#[tokio::test]
async fn it_tells_what_is_wrong_and_fails() {
    for (arguments, complaint) in [
        (["--connect", "nowhere:x"], "a1: invalid connect string \"nowhere:x\""),
        (["--path", "election"], "a1: invalid election path \"election\""),
    ] {
        let output = run(&arguments).await;
        assert_eq!(output.status.code(), Some(1));
        let complaints = String::from_utf8(output.stderr).unwrap();
        assert!(complaints.starts_with(complaint), "{complaints}");
    }
}

const fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// a1 leads from 0 to the kill at 100, b1 from 300 to its resignation at 500.
fn record() -> Record {
    let mut record = Record::default();
    record.began("a1", FencingToken::from_zxid(5), at(0));
    record.killed("a1", at(100), at(101));
    record.began("b1", FencingToken::from_zxid(7), at(300));
    record.ended("b1", at(500));
    record
}

#[test]
fn the_judge_is_content_with_leaderships_one_after_the_other() {
    let mut record = record();
    record.began("c1", FencingToken::from_zxid(9), at(500));
    assert_eq!(record.violation(), None);
    let fail_overs: Vec<_> = record.fail_overs().map(|(leader, next)| (&*leader.who, &*next.who)).collect();
    assert_eq!(fail_overs, [("a1", "b1")]);
    assert_eq!(record.leaderships().len(), 3);
}

#[test]
fn the_judge_finds_two_leaders_at_once() {
    let overlap = |who: &str, began: u64| {
        let mut record = record();
        record.began(who, FencingToken::from_zxid(9), at(began));
        record.violation().expect("a violation")
    };
    assert_eq!(overlap("c1", 499), "c1 began to lead before b1 had ended");
    // What is heard late is put where it belongs.
    assert_eq!(overlap("c1", 100), "c1 began to lead before a1 had ended");

    let mut without_end = record();
    without_end.began("c1", FencingToken::from_zxid(9), at(600));
    without_end.began("a2", FencingToken::from_zxid(11), at(9000));
    assert_eq!(without_end.violation().unwrap(), "a2 began to lead before c1 had ended");
}

#[test]
fn the_judge_finds_a_token_that_does_not_grow() {
    for zxid in [7, 6] {
        let mut record = record();
        record.began("c1", FencingToken::from_zxid(zxid), at(600));
        assert_eq!(record.violation().unwrap(), format!("the token {zxid:#x} of c1 follows 0x7 of b1"));
    }
}

#[test]
fn a_leadership_ends_at_the_earlier_of_its_two_ends() {
    let mut record = Record::default();
    record.began("a1", FencingToken::from_zxid(5), at(0));
    record.ended("a1", at(80));
    record.killed("a1", at(100), at(101));
    record.began("b1", FencingToken::from_zxid(7), at(90));
    assert_eq!(record.violation(), None);
}
