//! Scenarios on the engine alone: virtual time, no sockets, the same outputs for the same inputs.

use std::time::Duration;

use crate::acl::{ALL, Asked};
use crate::engine::{ConnectionId, Engine, Message, Output};
use crate::reply::{Body, EventKind, Reply};
use crate::request::{Action, ConnectRequest, CreateAnswer, Request, Write, create};
use crate::session_id::SessionId;

const TICK: Duration = Duration::from_millis(100);

/// An engine, its time, and the clients that are connected.
struct Scene {
    engine: Engine,
    now: Duration,
    connections: u64,
    xid: i32,
}

/// A client, by its connection and its session.
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

    /// Connects, with the session of an earlier client or with a new one, and a timeout of 300 ms.
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
        let anyone = Asked { permissions: ALL, scheme: Some("world".into()), id: Some("anyone".into()) };
        let answer = match flags {
            create::CONTAINER => CreateAnswer::PathAndStatOfContainer,
            _ => CreateAnswer::Path,
        };
        self.write(
            client,
            path,
            Action::Create { data: None, acl: vec![anyone], flags, time_to_live: -1, answer },
        )
    }

    fn write(&mut self, client: Client, path: &str, action: Action) -> Vec<Output> {
        self.request(client, Request::Write(Write { path: Some(path.into()), action }))
    }

    /// Time passes.
    fn wait(&mut self, milliseconds: u64) -> Vec<Output> {
        self.now += Duration::from_millis(milliseconds);
        let mut out = Vec::new();
        self.engine.tick(self.now, &mut out);
        out
    }
}

/// What is put out, in short.
fn told(out: &[Output]) -> Vec<String> {
    let tell = |Output { to, message }: &Output| match message {
        Message::Connected(_) => format!("{to} connected"),
        Message::Reply(Reply { result: Ok(Body::Path(path)), zxid, .. }) => {
            format!("{to} created {path} {zxid}")
        }
        Message::Reply(Reply { result, zxid, .. }) => format!("{to} {} {zxid}", result.is_ok()),
        Message::Event(event) => format!("{to} {:?} {}", event.kind, event.path),
        Message::Close => format!("{to} closed"),
        Message::Cut => format!("{to} cut"),
    };
    out.iter().map(tell).collect()
}

/// Three contenders in a queue, of which each watches the one before; then the first is not heard of any more.
fn an_election() -> Vec<String> {
    let mut scene = Scene::new();
    let mut log = Vec::new();
    let clients: Vec<Client> = (0..3).filter_map(|_| scene.connect(None)).collect();
    log.extend(told(&scene.create(clients[0], "/app", create::PERSISTENT)));
    for client in &clients {
        log.extend(told(&scene.create(*client, "/app/guid_", create::EPHEMERAL_SEQUENTIAL)));
    }
    for (i, client) in clients.iter().enumerate().skip(1) {
        let path = format!("/app/guid_000000000{}", i - 1);
        log.extend(told(&scene.request(*client, Request::Exists { path, watch: true })));
    }
    for _ in 0..4 {
        for client in &clients[1..] {
            scene.request(*client, Request::Ping);
        }
        log.extend(told(&scene.wait(100)));
    }
    log
}

#[test]
fn an_expired_contender_is_followed_by_the_next_and_wakes_nobody_else() {
    let log = an_election();
    let expected = [
        "1 created /app 4",
        "1 created /app/guid_0000000000 5",
        "2 created /app/guid_0000000001 6",
        "3 created /app/guid_0000000002 7",
        "2 true 7",
        "3 true 7",
        "2 Deleted /app/guid_0000000000",
        "1 cut",
    ];
    assert_eq!(log, expected);
}

#[test]
fn the_same_inputs_have_the_same_outputs() {
    assert_eq!(an_election(), an_election());
    let (one, other) = (Scene::new().connect(None), Scene::new().connect(None));
    assert_eq!(one.map(|it| (it.session, it.password)), other.map(|it| (it.session, it.password)));
}

#[test]
fn a_session_that_is_taken_up_again_lives_on_and_its_old_connection_ends() {
    let mut scene = Scene::new();
    let first = scene.connect(None).unwrap();
    scene.create(first, "/mine", create::EPHEMERAL);
    scene.wait(200);
    let again = scene.connect(Some(first)).unwrap();
    assert_eq!(again.session, first.session);
    assert!(!scene.engine.is_open(first.connection));
    // Counted anew from the moment of the connection.
    assert_eq!(told(&scene.wait(250)), [""; 0]);
    assert!(matches!(
        scene.request(again, Request::Exists { path: "/mine".into(), watch: false })[0].message,
        Message::Reply(Reply { result: Ok(_), .. })
    ));
    assert_eq!(told(&scene.wait(500)), ["2 cut"]);
    assert!(scene.connect(Some(first)).is_none());
}

#[test]
fn a_session_that_ends_leaves_in_the_order_in_which_it_came() {
    let mut scene = Scene::new();
    let (leaving, watcher) = (scene.connect(None).unwrap(), scene.connect(None).unwrap());
    for path in ["/c", "/a", "/b"] {
        scene.create(leaving, path, create::EPHEMERAL);
        scene.request(watcher, Request::Exists { path: path.into(), watch: true });
    }
    let out = scene.request(leaving, Request::CloseSession);
    assert_eq!(told(&out), ["2 Deleted /c", "2 Deleted /a", "2 Deleted /b", "1 true 6", "1 closed"]);
}

#[test]
fn whoever_has_a_session_is_not_given_another_one() {
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
    assert_eq!((told(&out), scene.engine.sessions.alive().count()), (vec![], 1));
}

#[test]
fn a_container_goes_some_time_after_its_last_child() {
    let mut scene = Scene::new();
    let client = scene.connect(None).unwrap();
    scene.create(client, "/box", create::CONTAINER);
    scene.create(client, "/box/a", create::PERSISTENT);
    let watcher = scene.connect(None).unwrap();
    let gone = |out: &[Output]| {
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
        assert_eq!(gone(&out), second == 119, "after {second} s");
    }
}
