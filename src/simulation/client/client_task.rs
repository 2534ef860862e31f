//! The task of a simulated client: one connection after another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use zookeeper_client as zk;
use zookeeper_embedded::replica::{Body, EventKind, Request, SetWatches};

use super::network_interface::{Line, NetworkInterface};
use super::requests;
use crate::runtime;
use crate::session::seam::Fired;
use crate::simulation::network::{Down, Up};
use crate::simulation::settings::SERVERS;
use crate::timestamp::Timestamp;
use crate::types::SessionId;

pub(super) type ClientAnswer = Result<Body, zk::Error>;

pub(super) enum ClientCommand {
    Request {
        request: Request,
        /// The watch that the request sets: of the first kind if the znode exists, or else of the second.
        watch: Option<NewWatch>,
        reply: oneshot::Sender<ClientAnswer>,
    },
    /// Close the session.
    Close,
}

type NewWatch = (String, [WatchKind; 2], oneshot::Sender<Fired>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WatchKind {
    Data,
    Exist,
    Child,
}

pub(super) struct ClientTask {
    session: SessionId,
    /// The session timeout that was negotiated over the current connection, or the last.
    timeout: Duration,
    /// If not, it vanishes with its first connection.
    reconnects: bool,
    commands: mpsc::UnboundedReceiver<ClientCommand>,
    states: watch::Sender<zk::SessionState>,
    watches: BTreeMap<(String, WatchKind), Vec<oneshot::Sender<Fired>>>,
    /// The requests that were sent over the current connection.
    calls: BTreeMap<i32, Call>,
    xids: i32,
    /// The last transaction that it has seen.
    seen: i64,
    /// When the last packet arrived.
    heard: Timestamp,
    /// The session is to be closed, or is being closed.
    closing: bool,
}

/// A request that was sent.
enum Call {
    Request {
        watch: Option<NewWatch>,
        reply: oneshot::Sender<ClientAnswer>,
    },
    /// The reply to it announces the connection.
    SetWatches,
    Close,
    Ignored,
}

/// Why a connection ended.
enum End {
    Lost,
    /// The whole client ends.
    Over(zk::SessionState),
}

impl ClientTask {
    pub(super) fn new(
        session: SessionId,
        timeout: Duration,
        reconnects: bool,
        commands: mpsc::UnboundedReceiver<ClientCommand>,
        states: watch::Sender<zk::SessionState>,
    ) -> Self {
        Self {
            session,
            timeout,
            reconnects,
            commands,
            states,
            watches: BTreeMap::new(),
            calls: BTreeMap::new(),
            xids: 0,
            seen: 0,
            heard: runtime::now(),
            closing: false,
        }
    }

    pub(super) async fn serve(mut self, mut line: Line) {
        loop {
            if let End::Over(state) = self.use_line(&mut line).await {
                return self.end(state);
            }
            let interface = line.interface().clone();
            drop(line);
            for (_, call) in std::mem::take(&mut self.calls) {
                call.fail(zk::Error::ConnectionLoss);
            }
            self.states.send_replace(zk::SessionState::Disconnected);
            if !self.reconnects {
                return self.forget();
            }
            line = match self.reconnect(&interface).await {
                Ok(line) => line,
                Err(state) => return self.end(state),
            };
        }
    }

    /// Uses a connection until it ends.
    async fn use_line(&mut self, line: &mut Line) -> End {
        loop {
            let silence = runtime::sleep_until(self.heard + self.timeout.mul_f64(0.45));
            tokio::select! {
                biased;
                packet = line.receive() => {
                    self.heard = runtime::now();
                    if let Some(end) = self.receive(line, packet) {
                        return end;
                    }
                }
                command = self.commands.recv(), if !self.closing => match command {
                    Some(ClientCommand::Request { request, watch, reply }) => {
                        self.send(line, request, Call::Request { watch, reply });
                    }
                    Some(ClientCommand::Close) | None => {
                        self.closing = true;
                        self.send(line, Request::CloseSession, Call::Close);
                    }
                },
                () = silence => return End::Lost,
            }
        }
    }

    fn send(&mut self, line: &Line, request: Request, call: Call) {
        self.xids += 1;
        line.send(Up::Request { xid: self.xids, request });
        self.calls.insert(self.xids, call);
    }

    fn receive(&mut self, line: &Line, packet: Down) -> Option<End> {
        match packet {
            Down::Reply { xid, zxid, result } => {
                self.seen = self.seen.max(zxid);
                return self.on_reply(xid, result.map_err(requests::error));
            }
            Down::Event(event) => {
                let fired = if event.kind == EventKind::Deleted { Fired::Deleted } else { Fired::Changed };
                let kinds: &[WatchKind] = match event.kind {
                    EventKind::ChildrenChanged => &[WatchKind::Child],
                    EventKind::Deleted => &[WatchKind::Data, WatchKind::Exist, WatchKind::Child],
                    EventKind::Created | EventKind::DataChanged => &[WatchKind::Data, WatchKind::Exist],
                };
                for kind in kinds {
                    let watches = self.watches.remove(&(event.path.clone(), *kind)).unwrap_or_default();
                    if fired == Fired::Deleted && watches.iter().any(|watch| !watch.is_closed()) {
                        line.interface().departed(&event.path);
                    }
                    for watch in watches {
                        let _ = watch.send(fired);
                    }
                }
            }
            Down::Expired => return Some(End::Over(zk::SessionState::Expired)),
            Down::Closed => return Some(End::Lost),
            Down::Connected(..) => unreachable!("it is connected"),
        }
        None
    }

    fn on_reply(&mut self, xid: i32, answer: ClientAnswer) -> Option<End> {
        match self.calls.remove(&xid) {
            Some(Call::Request { watch, reply }) => {
                if let Some((path, [existing, missing], event)) = watch {
                    let kind = match &answer {
                        Ok(_) => Some(existing),
                        Err(zk::Error::NoNode) if existing != missing => Some(missing),
                        Err(_) => None,
                    };
                    kind.into_iter().zip([event]).for_each(|(kind, event)| {
                        self.watches.entry((path.clone(), kind)).or_default().push(event)
                    });
                }
                let _ = reply.send(answer);
            }
            Some(Call::SetWatches) => drop(self.states.send_replace(zk::SessionState::SyncConnected)),
            Some(Call::Close) => return Some(End::Over(zk::SessionState::Closed)),
            Some(Call::Ignored) | None => {}
        }
        None
    }

    /// Connects again, to one server after another.
    async fn reconnect(&mut self, interface: &Arc<NetworkInterface>) -> Result<Line, zk::SessionState> {
        // By then the session must have expired.
        let deadline = self.heard + self.timeout.mul_f64(1.4);
        let mut attempts = 0;
        while runtime::now() < deadline {
            let pause = (Duration::from_millis(20) * (1 << attempts.min(8))).min(self.timeout / 8);
            attempts += 1;
            runtime::sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
            let mut line = Line::dial(interface, fastrand::usize(..SERVERS));
            let session = Some(zookeeper_embedded::SessionId::from_raw(self.session.raw()));
            line.send(Up::Connect { session, seen: self.seen, timeout: self.timeout });
            match runtime::timeout(self.timeout / 4, line.receive()).await {
                Ok(Down::Connected(_, timeout)) => {
                    (self.timeout, self.heard) = (timeout, runtime::now());
                    self.on_reconnected(&line);
                    return Ok(line);
                }
                Ok(Down::Expired) => return Err(zk::SessionState::Expired),
                Ok(_) | Err(_) => {}
            }
        }
        Err(zk::SessionState::Expired)
    }

    /// Sets the watches again. The state and the events may reach their readers in any order.
    fn on_reconnected(&mut self, line: &Line) {
        if self.closing {
            self.send(line, Request::CloseSession, Call::Close);
        }
        self.watches.values_mut().for_each(|watches| watches.retain(|watch| !watch.is_closed()));
        self.watches.retain(|_, watches| !watches.is_empty());
        let of_kind = |kind| {
            let of_kind = self.watches.keys().filter(move |(_, it)| *it == kind);
            of_kind.map(|(path, _)| path.clone()).collect::<Vec<_>>()
        };
        let (data, exists, children) =
            (of_kind(WatchKind::Data), of_kind(WatchKind::Exist), of_kind(WatchKind::Child));
        if !self.watches.is_empty() {
            let watches = SetWatches { seen: self.seen, data, exists, children, ..SetWatches::default() };
            let announces = fastrand::bool();
            self.send(
                line,
                Request::SetWatches(watches),
                if announces { Call::SetWatches } else { Call::Ignored },
            );
            if announces {
                return;
            }
        }
        self.states.send_replace(zk::SessionState::SyncConnected);
    }

    fn end(self, state: zk::SessionState) {
        self.states.send_replace(state);
        self.forget();
    }

    /// Fails all requests that wait for replies.
    fn forget(mut self) {
        self.commands.close();
        for (_, call) in std::mem::take(&mut self.calls) {
            call.fail(zk::Error::SessionExpired);
        }
        while let Ok(command) = self.commands.try_recv() {
            if let ClientCommand::Request { reply, .. } = command {
                let _ = reply.send(Err(zk::Error::SessionExpired));
            }
        }
    }
}

impl Call {
    fn fail(self, error: zk::Error) {
        if let Self::Request { reply, .. } = self {
            let _ = reply.send(Err(error));
        }
    }
}
