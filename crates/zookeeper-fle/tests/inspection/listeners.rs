//! Listeners of all sorts in the place of election ports, none of which stops the inspection.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::join;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use zookeeper_fle::codec::{Addresses, DecodeError, Hello};
use zookeeper_fle::{
    AddressError, Epoch, Finding, Format, InspectError, Inspector, NoAnswer, NotAsked, Notification, Round,
    ServerId, ServerRef, ServerState, Vote, Zxid, inspect,
};

use crate::TIMEOUT;
use testkit::PATIENCE;

/// A listener on loopback. Dropping it closes it.
struct Listener {
    address: String,
    connections: Arc<Mutex<u32>>,
    accepting: AbortHandle,
}

impl Listener {
    /// One that does this with each connection.
    async fn new<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let connections = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                *counter.lock().unwrap() += 1;
                // Whoever is asked may be left in the middle of a word.
                let serving = serve(stream);
                tokio::spawn(async { _ = serving.await });
            }
        });
        Self { address, connections, accepting: accepting.abort_handle() }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn vote(leader: i64) -> Vote {
    Vote { epoch: Epoch(1), zxid: Zxid(0x1_0000_0008), leader: ServerId(leader) }
}

fn says(state: ServerState, config: &str) -> Vec<u8> {
    Notification { state, vote: vote(1), round: Round(1), format: Format::Configured(config.into()) }
        .encode_frame()
}

/// Reads until the other side closes.
async fn read_on(stream: &mut TcpStream) -> io::Result<()> {
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

/// A listener that says these bytes at once and nothing else.
async fn saying(bytes: Vec<u8>) -> Listener {
    let bytes = Arc::new(bytes);
    Listener::new(move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            stream.write_all(&bytes).await?;
            read_on(&mut stream).await
        }
    })
    .await
}

/// A listener that says this over and over, in pieces, for as long as anybody listens.
async fn repeating(bytes: Vec<u8>, first: Vec<u8>, pause: Duration) -> Listener {
    let (bytes, first) = (Arc::new(bytes), Arc::new(first));
    Listener::new(move |mut stream| {
        let (bytes, first) = (Arc::clone(&bytes), Arc::clone(&first));
        async move {
            stream.write_all(&first).await?;
            loop {
                stream.write_all(&bytes).await?;
                sleep(pause).await;
            }
        }
    })
    .await
}

