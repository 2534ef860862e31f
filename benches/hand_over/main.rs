//! What a change of leaders costs, against what ZooKeeper itself takes for it.
//!
//! ```text
//! cargo bench --bench hand_over
//! ```
//!
//! It starts three ZooKeeper servers on loopback (what they need: see `tests/run`), takes half a minute, and prints
//!
//! - *hand-over* (`latency.rs`): the time from the call of `resign()` on one server until `campaign()` has returned
//!   on another, and in the row above it the floor, the same with nothing but a bare ZooKeeper client on each side.
//!   The last two columns compare them: the ratio of the medians, and the median of the differences, round by round.
//! - *hand-over after a wait* (`waited.rs`): the same to a contender that has waited for longer than a lease lasts. It
//!   has the session proven by a transaction, which the floor does not.
//! - *requests* (`requests.rs`): what goes over the wire to become the leader where the election's directory exists,
//!   to resign, and to succeed. Counted by a proxy; connecting and heartbeats are left out.
//! - *memory* (`memory.rs`): how much a process grows (VmRSS) per contender that waits, and how many requests each
//!   has sent. When all start at once, all have a list of all at once, and the allocator keeps some of that memory.
//!
//! Absolute times are those of three servers that share this machine and do not write to disk. Compare ratios.

use std::time::Instant;
use std::{env, fs};

use testkit::Ensemble;
use zookeeper_election::Mode;

mod clients;
mod floor;
mod latency;
mod memory;
mod requests;
mod trickle;
mod waited;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flag, growth, connect_string] = &arguments[..]
        && flag == memory::GROW
    {
        return memory::grow(growth, connect_string).await;
    }
    let started = Instant::now();
    let ensemble = Ensemble::start(3).await;
    // Both measured sessions are connected to followers, whichever server leads: with one of them at the leader,
    // every second round would be shorter.
    let leader = ensemble.leader().await;
    let followers: Vec<String> =
        (0..3).filter(|server| *server != leader).map(|server| ensemble.server(server).address()).collect();
    let followers = [followers[0].as_str(), followers[1].as_str()];
    let mut trickle = trickle::start(&ensemble).await;

    println!("three servers, {}", surroundings());
    print_hand_over(followers).await;
    print_waited(followers).await;
    print_requests(followers).await;
    assert!(trickle.try_join_next().is_none(), "the reads to each server have stopped");
    drop(trickle);
    print_memory(&ensemble).await;
    println!("\n{:.0} s", started.elapsed().as_secs_f64());
}

/// What the times depend on.
fn surroundings() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    format!("{cores} cores, load average before {load}")
}

async fn print_hand_over(followers: [&str; 2]) {
    let rounds = latency::ROUNDS;
    let [floor_sequential, ours_sequential, floor_master, ours_master] = latency::measure(followers).await;
    println!("\nhand-over on resign, ms, {rounds} rounds       median      p90      min   ratio  difference");
    print_times("sequential  floor: delete, event, list", &floor_sequential, None);
    print_times("            resign() to campaign()", &ours_sequential, Some(&floor_sequential));
    print_times("master      floor: delete, event, create", &floor_master, None);
    print_times("            resign() to campaign()", &ours_master, Some(&floor_master));
}

async fn print_waited(followers: [&str; 2]) {
    let rounds = waited::ROUNDS;
    let [floor, ours] = waited::measure(followers).await;
    println!(
        "\nhand-over after a wait, ms, {rounds} rounds       median      p90      min   ratio  difference"
    );
    print_times("sequential  floor: delete, event, list", &floor, None);
    print_times("            resign() to campaign()", &ours, Some(&floor));
}

fn print_times(what: &str, times: &[f64], floor: Option<&[f64]>) {
    let median = quantile(times, 0.5);
    print!("  {what:<42}{median:>7.2}{:>9.2}{:>9.2}", quantile(times, 0.9), quantile(times, 0.0));
    if let Some(floor) = floor {
        let differences: Vec<f64> = times.iter().zip(floor).map(|(time, floor)| time - floor).collect();
        print!("{:>8.2}{:>12.2}", median / quantile(floor, 0.5), quantile(&differences, 0.5));
    }
    println!();
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

async fn print_requests(followers: [&str; 2]) {
    println!("\nrequests                                 number  in order of sending");
    for (mode, path) in [(Mode::Sequential, "/bench/count-s"), (Mode::Master, "/bench/count-m")] {
        let mut label = mode.to_string();
        for step in requests::count(mode, path, followers).await {
            println!("  {label:<11} {:<26}{:>7.1}  {}", step.what, step.average(), step.orders());
            label.clear();
        }
    }
}

async fn print_memory(ensemble: &Ensemble) {
    println!("\nmemory and requests per waiting contender          KiB  requests");
    for growth in &memory::GROWTHS {
        let (kibibytes, requests) = memory::measure(growth, ensemble).await;
        println!("  {:<44}{kibibytes:>8.1}{requests:>10.2}", growth.what);
    }
}
