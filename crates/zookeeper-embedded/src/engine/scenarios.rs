//! Scenarios on the engine alone, with virtual time and without sockets.

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::connection_id::ConnectionId;
use crate::engine::output::{Message, Output};
use crate::protocol::acl::anyone;
use crate::protocol::reply::{Body, EventKind, Reply};
use crate::protocol::request::{Action, ConnectRequest, CreateAnswer, Request, Write, create};
use crate::session_id::SessionId;

const TICK: Duration = Duration::from_millis(100);

/// An engine with its clock and counters.
struct Scene {
    engine: Engine,
    now: Duration,
    connections: u64,
    xid: i32,
}

/// A connected client.
#[derive(Clone, Copy)]
struct Client {
    connection: ConnectionId,
    session: SessionId,
    password: [u8; 16],
}

impl Scene {
    fn new() -> Self {
        Self {
            engine: Engine::new(TICK, 1_700_000_000_000, SessionId::from_raw(0x100), 7),
            now: Duration::ZERO,
            connections: 0,
            xid: 0,
        }
    }

    /// Connects with a session timeout of 300 ms; resumes the session of `before`, or opens a new one.
    fn connect(&mut self, before: Option<Client>) -> Option<Client> {
        self.connections += 1;
        let connection = ConnectionId::new(self.connections);
        self.engine.opened(connection, [127, 0, 0, 1].into());
        let request = ConnectRequest {
            last_zxid: 0,
            timeout: 300,
            session: before.map_or(SessionId::from_raw(0), |before| before.session),
            password: before.map_or(vec![0; 16], |before| before.password.to_vec()),
            knows_read_only: true,
        };
        let mut out = Vec::new();
        self.engine.connect(self.now, connection, &request, &mut out);
        out.into_iter().find_map(|output| match output.message {
            Message::Connected(response) if response.timeout > 0 => {
                Some(Client { connection, session: response.session, password: response.password })
            }
            _ => None,
        })
    }

    fn request(&mut self, client: Client, request: Request) -> Vec<Output> {
        self.xid += 1;
        let mut out = Vec::new();
        self.engine.request(self.now, client.connection, self.xid, Some(request), &mut out);
        out
    }

    fn create(&mut self, client: Client, path: &str, flags: i32) -> Vec<Output> {
        let answer = match flags {
            create::CONTAINER => CreateAnswer::PathAndStatOfContainer,
            _ => CreateAnswer::Path,
        };
        self.write(
            client,
            path,
            Action::Create { data: None, acl: vec![anyone()], flags, time_to_live: -1, answer },
        )
    }

    fn write(&mut self, client: Client, path: &str, action: Action) -> Vec<Output> {
        self.request(client, Request::Write(Write { path: Some(path.into()), action }))
    }

    /// Advances the clock, and returns the outputs of the tick.
    fn wait(&mut self, milliseconds: u64) -> Vec<Output> {
        self.now += Duration::from_millis(milliseconds);
        let mut out = Vec::new();
        self.engine.tick(self.now, &mut out);
        out
    }
}

/// A short text for each output.
fn summary(out: &[Output]) -> Vec<String> {
    let line = |Output { to, message }: &Output| match message {
        Message::Connected(_) => format!("{to} connected"),
        Message::Reply(Reply { result: Ok(Body::Path(path)), zxid, .. }) => {
            format!("{to} created {path} {zxid}")
        }
        Message::Reply(Reply { result, zxid, .. }) => format!("{to} {} {zxid}", result.is_ok()),
        Message::Event(event) => format!("{to} {:?} {}", event.kind, event.path),
        Message::Close => format!("{to} closed"),
        Message::Cut => format!("{to} cut"),
    };
    out.iter().map(line).collect()
}

/// Three clients create ephemeral sequential znodes, and each watches the znode before its own. Then the first client
/// stops sending heartbeats.
fn a_queue() -> Vec<String> {
    let mut scene = Scene::new();
    let mut log = Vec::new();
    let clients: Vec<Client> = (0..3).filter_map(|_| scene.connect(None)).collect();
    log.extend(summary(&scene.create(clients[0], "/app", create::PERSISTENT)));
    for client in &clients {
        log.extend(summary(&scene.create(*client, "/app/n_", create::EPHEMERAL_SEQUENTIAL)));
    }
    for (i, client) in clients.iter().enumerate().skip(1) {
        let path = format!("/app/n_000000000{}", i - 1);
        log.extend(summary(&scene.request(*client, Request::Exists { path, watch: true })));
    }
    for _ in 0..4 {
        for client in &clients[1..] {
            scene.request(*client, Request::Ping);
        }
        log.extend(summary(&scene.wait(100)));
    }
    log
}

