//! The simulation: the real [`Machine`](crate::machine::Machine) and the real arithmetic of
//! [leases](crate::lease) against an ensemble of three servers whose data is the embedded server's, with clients,
//! links, clocks and applications that fail in every way that is theirs, in one thread, in virtual time, from a seed.
//!
//! ```text
//!   run          one world: goes from one happening to the next, and asks the invariants
//!   ├─ client      processes: machines, what stands in for the driver and the session, applications
//!   ├─ ensemble    servers: the leader's order, majorities, lagging replicas, the expiry of sessions
//!   ├─ network     connections between them
//!   ├─ faults      what goes wrong, and when
//!   ├─ traps       what waits for its moment in the life of a process
//!   └─ invariants  what must hold all the same, one file each
//!   settings     what is drawn from the seed
//!   stage        what all share: the time, the agenda, chance, the transcript
//!   mutation     mistakes, for proving that the invariants notice
//! ```
//!
//! ```text
//! SIMULATION_SEEDS=1000000 cargo test --lib simulation     as many seeds
//! SIMULATION_ALL=1 cargo test --lib simulation             every seed that fails, and not only the first
//! SIMULATION_SEED=42 cargo test --lib simulation           one seed, with the end of its transcript
//! SIMULATION_LINES=100000, SIMULATION_MISTAKE=NoOwnWatch   more of the transcript; with a mistake, or only that mistake
//! ```

mod client;
mod ensemble;
mod faults;
mod invariants;
mod mutation;
mod network;
mod run;
mod settings;
mod stage;
mod time;
mod transcript;
mod traps;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use self::mutation::Mutation;
use self::run::{Verdict, run};
use self::transcript::Transcript;

/// How many seeds are tried unless `SIMULATION_SEEDS` says otherwise.
const SEEDS: u64 = 10_000;
/// Within how many seeds each mistake has to be noticed.
const NOTICED_WITHIN: u64 = 20_000;
/// How many lines of a transcript are shown.
const SHOWN: usize = 250;

/// Runs seeds on all cores, in any order, until one run says stop.
fn run_all(seeds: u64, mutation: Option<Mutation>, judge: impl Fn(u64, Verdict) -> bool + Sync) {
    let next = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || !judge(seed, run_safely(seed, mutation, Transcript::default())) {
                        // Nobody goes on.
                        next.fetch_max(seeds, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
}

/// A panic is as bad as a violated invariant.
fn run_safely(seed: u64, mutation: Option<Mutation>, transcript: Transcript) -> Verdict {
    let run = AssertUnwindSafe(|| run(seed, mutation, transcript));
    catch_unwind(run).unwrap_or_else(|_| Verdict::panicked())
}

/// What to show of a run that has failed.
fn describe(seed: u64, violation: &str) -> String {
    let Verdict { transcript, .. } = run_safely(seed, None, Transcript::keeping(SHOWN));
    format!(
        "{transcript}\nseed {seed}: {violation}\nrepeat it with\n\n    SIMULATION_SEED={seed} cargo test --lib simulation -- --nocapture\n"
    )
}

/// What an environment variable says, if it is set.
fn said<T: std::str::FromStr<Err: std::fmt::Debug>>(variable: &str) -> Option<T> {
    std::env::var(variable).ok().map(|value| value.parse().expect(variable))
}

/// The mistake that was asked for.
fn mistake() -> Option<Mutation> {
    let name: String = said("SIMULATION_MISTAKE")?;
    let mutation = Mutation::ALL.into_iter().chain(Mutation::UNNOTICED).find(|it| format!("{it:?}") == name);
    Some(mutation.unwrap_or_else(|| panic!("no such mistake: {name}")))
}

/// Runs seeds until one fails, or all of them where that was asked for; the lowest that has failed, and why.
fn first_failure(seeds: u64, mutation: Option<Mutation>, total: &Mutex<Verdict>) -> Option<(u64, String)> {
    let all: Option<String> = said("SIMULATION_ALL");
    let first = Mutex::new(None::<(u64, String)>);
    run_all(seeds, mutation, |seed, verdict| {
        let Some(violation) = verdict.violation else {
            total.lock().unwrap().add(&verdict);
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
    if let Some(seed) = said("SIMULATION_SEED") {
        let lines = said("SIMULATION_LINES").unwrap_or(SHOWN);
        let Verdict { transcript, violation, .. } = run_safely(seed, mistake(), Transcript::keeping(lines));
        println!("{transcript}");
        assert_eq!(violation, None, "seed {seed}");
        return;
    }
    let seeds = said("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let started = Instant::now();
    let total = Mutex::new(Verdict::default());
    if let Some((seed, violation)) = first_failure(seeds, None, &total) {
        panic!("{}", describe(seed, &violation));
    }
    let total = total.into_inner().unwrap();
    println!("{seeds} seeds in {:.0?}: {total}", started.elapsed());
    assert!(total.overlaps > 0 || seeds < 100, "no operator has ever made two leaders: too little happens");
}

#[test]
fn every_mistake_is_noticed() {
    let mut unnoticed = Vec::new();
    let wanted = mistake();
    for mutation in Mutation::ALL.into_iter().filter(|it| wanted.is_none_or(|wanted| wanted == *it)) {
        match first_failure(NOTICED_WITHIN, Some(mutation), &Mutex::default()) {
            Some((seed, violation)) => println!("{mutation:?}: noticed with seed {seed}: {violation}"),
            None => unnoticed.push(mutation),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed within {NOTICED_WITHIN} seeds: {unnoticed:?}");
}

#[test]
fn the_same_seed_makes_the_same_run() {
    for seed in 0..20 {
        let [one, other] = [(); 2].map(|()| run(seed, None, Transcript::keeping(usize::MAX)));
        assert!(one.transcript.lines() > 200, "seed {seed} makes a short story");
        assert_eq!(one.transcript.to_string(), other.transcript.to_string(), "seed {seed}");
        let silent = run(seed, None, Transcript::default());
        assert_eq!((one.steps, one.violation), (silent.steps, silent.violation), "seed {seed}");
    }
}
