//! What users get wrong, and what they are told: an error each that names the thing and says what to write.

use std::time::Duration;

use crate::support::{PATIENCE, ZooKeeper, connect, on_both_servers, unique_path};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use zookeeper_election::zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Permission};
use zookeeper_election::{ElectionBuilder, Error, MAX_IDENTITY_BYTES, Mode, Session};

on_both_servers! {
    each_mistake_is_answered_with_what_is_wrong_and_what_to_write_instead;
    credentials_that_the_ensemble_rejects_end_the_connecting;
    credentials_admit_to_what_others_are_refused;
}

/// A wrong election: how to configure it, and the parts of the message.
struct Case {
    name: &'static str,
    path: &'static str,
    configure: fn(ElectionBuilder) -> ElectionBuilder,
    expected: &'static [&'static str],
}

const fn case(name: &'static str, path: &'static str, expected: &'static [&'static str]) -> Case {
    Case { name, path, configure: |builder| builder, expected }
}

/// Refused when built, or by the campaign.
const ELECTIONS: &[Case] = &[
    case("no leading slash", "app/x", &["\"app/x\"", "does not begin with a slash", "/app/leader_election"]),
    case("trailing slash", "/app/x/", &["\"/app/x/\"", "ends in a slash"]),
    case("empty path", "", &["it is empty"]),
    case("the root", "/", &["the root"]),
    case("empty part", "/app//x", &["two slashes"]),
    case("relative", "/app/../x", &["relative"]),
    case("control character", "/app/\u{1}", &["a character that ZooKeeper does not allow"]),
    case("reserved", "/zookeeper/x", &["reserved"]),
    Case {
        configure: |builder| builder.identity(""),
        ..case("empty identity", "/app/x", &["the identity is empty", "host-a:8080"])
    },
    Case {
        configure: |builder| builder.identity("x".repeat(2 << 20)),
        ..case("identity of 2 MB", "/app/x", &["2097152 bytes", "65536"])
    },
    Case {
        configure: |builder| builder.identity("x".repeat(MAX_IDENTITY_BYTES + 1)),
        ..case("identity just too long", "/app/x", &["65537 bytes"])
    },
    Case {
        configure: |builder| builder.node_prefix(""),
        ..case("empty prefix", "/app/x", &["invalid node prefix", "guid_"])
    },
    Case {
        configure: |builder| builder.node_prefix("a/b"),
        ..case("prefix with a slash", "/app/x", &["\"a/b\"", "contains a slash"])
    },
    Case { configure: |builder| builder.acl(&[]), ..case("empty ACL", "/app/x", &["ACL for /app/x"]) },
    Case {
        configure: |builder| builder.acl(&Acls::creator_all()),
        ..case(
            "creator's ACL without credentials",
            "/app/x",
            &["ACL for /app/x", "`auth` without credentials"],
        )
    },
    case("directory without permission", "/closed/x", &["no permission to create /closed/x", "credentials"]),
    case("list without permission", "/unreadable", &["no permission to list /unreadable"]),
    Case {
        configure: |builder| builder.mode(Mode::Master),
        ..case("persistent znode in master mode", "/occupied", &["/occupied is not an ephemeral znode"])
    },
    case("directory that is ephemeral", "/ephemeral", &["/ephemeral is an ephemeral znode"]),
];

fn says(name: &str, error: &Error, expected: &[&str]) {
    let message = error.to_string();
    println!("{name}: {message}");
    for part in expected {
        assert!(message.contains(part), "{name}: {message:?} does not say {part:?}");
    }
}

async fn each_mistake_is_answered_with_what_is_wrong_and_what_to_write_instead(zookeeper: ZooKeeper) {
    wrong_elections(&zookeeper).await;
    wrong_sessions(&zookeeper).await;
}

