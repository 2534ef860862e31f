//! What a change of leaders costs, against what ZooKeeper itself takes for it.
//!
//! ```text
//! cargo bench --bench hand_over
//! ```
//!
//! It starts three ZooKeeper servers on loopback (what they need: see `tests/run`), takes half a minute, and prints
//!
//! - *hand-over*: the time from the call of `resign()` on one server until `campaign()` has returned on another,
//!   and in the row above it the floor, the same with nothing but a bare ZooKeeper client on each side. The last
//!   two columns compare them: the ratio of the medians, and the median of the differences, round by round.
//! - *requests*: what goes over the wire to become the leader where the election's directory exists, to resign,
//!   and to succeed. Counted by a proxy; connecting and heartbeats are left out.
//! - *memory*: how much a process grows (VmRSS) per contender that waits, and how many requests each has sent. When
//!   all start at once, all have a list of all at once, and the allocator keeps some of that memory.
//!
//! Absolute times are those of three servers that share this machine and do not write to disk. Compare ratios.

use std::env;
use std::fs;
use std::io::{self, BufRead};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use zookeeper_election::zookeeper_client::{
    Acls, Client, CreateMode, CreateOptions, EventType, OneshotWatcher,
};
use zookeeper_election::{Election, Leadership, Mode, Session, Standing};

#[path = "../tests/support/mod.rs"]
mod support;

use support::{Ensemble, OpCode, Proxy};

const WARM_UP: usize = 20;
const ROUNDS: usize = 400;

/// How long anything may take before the program gives up and names it.
const LIMIT: Duration = Duration::from_secs(30);

/// How long everything is left alone before each sample, so that no answer to what prepared it is still on its way.
const SETTLE: Duration = Duration::from_millis(3);

/// How often each server is sent a read, see [`keep_busy`].
const TRICKLE: Duration = Duration::from_millis(2);

/// Of all sessions, plain or not: the library's default.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

const IDENTITY: &str = "contender-of-the-benchmark";
const PREFIX: &str = "guid_";

// Paths of equal length, so that the bare clients and the library send requests of equal size.
const FLOOR_SEQUENTIAL: &str = "/bench/floor-s";
const FLOOR_MASTER: &str = "/bench/floor-m";
const ELECT_SEQUENTIAL: &str = "/bench/elect-s";
const ELECT_MASTER: &str = "/bench/elect-m";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flag, case, connect_string] = &arguments[..]
        && flag == MEASURE_MEMORY
    {
        return grow(case, connect_string).await;
    }
    let started = Instant::now();
    let ensemble = Ensemble::start(3).await;
    // Both measured sessions are connected to followers, whichever server leads: with one of them at the leader,
    // every second round would be shorter.
    let leader = ensemble.leader().await;
    let followers: Vec<String> =
        (0..3).filter(|server| *server != leader).map(|server| ensemble.server(server).address()).collect();
    let followers = [followers[0].as_str(), followers[1].as_str()];
    let mut trickle = keep_busy(&ensemble).await;

    println!("three servers, {}\n", surroundings());
    hand_over(followers).await;
    requests(followers).await;
    assert!(trickle.try_join_next().is_none(), "the reads to each server have stopped");
    drop(trickle);
    memory(&ensemble).await;
    println!("\n{:.0} s", started.elapsed().as_secs_f64());
}

/// What the times depend on.
fn surroundings() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    format!("{cores} cores, load average before {load}")
}

/// Sends each server a read every few milliseconds, until the returned tasks are dropped.
///
/// ZooKeeper 3.8.0 now and then leaves a committed write lying until the next request arrives (ZOOKEEPER-4537). On a
/// quiet server that would be the next heartbeat, seconds later; production servers are not quiet. It runs
/// throughout, and so delays bare clients and the library alike.
async fn keep_busy(ensemble: &Ensemble) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for server in ensemble.servers() {
        let client = plain(&server.address()).await;
        tasks.spawn(async move {
            let mut ticks = interval(TRICKLE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                within("the answer to a read", client.check_stat("/")).await.expect("a read");
            }
        });
    }
    tasks
}

// ------------------------------------------------------------------------------------------------
// Hand-over

