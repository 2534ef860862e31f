//! Listeners of all sorts in the place of election ports, none of which stops the inspection.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use zookeeper_election::fle::codec::{Addresses, DecodeError, Hello};
use zookeeper_election::fle::{
    AddressError, Epoch, Finding, Format, InspectError, Inspector, Notification, Round, ServerId,
    ServerState, Silence, Vote, Who, Zxid, inspect,
};

use crate::support::PATIENCE;

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

#[tokio::test]
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

    let inspector = Inspector::new().timeout(Duration::from_secs(1));
    let inspection = timeout(PATIENCE, inspector.inspect(&given.join(","))).await.expect("an end").unwrap();
    let outcome = |address: &str| {
        let found = inspection.servers.iter().find(|it| it.address == address);
        found.unwrap_or_else(|| panic!("{address} is missing:\n{inspection}")).outcome.clone()
    };
    let of = |listener: &Listener| outcome(&listener.address);
    let too_long = |announced| Err(Silence::NotTheProtocol(DecodeError::FrameLength { announced }));
    assert_eq!(of(&deaf), Err(Silence::Deaf));
    assert_eq!(of(&closing), Err(Silence::Closed));
    assert_eq!(of(&web), too_long(i32::from_be_bytes(*b"HTTP")));
    assert_eq!(of(&huge), too_long(10_000_000));
    assert_eq!(of(&short), Err(Silence::NotTheProtocol(DecodeError::Length { bytes: 4 })));
    assert_eq!(of(&trickling), Err(Silence::Deaf));
    assert_eq!(outcome(&nobody), Err(Silence::Refused));
    assert_eq!(outcome("nowhere..invalid:3888"), Err(Silence::Unresolved));
    let flooded = of(&flooding).expect("its last words in time");
    assert_eq!(flooded.ballot.state, ServerState::Following);
    assert!(flooded.config.is_some_and(|config| config.is_err()));

    // The last word of the good one counts, and it is known although its address is not the configuration's.
    assert_eq!(of(&good).expect("an answer").ballot.state, ServerState::Leading, "{inspection}");
    let who = |id: i64| Who::Server(ServerId(id));
    let flooding_at = Who::At(flooding.address.clone());
    let found =
        |finding: Finding| assert!(inspection.findings.contains(&finding), "{finding:?}\n{inspection}");
    found(Finding::NotReached { who: who(3), why: Silence::Unresolved });
    found(Finding::Unidentified { who: vec![flooding_at] });
    let deaf_ones = inspection.findings.iter().find_map(|finding| match finding {
        Finding::Deaf { who } => Some(who.clone()),
        _ => None,
    });
    assert_eq!(deaf_ones, Some(vec![who(2), Who::At(trickling.address.clone())]), "{inspection}");

    // Each was asked once, the one that was given twice and the one that has a name as well too.
    for listener in all {
        assert_eq!(*listener.connections.lock().unwrap(), 1, "{}", listener.address);
    }
}

#[tokio::test]
async fn every_connection_has_an_id_of_its_own() {
    let greetings: Arc<Mutex<Vec<ServerId>>> = Arc::default();
    let good = server("server.1=127.0.0.1:1:2\nversion=0".into(), Arc::clone(&greetings)).await;
    for inspected in join_all((0..100).map(|_| inspect(&good.address))).await {
        assert!(inspected.is_ok_and(|it| it.servers.iter().any(|server| server.outcome.is_ok())));
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
    let refused = inspect(&server.address).await.unwrap_err();
    assert_eq!(refused, InspectError::ServerId { id: ServerId((1 << 62) + 5) });
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