async fn wrong_elections(zookeeper: &ZooKeeper) {
    let servers = zookeeper.connect_string();
    let operator = Client::connect(&servers).await.unwrap();
    let only = |permission| [Acl::new(permission, AuthId::new("world", "anyone"))];
    let create = async |path: &str, mode: CreateMode, acl: &[Acl]| {
        operator.create(path, b"", &mode.with_acls(Acls::new(acl))).await.unwrap();
    };
    create("/closed", CreateMode::Persistent, &only(Permission::READ)).await;
    let write_only = Permission::CREATE | Permission::DELETE;
    create("/unreadable", CreateMode::Persistent, &only(write_only)).await;
    create("/occupied", CreateMode::Persistent, &only(Permission::ALL)).await;
    create("/ephemeral", CreateMode::Ephemeral, &only(Permission::ALL)).await;

    let session = connect(&servers).await;
    for Case { name, path, configure, expected } in ELECTIONS {
        let error = match configure(session.election(path)).build() {
            Err(error) => error,
            Ok(election) => {
                let ended = tokio::time::timeout(PATIENCE, election.campaign()).await;
                let error = ended.unwrap_or_else(|_| panic!("{name}: no end")).expect_err(name);
                election.withdraw().await.unwrap();
                error
            }
        };
        says(name, &error, expected);
    }
    let stat = operator.check_stat("/unreadable").await.unwrap().unwrap();
    assert_eq!(stat.num_children, 0, "the znode that could not be listed is removed");

    let election = session.election("/occupied").mode(Mode::Master).build().unwrap();
    let error = election.leader().await.expect_err("a persistent znode is no master");
    says("a look at it", &error, &["/occupied is not an ephemeral znode"]);

    // The session has lost nothing by all that.
    let path = unique_path("good");
    let election = session.election(&path).identity("x".repeat(MAX_IDENTITY_BYTES)).build().unwrap();
    election.campaign().await.unwrap().resign().await.unwrap();
}

async fn wrong_sessions(zookeeper: &ZooKeeper) {
    let server = zookeeper.connect_string();
    let stranger = http_server().await;
    let long = Duration::from_secs(1 << 40);
    let cases: &[(&str, String, Duration, &[&str])] = &[
        ("session timeout 0", server.clone(), Duration::ZERO, &["invalid session timeout 0ns", "1 ms"]),
        ("endless session timeout", server.clone(), long, &["invalid session timeout", "2147483647"]),
        ("empty connect string", String::new(), PATIENCE, &["invalid connect string \"\"", "zk1:2181"]),
        ("white space", "zk1:2181, zk2:2181".into(), PATIENCE, &["white space"]),
        ("no port number", "zk1:none".into(), PATIENCE, &["a port is not a number"]),
        (
            "a wrong chroot",
            format!("{server}/app/"),
            PATIENCE,
            &["invalid connect string", "ends in a slash"],
        ),
        (
            "missing chroot",
            format!("{server}/not/there"),
            PATIENCE,
            &["chroot /not/there does not exist", "create"],
        ),
        (
            "not ZooKeeper",
            stranger.clone(),
            PATIENCE,
            &[&stranger, "does not speak ZooKeeper", "HTTP/1.1 400 Bad Request"],
        ),
    ];
    for (name, connect_string, session_timeout, expected) in cases {
        let builder = Session::builder().session_timeout(*session_timeout);
        let connected = tokio::time::timeout(PATIENCE, builder.connect(connect_string)).await;
        let error = connected.unwrap_or_else(|_| panic!("{name}: no end")).expect_err(name);
        says(name, &error, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_for_connecting_says_what_was_met() {
    // Bound and not listening: connections are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let builder = Session::builder().connect_timeout(Duration::from_millis(500));
    let error = builder.connect(&address).await.expect_err("nobody listens");
    says("refused", &error, &["no ZooKeeper session after", &address, "refused"]);

    // A client whose server never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let builder = Session::builder()
        .session_timeout(Duration::from_millis(500))
        .connect_timeout(Duration::from_secs(4));
    let error = builder.connect(&address).await.expect_err("nobody answers");
    says("silent", &error, &[&address, "it says nothing"]);
}

async fn credentials_that_the_ensemble_rejects_end_the_connecting(zookeeper: ZooKeeper) {
    let builder = Session::builder().auth("no-such-scheme", b"secret");
    let connected = tokio::time::timeout(PATIENCE, builder.connect(&zookeeper.connect_string())).await;
    let error = connected.expect("an end").expect_err("a wrong scheme");
    says("wrong scheme", &error, &["rejected the session's credentials", "scheme"]);
}

async fn credentials_admit_to_what_others_are_refused(zookeeper: ZooKeeper) {
    let path = unique_path("private");
    let servers = zookeeper.connect_string();
    let owner = Session::builder().auth("digest", b"user:secret").connect(&servers).await.unwrap();
    let election = owner.election(&path).acl(&Acls::creator_all()).build().unwrap();
    let leadership = election.campaign().await.unwrap();
    let stranger = connect(&servers).await;
    let error = stranger.election(&path).build().unwrap().campaign().await.expect_err("no permission");
    says("a stranger", &error, &["no permission to create"]);
    let error = stranger.election(&path).build().unwrap().leader().await.expect_err("no permission");
    says("a stranger's look", &error, &["no permission to list"]);
    assert!(leadership.is_valid());
}

/// Something that answers as an HTTP server answers to nonsense.
async fn http_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut buffer = [0; 512];
                while !request.ends_with(b"\r\n\r\n") && request.len() < 40 {
                    match stream.read(&mut buffer).await {
                        Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                        _ => return,
                    }
                }
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
            });
        }
    });
    address
}