/// Measures the four cases round by round, and prints them.
///
/// What makes the comparison fair:
///
/// - All four are sampled in every round, in an order that is reversed every two rounds: whatever else the
///   machine does, it does to all.
/// - Side 0 is on one follower and side 1 on the other, for bare clients and for the library. The sides swap
///   after every sample.
/// - The same number of znodes, names and data of the same length, the same session timeout.
/// - The successor waits in a task of its own in all cases, as in an application, and takes the time itself; nobody's
///   clock runs while the next sample is prepared.
/// - The floor does what it must and no more: it has no watch on its own znode, and does not look at the list.
async fn hand_over(followers: [&str; 2]) {
    let clients = [plain(followers[0]).await, plain(followers[1]).await];
    let sessions = [session(followers[0]).await, session(followers[1]).await];
    for directory in [FLOOR_SEQUENTIAL, ELECT_SEQUENTIAL] {
        make_directory(&clients[0], directory).await;
    }
    let mut floor_sequential = Floor::start(Mode::Sequential, FLOOR_SEQUENTIAL, &clients).await;
    let mut floor_master = Floor::start(Mode::Master, FLOOR_MASTER, &clients).await;
    let mut ours_sequential = HandOver::start(Mode::Sequential, ELECT_SEQUENTIAL, &sessions).await;
    let mut ours_master = HandOver::start(Mode::Master, ELECT_MASTER, &sessions).await;

    let mut samples: [Vec<Duration>; 4] = Default::default();
    for round in 0..WARM_UP + ROUNDS {
        let mut sampled = [Duration::ZERO; 4];
        for turn in 0..4 {
            let case = if round / 2 % 2 == 0 { turn } else { 3 - turn };
            sampled[case] = match case {
                0 => floor_sequential.sample().await,
                1 => ours_sequential.sample().await,
                2 => floor_master.sample().await,
                _ => ours_master.sample().await,
            };
        }
        if round >= WARM_UP {
            samples.iter_mut().zip(sampled).for_each(|(samples, sample)| samples.push(sample));
        }
    }

    println!("hand-over on resign, ms, {ROUNDS} rounds       median      p90      min   ratio  difference");
    let [floor_sequential, ours_sequential, floor_master, ours_master] = &samples;
    report("sequential  floor: delete, event, list", floor_sequential, None);
    report("            resign() to campaign()", ours_sequential, Some(floor_sequential));
    report("master      floor: delete, event, create", floor_master, None);
    report("            resign() to campaign()", ours_master, Some(floor_master));
    for session in &sessions {
        close(session).await;
    }
}

