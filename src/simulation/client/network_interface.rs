//! The network as a process sees it: lines to servers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc;

use crate::simulation::network::{Down, Up};

/// The number of a line, in one life of a process.
pub(super) type LineNumber = u64;

pub(super) enum Outgoing {
    Dial { line: LineNumber, server: usize },
    Packet { line: LineNumber, packet: Up },
}

/// The lines of a process, and the packets that it sends over them.
#[derive(Default)]
pub(super) struct NetworkInterface(Mutex<InterfaceState>);

#[derive(Default)]
struct InterfaceState {
    /// The number of lines so far.
    numbers: LineNumber,
    outgoing: VecDeque<Outgoing>,
    receivers: BTreeMap<LineNumber, mpsc::UnboundedSender<Down>>,
    /// The deleted znodes that had a watcher in the process.
    departed: Vec<String>,
}

impl NetworkInterface {
    fn state(&self) -> MutexGuard<'_, InterfaceState> {
        self.0.lock().unwrap()
    }

    pub(super) fn next_outgoing(&self) -> Option<Outgoing> {
        self.state().outgoing.pop_front()
    }

    /// A watcher of a znode is told that it was deleted.
    pub(super) fn departed(&self, path: &str) {
        self.state().departed.push(path.to_owned());
    }

    /// Takes the deleted znodes that had a watcher.
    pub(super) fn take_departed(&self) -> Vec<String> {
        std::mem::take(&mut self.state().departed)
    }

    /// A packet has arrived.
    pub(super) fn receive(&self, line: LineNumber, packet: Down) {
        let mut state = self.state();
        let ends = matches!(packet, Down::Closed);
        if let Some(receiver) = state.receivers.get(&line) {
            let _ = receiver.send(packet);
        }
        if ends {
            state.receivers.remove(&line);
        }
    }
}

/// A connection to a server. Dropping it closes it.
pub(super) struct Line {
    number: LineNumber,
    received: mpsc::UnboundedReceiver<Down>,
    interface: Arc<NetworkInterface>,
}

impl Line {
    /// Connects to this server.
    pub(super) fn dial(interface: &Arc<NetworkInterface>, server: usize) -> Self {
        let (receiver, received) = mpsc::unbounded_channel();
        let mut state = interface.state();
        state.numbers += 1;
        let number = state.numbers;
        state.receivers.insert(number, receiver);
        state.outgoing.push_back(Outgoing::Dial { line: number, server });
        drop(state);
        Self { number, received, interface: interface.clone() }
    }

    pub(super) fn interface(&self) -> &Arc<NetworkInterface> {
        &self.interface
    }

    pub(super) fn send(&self, packet: Up) {
        self.interface.state().outgoing.push_back(Outgoing::Packet { line: self.number, packet });
    }

    /// The next packet from the server. After the end of the line: [`Down::Closed`].
    pub(super) async fn receive(&mut self) -> Down {
        self.received.recv().await.unwrap_or(Down::Closed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut state = self.interface.state();
        if state.receivers.remove(&self.number).is_some() {
            state.outgoing.push_back(Outgoing::Packet { line: self.number, packet: Up::Close });
        }
    }
}
