//! A ZooKeeper server inside the program, for first runs, development and tests.

mod faults;
mod server;

pub use self::faults::{Clients, CutOff, Direction, Operation, When};
pub use self::server::{Server, ServerBuilder};