#[test]
fn an_expired_session_sends_an_event_only_to_the_client_that_watches_its_znode() {
    let log = a_queue();
    let expected = [
        "1 created /app 4",
        "1 created /app/n_0000000000 5",
        "2 created /app/n_0000000001 6",
        "3 created /app/n_0000000002 7",
        "2 true 7",
        "3 true 7",
        "2 Deleted /app/n_0000000000",
        "1 cut",
    ];
    assert_eq!(log, expected);
}

#[test]
fn the_same_inputs_have_the_same_outputs() {
    assert_eq!(a_queue(), a_queue());
    let (one, other) = (Scene::new().connect(None), Scene::new().connect(None));
    assert_eq!(one.map(|it| (it.session, it.password)), other.map(|it| (it.session, it.password)));
}

#[test]
fn a_resumed_session_stays_alive_and_its_previous_connection_is_closed() {
    let mut scene = Scene::new();
    let first = scene.connect(None).unwrap();
    scene.create(first, "/mine", create::EPHEMERAL);
    scene.wait(200);
    let again = scene.connect(Some(first)).unwrap();
    assert_eq!(again.session, first.session);
    assert!(!scene.engine.is_open(first.connection));
    // The timeout restarts when the session is resumed.
    assert_eq!(summary(&scene.wait(250)), [""; 0]);
    assert!(matches!(
        scene.request(again, Request::Exists { path: "/mine".into(), watch: false })[0].message,
        Message::Reply(Reply { result: Ok(_), .. })
    ));
    assert_eq!(summary(&scene.wait(500)), ["2 cut"]);
    assert!(scene.connect(Some(first)).is_none());
}

#[test]
fn ephemeral_znodes_are_deleted_in_the_order_of_their_creation() {
    let mut scene = Scene::new();
    let (leaving, watcher) = (scene.connect(None).unwrap(), scene.connect(None).unwrap());
    for path in ["/c", "/a", "/b"] {
        scene.create(leaving, path, create::EPHEMERAL);
        scene.request(watcher, Request::Exists { path: path.into(), watch: true });
    }
    let out = scene.request(leaving, Request::CloseSession);
    assert_eq!(summary(&out), ["2 Deleted /c", "2 Deleted /a", "2 Deleted /b", "1 true 6", "1 closed"]);
}

#[test]
fn a_second_connect_request_on_a_connection_is_ignored() {
    let mut scene = Scene::new();
    let client = scene.connect(None).unwrap();
    let request = ConnectRequest {
        last_zxid: 0,
        timeout: 300,
        session: SessionId::from_raw(0),
        password: vec![],
        knows_read_only: false,
    };
    let mut out = Vec::new();
    scene.engine.connect(scene.now, client.connection, &request, &mut out);
    assert_eq!((summary(&out), scene.engine.sessions.alive().count()), (vec![], 1));
}

#[test]
fn an_empty_container_is_deleted_at_the_next_check() {
    let mut scene = Scene::new();
    let client = scene.connect(None).unwrap();
    scene.create(client, "/box", create::CONTAINER);
    scene.create(client, "/box/a", create::PERSISTENT);
    let watcher = scene.connect(None).unwrap();
    let is_deleted = |out: &[Output]| {
        out.iter().any(|it| matches!(&it.message, Message::Event(event) if event.kind == EventKind::Deleted))
    };
    for second in 0..130 {
        if second == 61 {
            scene.write(client, "/box/a", Action::Delete { version: -1 });
            scene.request(watcher, Request::Exists { path: "/box".into(), watch: true });
        }
        let mut out = Vec::new();
        for _ in 0..10 {
            scene.request(client, Request::Ping);
            scene.request(watcher, Request::Ping);
            out.extend(scene.wait(100));
        }
        assert_eq!(is_deleted(&out), second == 119, "after {second} s");
    }
}
