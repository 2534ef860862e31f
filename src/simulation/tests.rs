//! Runs seeds: without mistakes none may violate an invariant, and with each mistake one must.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::noticed::{NOTICED_AT, UNNOTICED};
use super::run::{RunResult, run};
use super::transcript::Transcript;
use crate::mistakes::Mistake;

/// The number of seeds, unless `SIMULATION_SEEDS` is set.
const SEEDS: u64 = 10_000;
/// The number of seeds within which each mistake must be noticed.
const NOTICED_WITHIN: u64 = 20_000;
/// The number of seeds that are run on each side of a mistake's stored seed, if that seed no longer notices the
/// mistake.
const WINDOW: u64 = 25;
/// The number of transcript lines that are shown.
const SHOWN: usize = 250;

/// Runs seeds in ascending order on all cores, until `judge` returns false. Runs that have begun by then are judged,
/// too.
fn run_all(seeds: Range<u64>, mistake: Option<Mistake>, judge: impl Fn(u64, RunResult) -> bool + Sync) {
    let next = AtomicU64::new(seeds.start);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || !judge(seed, run_safely(seed, mistake, Transcript::default())) {
                        // Stops the other threads.
                        next.fetch_max(seeds.end, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
}

/// Runs a seed; a panic counts as a violated invariant.
fn run_safely(seed: u64, mistake: Option<Mistake>, transcript: Transcript) -> RunResult {
    let run = AssertUnwindSafe(|| run(seed, mistake, transcript));
    catch_unwind(run).unwrap_or_else(|_| RunResult::panicked())
}

/// The message for a seed that failed.
fn describe(seed: u64, violation: &str) -> String {
    let RunResult { transcript, .. } = run_safely(seed, None, Transcript::keeping(SHOWN));
    format!(
        "{transcript}\nseed {seed}: {violation}\nrepeat it with\n\n    SIMULATION_SEED={seed} cargo test --lib simulation -- --nocapture\n"
    )
}

/// The value of an environment variable, if it is set.
fn variable<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|value| value.parse().expect(name))
}

/// The mistake that `SIMULATION_MISTAKE` names.
fn wanted_mistake() -> Option<Mistake> {
    let name: String = variable("SIMULATION_MISTAKE")?;
    let noticed = NOTICED_AT.into_iter().map(|(mistake, _)| mistake);
    let mistake = noticed.chain(UNNOTICED).find(|it| format!("{it:?}") == name);
    Some(mistake.unwrap_or_else(|| panic!("no such mistake: {name}")))
}

/// Runs seeds until one fails, or all of them with `SIMULATION_ALL`. Returns the lowest failing seed, and its
/// violation.
fn first_failure(
    seeds: Range<u64>,
    mistake: Option<Mistake>,
    total: &Mutex<RunResult>,
) -> Option<(u64, String)> {
    let all: Option<String> = variable("SIMULATION_ALL");
    let first = Mutex::new(None::<(u64, String)>);
    run_all(seeds, mistake, |seed, result| {
        let Some(violation) = result.violation else {
            total.lock().unwrap().add(&result);
            return true;
        };
        if all.is_some() {
            println!("seed {seed}: {violation}");
        }
        let mut first = first.lock().unwrap();
        if first.as_ref().is_none_or(|(earlier, _)| seed < *earlier) {
            *first = Some((seed, violation));
        }
        all.is_some()
    });
    first.into_inner().unwrap()
}

#[test]
fn no_seed_violates_an_invariant() {
    if let Some(seed) = variable("SIMULATION_SEED") {
        let lines = variable("SIMULATION_LINES").unwrap_or(SHOWN);
        let RunResult { transcript, violation, .. } =
            run_safely(seed, wanted_mistake(), Transcript::keeping(lines));
        println!("{transcript}");
        assert_eq!(violation, None, "seed {seed}");
        return;
    }
    let seeds = variable("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let started = Instant::now();
    let total = Mutex::new(RunResult::default());
    if let Some((seed, violation)) = first_failure(0..seeds, None, &total) {
        panic!("{}", describe(seed, &violation));
    }
    let total = total.into_inner().unwrap();
    println!("{seeds} seeds in {:.0?}: {total}", started.elapsed());
    assert!(total.overlaps > 0 || seeds < 100, "no operator has caused two leaders: too little happens");
}

/// Tries the stored seed of each mistake, and then its neighbours. If none of them notices the mistake any more, a
/// search from seed 0 finds the seed to store, and the test fails. With `SIMULATION_SEEDS` or `SIMULATION_ALL`, only
/// the search is run.
#[test]
fn every_mistake_is_noticed() {
    let wanted = wanted_mistake();
    let searches =
        ["SIMULATION_SEEDS", "SIMULATION_ALL"].iter().any(|name| variable::<String>(name).is_some());
    let within = variable("SIMULATION_SEEDS").unwrap_or(NOTICED_WITHIN);
    let mut failures = Vec::new();
    for (mistake, stored) in NOTICED_AT {
        if wanted.is_some_and(|wanted| wanted != mistake) {
            continue;
        }
        let search = |seeds| first_failure(seeds, Some(mistake), &Mutex::default());
        let near = || {
            let window = stored.saturating_sub(WINDOW)..stored + WINDOW + 1;
            search(stored..stored + 1).or_else(|| search(window))
        };
        if let Some((seed, violation)) = if searches { None } else { near() } {
            println!("{mistake:?}: noticed with seed {seed}: {violation}");
            continue;
        }
        match search(0..within) {
            Some((seed, violation)) if searches => {
                println!("{mistake:?}: noticed with seed {seed}: {violation}");
            }
            Some((seed, violation)) => failures.push(format!(
                "{mistake:?} is no longer noticed near seed {stored}, but with seed {seed} ({violation}): \
                 write {seed} into NOTICED_AT"
            )),
            None => failures.push(format!("{mistake:?} is not noticed within {within} seeds")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_same_seed_makes_the_same_run() {
    for seed in 0..20 {
        let [one, other] = [(); 2].map(|()| run(seed, None, Transcript::keeping(usize::MAX)));
        assert!(one.transcript.lines() > 200, "the transcript of seed {seed} is short");
        assert_eq!(one.transcript.to_string(), other.transcript.to_string(), "seed {seed}");
        let silent = run(seed, None, Transcript::default());
        assert_eq!((one.steps, one.violation), (silent.steps, silent.violation), "seed {seed}");
    }
}
