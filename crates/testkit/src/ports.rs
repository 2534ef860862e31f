//! Loopback ports that neither another test nor an outgoing connection takes.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};

use rustix::fs::{FlockOperation, flock};

use super::random;

/// A block of ports on 127.0.0.1, reserved among all test processes of this machine until it is dropped.
///
/// The reservation is a locked file, so it holds while the ports' servers are down, and it ends with the process.
/// The ports are below the kernel's range for outgoing connections.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    taken: u16,
    listeners: Vec<TcpListener>,
    _lock: File,
}

impl Ports {
    /// Reserves a block.
    ///
    /// # Panics
    ///
    /// When no block is free after many tries.
    pub fn reserve() -> Self {
        let locks = env::temp_dir().join("zookeeper-election-ports");
        fs::create_dir_all(&locks).unwrap_or_else(|error| panic!("{}: {error}", locks.display()));
        let last = LAST.min(first_ephemeral_port());
        assert!(last >= FIRST + BLOCK, "the range of outgoing ports leaves none above {FIRST}");
        let blocks = u64::from((last - FIRST) / BLOCK);
        for _ in 0..200 {
            let first = FIRST + BLOCK * u16::try_from(random() % blocks).expect("less than 2^16");
            let path = locks.join(first.to_string());
            let Ok(lock) = File::options().create(true).append(true).open(path) else {
                continue;
            };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            if let Ok(listeners) = (first..first + BLOCK).map(bind).collect() {
                return Self { first, taken: 0, listeners, _lock: lock };
            }
        }
        panic!("no free block of ports between {FIRST} and {last}");
    }

    /// The next port of the block.
    pub fn take(&mut self) -> u16 {
        assert!(self.taken < BLOCK, "a block has {BLOCK} ports");
        self.taken += 1;
        self.first + self.taken - 1
    }

    /// Closes the listeners that have held the ports until now, for the servers to bind them.
    pub fn release(&mut self) {
        self.listeners.clear();
    }
}

const FIRST: u16 = 12_000;
const LAST: u16 = 30_000;

/// Five servers with three ports each.
const BLOCK: u16 = 15;

fn first_ephemeral_port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|lowest| lowest.parse().ok()).unwrap_or(32_768)
}
