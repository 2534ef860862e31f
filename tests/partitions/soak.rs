//! One fault after the other, for as long as is wanted: `tests/run soak`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use testkit::{SESSION_TIMEOUT, random};
use tokio::time::sleep;

use crate::checker::longest_gap;
use crate::faults::{Fault, Kind, repair};
use crate::journal::now;
use crate::stage::Stage;
use crate::{on_a_network, session_timeout, setting};

#[test]
#[ignore = "tests/run soak [--minutes N] [--seed S] [--contenders N]"]
fn soak() {
    on_a_network(|network| async {
        let minutes: f64 = setting("SOAK_MINUTES").unwrap_or(30.0);
        let seed: u64 = setting("SOAK_SEED").unwrap_or_else(random);
        let contenders: usize = setting("SOAK_CONTENDERS").unwrap_or(4);
        println!("seed {seed}");
        let mut stage = Stage::set(network, session_timeout(SESSION_TIMEOUT)).await;
        for _ in 0..contenders {
            stage.add(&[0, 1, 2]).await;
        }
        run(&mut stage, Duration::from_secs_f64(60.0 * minutes), seed).await;
    });
}

/// Faults until the time is over, then the verdict.
async fn run(stage: &mut Stage, time: Duration, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
    let mut healthy = Vec::new();
    let start = Instant::now();
    let mut clean = true;
    while clean && start.elapsed() < time {
        let fault = Fault::random(&mut rng, stage.session_timeout);
        println!("{:6.1} s  {fault:?}", start.elapsed().as_secs_f64());
        *counts.entry(fault.kind).or_default() += 1;
        fault.strike(stage).await;
        repair(stage).await;
        let since = now();
        stage.recovered().await;
        sleep(fault.calm).await;
        healthy.push((since, now()));
        clean = stage.verdict().is_clean();
    }

    let acts = stage.acts();
    let verdict = stage.verdict();
    let gaps = healthy.iter().map(|(from, to)| longest_gap(&acts, *from, *to));
    println!("\nsoak of {:.1} minutes, seed {seed}", start.elapsed().as_secs_f64() / 60.0);
    println!("faults: {}", counts.values().sum::<usize>());
    for (kind, count) in &counts {
        println!("  {count:4} {kind:?}");
    }
    println!("acts: {}", acts.len());
    println!("{verdict}");
    println!("longest without a leader while everything was healthy: {:?}", gaps.max().unwrap_or_default());
    stage.assert_clean("the soak");
}