fn report(what: &str, samples: &[Duration], floor: Option<&[Duration]>) {
    let times: Vec<f64> = samples.iter().map(milliseconds).collect();
    let median = quantile(&times, 0.5);
    print!("  {what:<42}{median:>7.2}{:>9.2}{:>9.2}", quantile(&times, 0.9), quantile(&times, 0.0));
    if let Some(floor) = floor {
        let floor: Vec<f64> = floor.iter().map(milliseconds).collect();
        let differences: Vec<f64> = times.iter().zip(&floor).map(|(time, floor)| time - floor).collect();
        print!("{:>8.2}{:>12.2}", median / quantile(&floor, 0.5), quantile(&differences, 0.5));
    }
    println!();
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// A hand-over between two bare clients.
struct Floor {
    mode: Mode,
    path: &'static str,
    clients: [Client; 2],
    leader: usize,
    /// The leader's znode.
    node: String,
}

impl Floor {
    async fn start(mode: Mode, path: &'static str, clients: &[Client; 2]) -> Self {
        let mut floor = Self { mode, path, clients: clients.clone(), leader: 0, node: String::new() };
        floor.node = floor.create(0).await;
        floor
    }

    /// From just before the leader's `delete` until the successor, having received the event, has the answer to what
    /// it must ask then: a list of the directory, or the creation of the master's znode.
    async fn sample(&mut self) -> Duration {
        let (from, to) = (self.leader, 1 - self.leader);
        let next = match self.mode {
            Mode::Master => self.node.clone(),
            _ => self.create(to).await,
        };
        let watching = self.clients[to].check_and_watch_stat(&self.node);
        let (stat, watcher) = within("a watch is set", watching).await.expect("a watch");
        assert!(stat.is_some(), "{} is gone before it was deleted", self.node);
        let successor = self.succeed(to, watcher);
        sleep(SETTLE).await;

        let started = Instant::now();
        within("a delete is answered", self.clients[from].delete(&self.node, None)).await.expect("a delete");
        let ended = within("the successor of a bare client", successor).await.expect("the successor's task");

        (self.leader, self.node) = (to, next);
        ended - started
    }

    fn succeed(&self, to: usize, watcher: OneshotWatcher) -> JoinHandle<Instant> {
        let (mode, path, client) = (self.mode, self.path, self.clients[to].clone());
        tokio::spawn(async move {
            let event = watcher.changed().await;
            match mode {
                Mode::Master => {
                    drop(client.create(path, IDENTITY.as_bytes(), &ephemeral()).await.expect("a create"))
                }
                _ => drop(client.list_children(path).await.expect("a list")),
            }
            let ended = Instant::now();
            assert_eq!(event.event_type, EventType::NodeDeleted);
            ended
        })
    }

    /// Creates a side's znode, and returns its path.
    async fn create(&self, side: usize) -> String {
        let (path, data, client) = (self.path, IDENTITY.as_bytes(), &self.clients[side]);
        if self.mode == Mode::Master {
            within("a create", client.create(path, data, &ephemeral())).await.expect("a create");
            return path.to_owned();
        }
        let (prefix, options) =
            (format!("{path}/{PREFIX}"), CreateMode::EphemeralSequential.with_acls(Acls::anyone_all()));
        let (_, sequence) =
            within("a create", client.create(&prefix, data, &options)).await.expect("a create");
        format!("{prefix}{sequence}")
    }
}

fn ephemeral() -> CreateOptions<'static> {
    CreateMode::Ephemeral.with_acls(Acls::anyone_all())
}

/// A hand-over between two of our sessions.
struct HandOver {
    elections: [Arc<Election>; 2],
    leader: usize,
    leadership: Option<Leadership>,
}

impl HandOver {
    async fn start(mode: Mode, path: &str, sessions: &[Session; 2]) -> Self {
        let elections = [0, 1].map(|side: usize| Arc::new(election(&sessions[side], mode, path)));
        let leadership = lead(&elections[0]).await;
        Self { elections, leader: 0, leadership: Some(leadership) }
    }

    /// From just before `resign()` is called on one side until `campaign()` has returned on the other.
    async fn sample(&mut self) -> Duration {
        let to = 1 - self.leader;
        let successor = campaign(self.elections[to].clone()).await;
        let leadership = self.leadership.take().expect("a leadership");
        sleep(SETTLE).await;

        let started = Instant::now();
        within("a resignation", leadership.resign()).await.expect("a resignation");
        let (ended, leadership) = within("the successor", successor).await.expect("the successor's task");

        (self.leader, self.leadership) = (to, Some(leadership));
        ended - started
    }
}

// ------------------------------------------------------------------------------------------------
// Requests

const HAND_OVERS: usize = 20;

/// Counts, for both modes, the requests of a leader and of its successor, by one proxy for each. Nothing is timed.
async fn requests(followers: [&str; 2]) {
    println!("\nrequests                                 number  in order of sending");
    for (mode, path) in [(Mode::Sequential, "/bench/count-s"), (Mode::Master, "/bench/count-m")] {
        let proxies = [Proxy::start(followers[0]).await, Proxy::start(followers[1]).await];
        let sessions = [session(&proxies[0].address()).await, session(&proxies[1].address()).await];
        let elections = [0, 1].map(|side: usize| Arc::new(election(&sessions[side], mode, path)));
        if mode == Mode::Sequential {
            make_directory(&plain(followers[0]).await, path).await;
        }
        // Both have connected; what is counted from here on is sent for the election.
        for proxy in &proxies {
            take(proxy).await;
        }

        let mut leadership = lead(&elections[0]).await;
        let starting = vec![take(&proxies[0]).await];
        let (mut joining, mut resigning, mut succeeding) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..HAND_OVERS {
            let (from, to) = (round % 2, 1 - round % 2);
            let successor = campaign(elections[to].clone()).await;
            joining.push(take(&proxies[to]).await);
            within("a resignation", leadership.resign()).await.expect("a resignation");
            (_, leadership) = within("the successor", successor).await.expect("the successor's task");
            resigning.push(take(&proxies[from]).await);
            succeeding.push(take(&proxies[to]).await);
        }
        let mode = format!("{mode:?}").to_lowercase();
        tell(&format!("{mode:<11} from start to leadership"), &starting);
        tell(&format!("{:<11} from start to waiting", ""), &joining);
        tell(&format!("{:<11} leader, resigning", ""), &resigning);
        tell(&format!("{:<11} successor, from waiting on", ""), &succeeding);
        for session in &sessions {
            close(session).await;
        }
    }
}

