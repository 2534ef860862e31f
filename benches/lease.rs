//! What a lease costs: to ask for it, and to keep it.
//!
//! ```text
//! cargo bench --bench lease
//! ```
//!
//! It needs nothing but Rust: the server is the embedded one. It takes half a minute, and prints
//!
//! - how long `Leadership::is_valid()` takes, and as the floor a reading of the same clock alone;
//! - how many requests a session sends while it leads one election, and 1,000 elections: the proofs.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zookeeper_election::{BoxError, Leadership, Session};
use zookeeper_embedded::Server;

const CALLS: u32 = 1_000_000;
const ROUNDS: usize = 15;
const SESSION_TIMEOUT: Duration = Duration::from_millis(1400);
const OBSERVED: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let server = Server::builder().tick(Duration::from_millis(700)).start_on_free_port().await?;
    let builder = Session::builder().session_timeout(SESSION_TIMEOUT);
    let session = builder.connect(&server.connect_string()).await?;
    let mut held = vec![campaign(&session, 0).await?];

    let (clock, asking) = is_valid(&held[0]);
    println!("is_valid(), ns, median of {ROUNDS} times {CALLS} calls");
    println!("  floor: CLOCK_BOOTTIME      {clock:>7.1}");
    println!("  is_valid()                 {asking:>7.1}   {:.2} times the floor", asking / clock);

    println!("\nrequests per second at a session timeout of {SESSION_TIMEOUT:?}, in {OBSERVED:?}");
    let one = requests_per_second(&server).await?;
    println!("  one leadership             {one:>7.2}");
    for i in 1..1000 {
        held.push(campaign(&session, i).await?);
    }
    let many = requests_per_second(&server).await?;
    let valid = held.iter().filter(|leadership| leadership.is_valid()).count();
    println!("  {valid} leaderships          {many:>7.2}   {:.2} times as many", many / one);
    Ok(session.close().await?)
}

async fn campaign(session: &Session, number: usize) -> Result<Leadership, BoxError> {
    Ok(session.election(&format!("/bench/{number}")).identity("bench").build()?.campaign().await?)
}

/// How long the clock alone takes, and the question, in ns, measured in turns.
fn is_valid(leadership: &Leadership) -> (f64, f64) {
    let (mut clock, mut asking) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        clock.push(time(|| black_box(clock_gettime(ClockId::Boottime).tv_nsec) != -1));
        asking.push(time(|| black_box(leadership).is_valid()));
    }
    (median(&mut clock), median(&mut asking))
}

fn time(call: impl Fn() -> bool) -> f64 {
    let started = Instant::now();
    for _ in 0..CALLS {
        assert!(black_box(call()), "the leadership is valid");
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What the server receives, but for the question how much that is.
async fn requests_per_second(server: &Server) -> Result<f64, BoxError> {
    tokio::time::sleep(SESSION_TIMEOUT).await;
    let (before, started) = (received(server).await?, Instant::now());
    tokio::time::sleep(OBSERVED).await;
    Ok((received(server).await? - before) / started.elapsed().as_secs_f64())
}

async fn received(server: &Server) -> Result<f64, BoxError> {
    let mut connection = TcpStream::connect(server.connect_string()).await?;
    connection.write_all(b"srvr").await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let received = answer.lines().find_map(|line| line.strip_prefix("Received: "));
    Ok(received.ok_or("no count of what was received")?.parse()?)
}
