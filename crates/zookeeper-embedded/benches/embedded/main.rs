//! Start time, throughput and memory of the embedded server and of a real ZooKeeper server on the same machine.
//!
//! ```text
//! cargo bench -p zookeeper-embedded --bench embedded
//! ```
//!
//! It starts standalone ZooKeeper servers on loopback, which need Java and ZooKeeper, takes about a minute, and prints
//!
//! - *start* (`start.rs`): the time from before the bind, or from before the process, until a client that asks `ruok`
//!   has the answer.
//! - *requests* (`rates.rs`): creates and reads per second of one session, one at a time and pipelined. The embedded
//!   server is measured in this process, as tests use it, and in a process of its own. The real server is measured with
//!   `forceSync=no`, so that neither server waits for a disk, and with its defaults, where each create waits for one.
//! - *memory* (`memory.rs`): the growth of the server's process (VmRSS) per session and znode, with all clients in
//!   another process.
//!
//! The real server runs with the options of the tests (`crates/testkit/src/install.rs`): a small heap, and only the
//! faster of Java's two compilers. Client and server share one machine, so compare ratios and not absolute figures.

use std::time::Instant;
use std::{env, fs};

mod clients;
mod memory;
mod rates;
mod served;
mod start;

use served::{SERVE, Served};

#[tokio::main]
async fn main() {
    if env::args().nth(1).is_some_and(|argument| argument == SERVE) {
        return served::serve().await;
    }
    let started = Instant::now();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{cores} cores, load average before {}", load.split_whitespace().next().unwrap_or("?"));
    print_start().await;
    print_rates().await;
    print_memory().await;
    println!("\n{:.0} s", started.elapsed().as_secs_f64());
}

async fn print_start() {
    let embedded = start::embedded().await;
    let process = start::process().await;
    let real = start::real().await;
    println!(
        "\nstart to `ruok`, ms                        median      p90      min    runs   ratio to embedded"
    );
    let floor = median(&embedded);
    for (what, times) in
        [("embedded", &embedded), ("embedded, a process of its own", &process), ("real", &real)]
    {
        println!(
            "  {what:<39}{:>8.2}{:>9.2}{:>9.2}{:>8}{:>20.1}",
            median(times),
            quantile(times, 0.9),
            quantile(times, 0.0),
            times.len(),
            median(times) / floor
        );
    }
}

async fn print_rates() {
    println!("\nrequests per second, median of {} rounds", rates::ROUNDS);
    println!(
        "                                     embedded                      real            ratio to real"
    );
    println!(
        "                          in process  own process  forceSync=no   default   in process  own process"
    );
    for (what, rates) in rates::measure().await {
        let [inside, outside, quick, default] = rates.each_ref().map(|rates| median(rates));
        println!(
            "  {what:<22}{inside:>12.0}{outside:>13.0}{quick:>14.0}{default:>10.0}{:>13.2}{:>13.2}",
            inside / quick,
            outside / quick
        );
    }
    println!("  The ratios are to the real server with forceSync=no.");
}

async fn print_memory() {
    println!("\nmemory of the server's process, MiB            embedded      real     ratio");
    let embedded = Served::start().await;
    let growth = memory::measure(&embedded.address, embedded.pid()).await;
    drop(embedded);
    let ensemble = testkit::Ensemble::start(1).await;
    let server = ensemble.server(0);
    let real = memory::measure(&server.address(), server.pid().expect("a process")).await;
    let rows = memory::WHAT.iter().zip(growth.iter().zip(real));
    for (what, (embedded, real)) in rows {
        println!("  {what:<42}{embedded:>11.1}{real:>10.1}{:>10.3}", embedded / real);
    }
}

fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