/// What has gone through the proxy since the last call. Waits a little first, for what nobody waits for.
async fn take(proxy: &Proxy) -> Vec<OpCode> {
    sleep(10 * SETTLE).await;
    let requests = proxy.requests();
    proxy.clear_requests();
    requests
}

/// Prints the average number, and every order that occurred.
fn tell(what: &str, occasions: &[Vec<OpCode>]) {
    let number = occasions.iter().map(Vec::len).sum::<usize>() as f64 / occasions.len() as f64;
    let mut orders: Vec<(usize, &Vec<OpCode>)> = Vec::new();
    for occasion in occasions {
        match orders.iter_mut().find(|(_, order)| *order == occasion) {
            Some((times, _)) => *times += 1,
            None => orders.push((1, occasion)),
        }
    }
    let orders: Vec<String> = orders
        .into_iter()
        .map(|(times, order)| {
            let names: Vec<String> =
                order.iter().map(|op_code| format!("{op_code:?} {}", op_code.0)).collect();
            format!("{times} x [{}]", names.join(", "))
        })
        .collect();
    println!("  {what:<38}{number:>7.1}  {}", orders.join("; "));
}

// ------------------------------------------------------------------------------------------------
// Memory

/// The first argument of the process that is measured.
const MEASURE_MEMORY: &str = "--measure-memory";

/// How many contenders there are before the first reading of the memory: they pay for what is needed once.
const FIRST: usize = 20;

/// A way to have many contenders in one process.
struct Growth {
    name: &'static str,
    what: &'static str,
    /// Short: a session watches at most 100 KiB of path names, two names for each contender.
    path: &'static str,
    contenders: usize,
    each: Each,
    /// All start together, not one when the one before waits.
    together: bool,
}

enum Each {
    /// A contender on the session that all share.
    Contender,
    /// A contender on a session of its own.
    Session,
    /// A session of the bare client and no contender: the floor for the above.
    Client,
}

const GROWTHS: [Growth; 4] = [
    Growth {
        name: "one-by-one",
        what: "1000 contenders, one session",
        path: "/m",
        contenders: 1000,
        each: Each::Contender,
        together: false,
    },
    Growth {
        name: "together",
        what: "1000 contenders, one session, at once",
        path: "/n",
        contenders: 1000,
        each: Each::Contender,
        together: true,
    },
    Growth {
        name: "sessions",
        what: "200 contenders, a session each",
        path: "/o",
        contenders: 200,
        each: Each::Session,
        together: false,
    },
    Growth {
        name: "clients",
        what: "floor: 200 bare clients, no contender",
        path: "/p",
        contenders: 200,
        each: Each::Client,
        together: false,
    },
];

