//! The answers to four-letter words, with which operators and scripts query a server.

use std::fmt::Write as _;
use std::time::Duration;

use crate::protocol::request::op;
use crate::server::state::{ConnectionHandle, State, Traffic};

/// Whether these first bytes of a connection are a four-letter word, and not the length of a connect request.
pub(super) fn is_known(word: &[u8; 4]) -> bool {
    matches!(word, b"ruok" | b"isro" | b"srvr" | b"stat" | b"mntr" | b"cons" | b"dump" | b"wchs" | b"wchp")
}

/// The answer to a word, in the format of ZooKeeper 3.8. Some fields are left out.
pub(super) fn answer(word: [u8; 4], state: &State) -> String {
    let mut text = String::new();
    match &word {
        b"ruok" => text.push_str("imok"),
        b"isro" => text.push_str("rw"),
        b"srvr" => server(&mut text, state, false),
        b"stat" => server(&mut text, state, true),
        b"mntr" => monitor(&mut text, state),
        b"cons" => connections(&mut text, state, true),
        b"dump" => dump(&mut text, state),
        b"wchs" => {
            let (connections, paths, total) = state.engine.watches.summary();
            line(
                &mut text,
                format_args!("{connections} connections watching {paths} paths\nTotal watches:{total}"),
            );
        }
        b"wchp" => watches_by_path(&mut text, state),
        _ => {}
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{line}");
}

/// The version. It starts with a version of ZooKeeper, because scripts parse it.
fn version() -> String {
    format!("3.8.0-embedded, {} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}

fn server(text: &mut String, state: &State, with_clients: bool) {
    line(text, format_args!("Zookeeper version: {}", version()));
    if with_clients {
        line(text, format_args!("Clients:"));
        connections(text, state, false);
    }
    let Traffic { received, sent, slowest, .. } = state.traffic;
    line(text, format_args!("Latency min/avg/max: 0/{:.4}/{}", average(&state.traffic), slowest.as_millis()));
    line(text, format_args!("Received: {received}\nSent: {sent}\nConnections: {}", state.connections.len()));
    line(text, format_args!("Outstanding: 0\nZxid: {:#x}\nMode: standalone", state.engine.zxid()));
    line(text, format_args!("Node count: {}", node_count(state)));
}

fn connections(text: &mut String, state: &State, detailed: bool) {
    let mut connections: Vec<_> = state.connections.iter().collect();
    connections.sort_unstable_by_key(|(connection, _)| **connection);
    for (connection, ConnectionHandle { address, session, traffic, .. }) in connections {
        let Traffic { received, sent, last_op, last_xid, slowest, .. } = traffic;
        let _ = write!(text, " /{address}[1](queued=0,recved={received},sent={sent}");
        if let (true, Some(session)) = (detailed, session) {
            let timeout = state.engine.timeout(*connection).as_millis();
            let _ = write!(text, ",sid={session},lop={},to={timeout}", name(*last_op));
            if *last_xid >= 0 {
                let _ = write!(text, ",lcxid={last_xid:#x}");
            }
            let (zxid, average) = (state.engine.zxid(), average(traffic).trunc());
            let _ = write!(text, ",lzxid={zxid:#x},minlat=0,avglat={average},maxlat={}", slowest.as_millis());
        }
        line(text, format_args!(")"));
    }
    line(text, format_args!(""));
}

/// ZooKeeper's short names of operations.
const fn name(op_code: i32) -> &'static str {
    match op_code {
        op::PING => "PING",
        op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => "CREA",
        op::DELETE => "DELE",
        op::EXISTS => "EXIS",
        op::GET_DATA => "GETD",
        op::SET_DATA => "SETD",
        op::GET_ACL => "GETA",
        op::SET_ACL => "SETA",
        op::GET_CHILDREN | op::GET_CHILDREN2 => "GETC",
        op::SYNC => "SYNC",
        op::CHECK => "CHEC",
        op::MULTI => "MULT",
        op::MULTI_READ => "MLTR",
        op::CHECK_WATCHES => "CHKW",
        op::REMOVE_WATCHES => "REMW",
        op::SET_WATCHES => "SETW",
        op::SET_WATCHES2 => "STW2",
        op::ADD_WATCH => "ADDW",
        op::WHO_AM_I => "HOMI",
        op::GET_EPHEMERALS => "GETE",
        op::GET_ALL_CHILDREN_NUMBER => "GETACN",
        op::CLOSE_SESSION => "CLOS",
        _ => "SESS",
    }
}

/// The number of znodes. As in ZooKeeper, the root counts twice.
fn node_count(state: &State) -> usize {
    state.engine.tree.len() + 1
}

fn monitor(text: &mut String, state: &State) {
    let tree = &state.engine.tree;
    let ephemerals: usize = tree.owners().map(|session| tree.ephemerals(session).count()).sum();
    let watches = state.engine.watches.len();
    let mut value = |key: &str, value: &dyn std::fmt::Display| line(text, format_args!("zk_{key}\t{value}"));
    value("version", &version());
    value("server_state", &"standalone");
    value("uptime", &state.uptime().as_millis());
    value("avg_latency", &format_args!("{:.4}", average(&state.traffic)));
    value("max_latency", &state.traffic.slowest.as_millis());
    value("min_latency", &0);
    value("packets_received", &state.traffic.received);
    value("packets_sent", &state.traffic.sent);
    value("num_alive_connections", &state.connections.len());
    value("outstanding_requests", &0);
    value("znode_count", &node_count(state));
    value("watch_count", &watches);
    value("ephemerals_count", &ephemerals);
    value("approximate_data_size", &tree.size());
    value("global_sessions", &state.engine.sessions.alive().len());
}

fn dump(text: &mut String, state: &State) {
    let (tree, sessions) = (&state.engine.tree, &state.engine.sessions);
    let by_expiry: Vec<_> = sessions.by_expiry().collect();
    let sets = by_expiry.chunk_by(|one, next| one.0 == next.0);
    line(
        text,
        format_args!("SessionTracker dump:\nSession Sets ({})/({}):", sets.clone().count(), by_expiry.len()),
    );
    for set in sets {
        let left = set[0].0.saturating_sub(state.uptime());
        line(text, format_args!("{} expire in {} ms:", set.len(), left.as_millis()));
        set.iter().for_each(|(_, session)| line(text, format_args!("\t{session}")));
    }
    let mut owners: Vec<_> = tree.owners().collect();
    owners.sort_unstable_by_key(|session| session.raw());
    line(text, format_args!("ephemeral nodes dump:\nSessions with Ephemerals ({}):", owners.len()));
    for session in owners {
        line(text, format_args!("{session}:"));
        tree.ephemerals(session).for_each(|path| line(text, format_args!("\t{path}")));
    }
}

/// The sessions with watches on data, by path. As in ZooKeeper, watches on children are left out.
fn watches_by_path(text: &mut String, state: &State) {
    let mut watched: Vec<_> = state.engine.watches.of_data().collect();
    watched.sort_unstable_by_key(|(path, _)| *path);
    for (path, connections) in watched {
        line(text, format_args!("{path}"));
        let sessions = connections.filter_map(|connection| state.engine.session(connection));
        sessions.for_each(|session| line(text, format_args!("\t{session}")));
    }
    line(text, format_args!(""));
}

/// The average time to handle a request, in milliseconds.
fn average(traffic: &Traffic) -> f64 {
    let milliseconds = traffic.total / u32::try_from(traffic.received).unwrap_or(u32::MAX).max(1);
    milliseconds.as_secs_f64() / Duration::from_millis(1).as_secs_f64()
}
