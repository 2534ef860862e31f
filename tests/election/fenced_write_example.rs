//! The `fenced_write` example: a write that comes too late for any lease, and a store that refuses it.

use std::process::Stdio;

use crate::support::{PATIENCE, example, token_in};
use tokio::process::Command;
use tokio::time::timeout;

/// Runs the example where there is nothing on the `PATH`, and returns what it said and whether it was content.
async fn run(arguments: &[&str]) -> (Vec<String>, bool) {
    let mut command = Command::new(example("fenced_write"));
    command.args(arguments).env("PATH", "/nonexistent").stdin(Stdio::null()).kill_on_drop(true);
    let output =
        timeout(PATIENCE, command.output()).await.expect("an end in time").expect("the example starts");
    let said = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaints, "", "{said}");
    (said.lines().map(str::to_owned).collect(), output.status.success())
}

fn position(said: &[String], what: &str) -> usize {
    said.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what} is missing: {said:#?}"))
}

#[tokio::test]
async fn the_late_write_is_refused() {
    let (said, content) = run(&[]).await;
    let order = [
        "a leads with token",
        "a writes a1",
        "a finds its lease valid, and is stopped",
        "b leads with token",
        "b writes b3",
        "a goes on",
        "a writes a3",
        "a finds its lease over",
        "in the store: b3",
        "the late write was refused",
    ];
    let positions = order.map(|what| position(&said, what));
    assert!(positions.is_sorted(), "{said:#?}");
    assert!(token_in(&said[positions[3]]) > token_in(&said[positions[0]]));
    assert!(said[positions[6]].ends_with("refused"), "{said:#?}");
    assert!(content);
}

#[tokio::test]
async fn a_store_that_looks_at_no_token_accepts_it_and_the_example_fails() {
    let (said, content) = run(&["--unfenced"]).await;
    assert!(said[position(&said, "a writes a3")].ends_with("accepted"), "{said:#?}");
    position(&said, "in the store: a3");
    assert!(!content);
}