/// Measures each growth in a process of its own: memory that this one has used and given back to the allocator
/// would be used again, and not show.
async fn memory(ensemble: &Ensemble) {
    println!("\nmemory and requests per waiting contender          KiB  requests");
    for growth in &GROWTHS {
        let proxy = Proxy::start(ensemble.connect_string()).await;
        let program = env::current_exe().expect("the path of this program");
        let mut child = Command::new(program)
            .args([MEASURE_MEMORY, growth.name, &proxy.address()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program, started again");
        let mut asking = child.stdin.take().expect("a pipe");
        let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut readings = Vec::new();
        for what in ["the first contenders wait", "all contenders wait"] {
            let answer = within(what, answers.next_line()).await.expect("an answer");
            let kibibytes: f64 = answer.as_deref().unwrap_or_default().parse().expect(what);
            let requests = proxy.requests().iter().filter(|op_code| **op_code != OpCode::CLOSE).count();
            readings.push((kibibytes, requests as f64));
            asking.write_all(b"go on\n").await.expect("a pipe");
        }
        let ended = within("the measured process ends", child.wait()).await;
        assert!(ended.expect("an exit status").success(), "{}: it failed", growth.name);
        let [(before, sent_before), (after, sent_after)] = readings[..] else {
            unreachable!("two readings");
        };
        let per = growth.contenders as f64;
        println!(
            "  {:<44}{:>8.1}{:>10.2}",
            growth.what,
            (after - before) / per,
            (sent_after - sent_before) / per
        );
    }
}

/// The process that is measured: prints its memory before and after, in KiB, and goes on when it is told to.
async fn grow(growth: &str, connect_string: &str) {
    let growth = GROWTHS.iter().find(|it| it.name == growth).expect("a growth");
    let shared = session(connect_string).await;
    let client = plain(connect_string).await;
    make_directory(&client, growth.path).await;
    drop(client);

    let mut clients = Vec::new();
    let mut sessions = Vec::new();
    // As an application would, each contender has a task that waits for its campaign.
    let mut tasks = JoinSet::new();
    let mut join = async |contenders: usize| {
        let mut standings = Vec::new();
        for contender in 0..contenders {
            let session = match growth.each {
                Each::Contender => shared.clone(),
                Each::Session => session(connect_string).await,
                Each::Client => {
                    clients.push(plain(connect_string).await);
                    continue;
                }
            };
            let election = election(&session, Mode::Sequential, growth.path);
            sessions.push(session);
            standings.push(election.standings());
            tasks.spawn(async move {
                let _leadership = election.campaign().await.expect("a leadership");
                std::future::pending::<()>().await
            });
            if !growth.together || contender + 1 == contenders {
                for mut standing in standings.drain(..) {
                    let placed = standing
                        .wait_for(|it| matches!(it, Standing::Waiting { .. } | Standing::Leading { .. }));
                    within("a contender has its place", placed).await.expect("a contender");
                }
            }
        }
    };
    join(FIRST).await;
    answer();
    join(growth.contenders).await;
    answer();
}

fn answer() {
    println!("{}", resident());
    // The other side counts now, while nothing is sent.
    let told = io::stdin().lock().read_line(&mut String::new()).expect("a pipe");
    assert!(told > 0, "nobody listens any more");
}

/// What of this process is in memory, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).expect("VmRSS");
    number.parse().expect("VmRSS, a number")
}

// ------------------------------------------------------------------------------------------------
// What all parts use

/// A bare client, connected to one server.
async fn plain(address: &str) -> Client {
    let connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    within("a bare client connects", connector.connect(address)).await.expect("a connection")
}

async fn make_directory(client: &Client, path: &str) {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    within("a mkdir", client.mkdir(path, &options)).await.expect("a mkdir");
}

async fn session(connect_string: &str) -> Session {
    let builder = Session::builder().session_timeout(SESSION_TIMEOUT);
    within("a session connects", builder.connect(connect_string)).await.expect("a session")
}

async fn close(session: &Session) {
    within("a session closes", session.close()).await.expect("a closed session");
}

fn election(session: &Session, mode: Mode, path: &str) -> Election {
    let builder = session.election(path).mode(mode).node_prefix(PREFIX).identity(IDENTITY);
    builder.build().expect("valid options")
}

async fn lead(election: &Election) -> Leadership {
    within("the first contender leads", election.campaign()).await.expect("a leadership")
}

/// Starts to campaign, and returns when the contender waits: it has all its watches then. The task returns when
/// `campaign()` does, and tells when that was.
async fn campaign(election: Arc<Election>) -> JoinHandle<(Instant, Leadership)> {
    let mut standings = election.standings();
    let campaigning = tokio::spawn(async move {
        let outcome = election.campaign().await;
        let ended = Instant::now();
        (ended, outcome.expect("a leadership"))
    });
    let waiting = standings.wait_for(|standing| matches!(standing, Standing::Waiting { .. }));
    within("a contender waits", waiting).await.expect("a contender");
    campaigning
}

async fn within<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    match timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {LIMIT:?}: {what}"),
    }
}