/// A server as it should be, but for its stale messages: they come before the question, half before and half after
/// it, and after it. It notes the greetings, and refuses any other question.
async fn server(config: String, greetings: Arc<Mutex<Vec<ServerId>>>) -> Listener {
    let config = Arc::new(config);
    Listener::new(move |mut stream| {
        let (config, greetings) = (Arc::clone(&config), Arc::clone(&greetings));
        async move {
            let mut hello = [0; 8];
            stream.read_exact(&mut hello).await?;
            let Ok(Some((Hello { from, addresses: Addresses::None }, 8))) = Hello::decode(&hello) else {
                return Ok(());
            };
            greetings.lock().unwrap().push(from);
            let stale = says(ServerState::Looking, "version=0");
            let (begin, end) = stale.split_at(stale.len() / 2);
            stream.write_all(&[&stale, begin].concat()).await?;
            let mut question = [0; 44];
            stream.read_exact(&mut question).await?;
            // Length, state, leader, zxid, round, epoch, format.
            let least = i64::MIN.to_be_bytes();
            let expected =
                [&[0, 0, 0, 40, 0, 0, 0, 3][..], &least, &least, &[0; 8], &least, &[0, 0, 0, 1]].concat();
            if question[..] == expected {
                let last = says(ServerState::Leading, &config);
                stream.write_all(&[end, &stale, &last].concat()).await?;
            }
            read_on(&mut stream).await
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_that_are_no_election_ports_do_not_stop_the_inspection() {
    let deaf = Listener::new(|mut stream| async move { read_on(&mut stream).await }).await;
    let closing = Listener::new(async |_| Ok(())).await;
    let web = saying(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    let huge = saying([&10_000_000_i32.to_be_bytes()[..], &[7; 64]].concat()).await;
    let short = saying([&4_i32.to_be_bytes()[..], &[0; 4]].concat()).await;
    let trickling = repeating(vec![0], 500_000_i32.to_be_bytes().to_vec(), Duration::from_millis(5)).await;
    let flooding = repeating(says(ServerState::Following, "nonsense"), Vec::new(), Duration::ZERO).await;
    let nobody = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let greetings: Arc<Mutex<Vec<ServerId>>> = Arc::default();
    // The address of the good one is not in its configuration; that of the deaf one is, by a name.
    let deaf_port = deaf.address.rsplit_once(':').unwrap().1;
    let config = format!(
        "server.1=127.0.0.1:1:2:participant\nserver.2=localhost:2:{deaf_port}:participant\n\
         server.3=nowhere..invalid:3:3888:participant\nversion=0"
    );
    let good = server(config, Arc::clone(&greetings)).await;
    let all = [&deaf, &closing, &web, &huge, &short, &trickling, &flooding, &good];
    let mut given: Vec<&str> = all.map(|it| it.address.as_str()).to_vec();
    given.extend([nobody.as_str(), good.address.as_str()]);

    let inspector = Inspector::new().timeout(TIMEOUT);
    let inspection = timeout(PATIENCE, inspector.inspect(&given.join(","))).await.expect("an end").unwrap();
    let outcome = |address: &str| {
        let found = inspection.servers.iter().find(|it| it.address == address);
        found.unwrap_or_else(|| panic!("{address} is missing:\n{inspection}")).outcome.clone()
    };
    let of = |listener: &Listener| outcome(&listener.address);
    let too_long = |announced| Err(NoAnswer::NotTheProtocol(DecodeError::FrameLength { announced }));
    assert_eq!(of(&deaf), Err(NoAnswer::Deaf));
    assert_eq!(of(&closing), Err(NoAnswer::Closed));
    assert_eq!(of(&web), too_long(i32::from_be_bytes(*b"HTTP")));
    assert_eq!(of(&huge), too_long(10_000_000));
    assert_eq!(of(&short), Err(NoAnswer::NotTheProtocol(DecodeError::Length { bytes: 4 })));
    assert_eq!(of(&trickling), Err(NoAnswer::Deaf));
    assert_eq!(outcome(&nobody), Err(NoAnswer::Refused));
    assert_eq!(outcome("nowhere..invalid:3888"), Err(NoAnswer::Unresolved));
    let flooded = of(&flooding).expect("its last words in time");
    assert_eq!(flooded.ballot.state, ServerState::Following);
    assert!(flooded.config.is_some_and(|config| config.is_err()));

    // The last word of the good one counts, and it is known although its address is not the configuration's.
    assert_eq!(of(&good).expect("an answer").ballot.state, ServerState::Leading, "{inspection}");
    let who = |id: i64| ServerRef::Server(ServerId(id));
    let flooding_at = ServerRef::At(flooding.address.clone());
    let found =
        |finding: Finding| assert!(inspection.findings.contains(&finding), "{finding:?}\n{inspection}");
    found(Finding::NotReached { server: who(3), reason: NoAnswer::Unresolved });
    found(Finding::Unidentified { servers: vec![flooding_at] });
    let deaf_ones = inspection.findings.iter().find_map(|finding| match finding {
        Finding::Deaf { servers } => Some(servers.clone()),
        _ => None,
    });
    assert_eq!(deaf_ones, Some(vec![who(2), ServerRef::At(trickling.address.clone())]), "{inspection}");

    // Each was asked once, the one that was given twice and the one that has a name as well too.
    for listener in all {
        assert_eq!(*listener.connections.lock().unwrap(), 1, "{}", listener.address);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_small_frames_after_a_large_one_takes_no_longer_than_the_time_out() {
    let large = Notification {
        state: ServerState::Looking,
        vote: vote(1),
        round: Round(1),
        format: Format::Configured("x".repeat(500_000)),
    };
    let small = Notification { format: Format::WithoutEpoch, ..large.clone() }.encode_frame();
    let flooding = repeating(small.repeat(4096), large.encode_frame(), Duration::ZERO).await;
    // On the runtime's main thread, where nothing else has a turn unless this gives it one.
    let began = Instant::now();
    let turns = async {
        let mut turns = 0;
        while began.elapsed() < TIMEOUT / 2 {
            sleep(Duration::from_millis(10)).await;
            turns += 1;
        }
        turns
    };
    let inspector = Inspector::new().timeout(TIMEOUT);
    let (inspection, turns) = join!(inspector.inspect(&flooding.address), turns);
    assert!(began.elapsed() < 2 * TIMEOUT, "{:?}", began.elapsed());
    assert!(turns > 20, "{turns}");
    let outcome = inspection.unwrap().servers.remove(0).outcome;
    assert_eq!(outcome.map(|answer| answer.ballot.state), Ok(ServerState::Looking));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_has_an_id_of_its_own() {
    let greetings: Arc<Mutex<Vec<ServerId>>> = Arc::default();
    let (all, noted) = (Arc::new(Barrier::new(100)), Arc::clone(&greetings));
    // Nobody is answered before all have greeted, so that all connections are there at the same time.
    let good = Listener::new(move |mut stream| {
        let (all, greetings) = (Arc::clone(&all), Arc::clone(&noted));
        async move {
            let mut hello = [0; 8];
            stream.read_exact(&mut hello).await?;
            greetings.lock().unwrap().push(ServerId(i64::from_be_bytes(hello)));
            all.wait().await;
            stream.read_exact(&mut [0; 44]).await?;
            stream.write_all(&says(ServerState::Leading, "server.1=127.0.0.1:1:2\nversion=0")).await?;
            read_on(&mut stream).await
        }
    })
    .await;
    let inspector = Inspector::new().timeout(PATIENCE);
    for inspected in join_all((0..100).map(|_| inspector.inspect(&good.address))).await {
        let inspection = inspected.unwrap();
        assert!(inspection.servers.iter().any(|server| server.outcome.is_ok()), "{inspection}");
    }
    let greetings = greetings.lock().unwrap();
    let different: BTreeSet<ServerId> = greetings.iter().copied().collect();
    assert_eq!((greetings.len(), different.len()), (100, 100));
    let strangers = 1 << 62..(1 << 62) + (1 << 16);
    assert!(different.iter().all(|id| strangers.contains(&id.0)), "{different:?}");
}

#[tokio::test]
async fn an_ensemble_with_ids_like_those_of_strangers_is_left_alone() {
    let config = format!("server.1=127.0.0.1:1:2\nserver.{}=127.0.0.1:3:4\nversion=0", (1_i64 << 62) + 5);
    let server = server(config, Arc::default()).await;
    let inspection = inspect(&server.address).await.unwrap();
    let reserved = ServerId((1 << 62) + 5);
    let not_asked = Err(NoAnswer::NotAsked(NotAsked::ReservedId(reserved)));
    // What has been heard is not lost. That it calls itself the leader 1 tells who it is.
    let outcomes: Vec<_> = inspection.servers.iter().map(|it| (it.id, it.outcome.is_ok())).collect();
    assert_eq!(outcomes, [(Some(ServerId(1)), true), (Some(reserved), false)], "{inspection}");
    assert_eq!(inspection.servers[1].outcome, not_asked);
    assert_eq!(inspection.servers[1].address, "127.0.0.1:4");
    assert!(inspection.to_string().contains("not asked: server 4611686018427387909"), "{inspection}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_member_of_the_newest_configuration_has_a_line_and_a_reason_if_it_was_not_asked() {
    // Server 2 is at the second of its addresses, of which the first refuses, and so is server 7 at the first.
    let second = server("server.2=127.0.0.1:1:2\nversion=0".into(), Arc::default()).await;
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let refusing = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        port(&listener.local_addr().unwrap().to_string())
    };
    let config = format!(
        "server.1=0.0.0.0:1:2\nserver.2=127.0.0.1:1:{refusing}|127.0.0.1:1:{}\nserver.3=0.0.0.0:1:3888\n\
         server.4=localhost:1:{}\nserver.7=127.0.0.1:1:{refusing}\nversion=1",
        port(&second.address),
        port(&second.address)
    );
    let first = server(config, Arc::default()).await;
    let inspector = Inspector::new().timeout(Duration::MAX);
    let inspection = timeout(PATIENCE, inspector.inspect(&first.address)).await.expect("an end").unwrap();
    let line = |id: i64| {
        let of_it: Vec<_> = inspection.servers.iter().filter(|it| it.id == Some(ServerId(id))).collect();
        assert_eq!(of_it.len(), 1, "{inspection}");
        of_it[0].clone()
    };
    assert_eq!(inspection.servers.len(), 5, "{inspection}");
    assert_eq!((line(1).address, line(1).outcome.is_ok()), (first.address.clone(), true), "{inspection}");
    // Whichever came first with the one address.
    let (asked, other) = if line(2).outcome.is_ok() { (line(2), line(4)) } else { (line(4), line(2)) };
    assert!(asked.outcome.is_ok() && asked.address.ends_with(&port(&second.address)), "{inspection}");
    let same = NoAnswer::NotAsked(NotAsked::SameAddress(asked.id.unwrap()));
    assert_eq!(other.outcome, Err(same), "{inspection}");
    assert_eq!(line(3).outcome, Err(NoAnswer::NotAsked(NotAsked::Unspecified)), "{inspection}");
    assert_eq!(line(3).address, "0.0.0.0:3888");
    assert_eq!(line(7).outcome, Err(NoAnswer::Refused), "{inspection}");
    assert_eq!(*second.connections.lock().unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_too_many_servers_as_many_are_asked_as_may_be() {
    let refusing = |id: i64| format!("server.{id}=127.0.0.{}:1:{}\n", 2 + id % 250, 1 + id / 250);
    let first = server((2..=300).map(refusing).collect::<String>() + "version=1", Arc::default()).await;
    let inspection = Inspector::new().timeout(PATIENCE).inspect(&first.address).await.unwrap();
    let too_many = Err(NoAnswer::NotAsked(NotAsked::TooMany));
    let (not_asked, asked): (Vec<_>, Vec<_>) =
        inspection.servers.iter().partition(|server| server.outcome == too_many);
    // Itself is one of them. It votes for server 1, and so is that, although nothing names it.
    assert_eq!((asked.len(), not_asked.len()), (256, 44), "{inspection}");
    assert!(asked.iter().all(|it| it.id == Some(ServerId(1)) || it.outcome == Err(NoAnswer::Refused)));
    assert!(not_asked.iter().all(|it| it.id > Some(ServerId(256))), "{inspection}");

    let given: Vec<String> = (1..=257).map(|port| format!("127.0.0.2:{port}")).collect();
    let refused = inspect(&given.join(",")).await.unwrap_err();
    assert_eq!(refused, InspectError::TooManyServers { servers: 257 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_name_each_other_one_by_one_are_not_followed_for_ever() {
    // Each knows one more, which has a later configuration.
    let (mut config, mut address) = ("server.9=127.0.0.9:1:1\nversion=9".to_owned(), String::new());
    let mut listeners = Vec::new();
    for id in (1..=6).rev() {
        let listener = server(config.clone(), Arc::default()).await;
        address.clone_from(&listener.address);
        config = format!("server.{id}={}\nversion={id}", address.replacen(':', ":1:", 1));
        listeners.push(listener);
    }
    let inspecting = async move { Inspector::new().timeout(PATIENCE).inspect(&address).await };
    let inspection = tokio::spawn(inspecting).await.expect("no panic").unwrap();
    let asked: u32 = listeners.iter().map(|it| *it.connections.lock().unwrap()).sum();
    assert_eq!(asked, 4, "{inspection}");
    let last = inspection.servers.last().expect("a line");
    assert_eq!(last.outcome, Err(NoAnswer::NotAsked(NotAsked::Late)), "{inspection}");
}

#[tokio::test]
async fn what_is_given_is_checked_before_anybody_is_asked() {
    let listener = Listener::new(async |_| Ok(())).await;
    let address = "::1:3888".to_owned();
    let wrong = inspect(&format!("{},{address}", listener.address)).await.unwrap_err();
    assert_eq!(wrong, InspectError::Address(AddressError::Ipv6 { address }));
    let timeout = Duration::from_millis(100);
    let wrong = Inspector::new().timeout(timeout).inspect(&listener.address).await.unwrap_err();
    assert_eq!(wrong, InspectError::Timeout { timeout });
    assert!(wrong.to_string().contains("500ms"), "{wrong}");
    assert_eq!(*listener.connections.lock().unwrap(), 0);
}
