//! One connection through the proxy.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::control::{Claim, Control, Way};
use super::frames::{Frames, OpCode, op_code, xid};
use super::proxy::{Direction, How, When};

/// Forwards between `client` and the control's upstream, until a side closes or a cut or a fault ends it.
pub(crate) async fn run(mut client: TcpStream, control: Arc<Control>, mut cuts: watch::Receiver<How>) {
    let counted = control.count();
    let connected = tokio::select! {
        connected = connect(&control) => connected,
        _ = cuts.changed() => None,
    };
    let Some(mut server) = connected else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let link = Link::new(&control);
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            end = link.pump(Way::ToServer, from_client, to_server) => end,
            end = link.pump(Way::ToClient, from_server, to_client) => end,
            _ = cuts.changed() => End { how: *cuts.borrow(), claim: None },
        }
    };
    let reset = end.how == How::Reset;
    if reset {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
        drop((client, server));
    } else {
        let _ = (client.shutdown().await, server.shutdown().await);
        tokio::spawn(drain(client));
        tokio::spawn(drain(server));
    }
    drop(counted);
    if let Some(claim) = end.claim {
        control.has_fired(claim);
    }
}

/// How a connection ends, and the fault that ends it.
struct End {
    how: How,
    claim: Option<Claim>,
}

/// What the two ways of a connection share.
struct Link<'a> {
    control: &'a Control,
    /// Nothing passes any more.
    silent: AtomicBool,
    /// The fault that fires at the reply with this id.
    awaited: Mutex<Option<(i32, Claim)>>,
    /// The number of sides that have closed without that being passed on.
    closed_unseen: AtomicUsize,
}

impl<'a> Link<'a> {
    fn new(control: &'a Control) -> Self {
        Self {
            control,
            silent: AtomicBool::new(false),
            awaited: Mutex::new(None),
            closed_unseen: AtomicUsize::new(0),
        }
    }

    /// Forwards one way, until the connection is to end.
    async fn pump(&self, way: Way, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> End {
        let mut frames = Frames::default();
        let mut connecting = true;
        loop {
            let how = match from.read_buf(&mut frames.buffer).await {
                Ok(0) => Some(How::Fin),
                Ok(_) => None,
                Err(_) => Some(How::Reset),
            };
            if let Some(how) = how {
                self.control.not_holding(way).await;
                self.until_closing_passes(way).await;
                return End { how, claim: None };
            }
            let delay = self.control.delay(way);
            if !delay.is_zero() {
                sleep(delay).await;
            }
            while let Some(frame) = frames.take() {
                let plain = std::mem::take(&mut connecting) || frames.unframed();
                let verdict = if plain { self.plain(way) } else { self.examine(way, &frame) };
                match verdict {
                    Verdict::Forward => {
                        self.control.not_holding(way).await;
                        if to.write_all(&frame).await.is_err() {
                            return End { how: How::Reset, claim: None };
                        }
                    }
                    Verdict::Drop => {}
                    Verdict::Fire(claim) if claim.fault.how == How::Silence => {
                        self.silent.store(true, Ordering::SeqCst);
                        self.control.has_fired(claim);
                    }
                    Verdict::Fire(claim) => {
                        return End { how: claim.fault.how, claim: Some(claim) };
                    }
                }
            }
        }
    }

    /// What to do with bytes that are neither a request nor a reply.
    fn plain(&self, way: Way) -> Verdict {
        if self.holds_back(way) { Verdict::Drop } else { Verdict::Forward }
    }

    /// What to do with a request or a reply.
    fn examine(&self, way: Way, frame: &[u8]) -> Verdict {
        match way {
            Way::ToClient => match self.take_awaited(frame) {
                Some(claim) => Verdict::Fire(claim),
                None => self.plain(way),
            },
            Way::ToServer if self.holds_back(way) => Verdict::Drop,
            Way::ToServer => self.examine_request(frame),
        }
    }

    fn examine_request(&self, frame: &[u8]) -> Verdict {
        let (Some(xid), Some(op_code)) = (xid(frame), op_code(frame)) else {
            return Verdict::Forward;
        };
        if let Some(claim) = self.control.claim(frame) {
            match claim.fault.when {
                when if claim.fault.how == How::Hold => {
                    let direction =
                        if when == When::Before { Direction::ToServer } else { Direction::ToClient };
                    self.control.set_hold(direction, true);
                    self.control.has_fired(claim);
                }
                When::Before => return Verdict::Fire(claim),
                When::After => *self.awaited() = Some((xid, claim)),
            }
        }
        if op_code != OpCode::PING {
            self.control.requests().push(op_code);
        }
        Verdict::Forward
    }

    /// Takes the fault that waits for this reply.
    fn take_awaited(&self, reply: &[u8]) -> Option<Claim> {
        let fault = self.awaited().take_if(|(awaited, _)| xid(reply) == Some(*awaited));
        fault.map(|(_, claim)| claim)
    }

    /// Whether what goes this way is thrown away.
    fn holds_back(&self, way: Way) -> bool {
        self.is_cut_off(way) || self.control.swallows(way)
    }

    /// Whether a fault keeps everything from going this way, for as long as the connection lasts.
    fn is_cut_off(&self, way: Way) -> bool {
        self.silent.load(Ordering::SeqCst) || (way == Way::ToServer && self.awaited().is_some())
    }

    /// Waits while this way is held back: the end of a side is not to be seen then, unless both sides have closed.
    async fn until_closing_passes(&self, way: Way) {
        if !self.holds_back(way) || self.closed_unseen.fetch_add(1, Ordering::SeqCst) == 1 {
            return;
        }
        while self.holds_back(way) {
            if self.is_cut_off(way) {
                pending::<()>().await;
            }
            self.control.not_swallowing(way).await;
        }
    }

    fn awaited(&self) -> MutexGuard<'_, Option<(i32, Claim)>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of a frame.
enum Verdict {
    Forward,
    Drop,
    Fire(Claim),
}

/// Connects to the first of the upstream addresses that accepts.
async fn connect(control: &Control) -> Option<TcpStream> {
    let upstream = control.upstream().clone();
    for address in upstream.split(',') {
        if let Ok(server) = TcpStream::connect(address).await {
            return Some(server);
        }
    }
    None
}

/// Reads until the peer closes, too: closing with unread bytes would reset the connection.
async fn drain(mut stream: TcpStream) {
    let _ = timeout(Duration::from_secs(2), io::copy(&mut stream, &mut io::sink())).await;
}
