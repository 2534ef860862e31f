//! A ZooKeeper server inside the program, for first runs, development and tests.

mod acl;
mod code;
mod connection;
mod draft;
mod engine;
mod faults;
mod jute;
mod outbox;
mod reads;
mod reply;
mod request;
mod server;
mod sessions;
mod state;
mod tree;
mod watches;
mod words;

pub use self::faults::{Clients, CutOff, Direction, Operation, When};
pub use self::server::{Server, ServerBuilder};
