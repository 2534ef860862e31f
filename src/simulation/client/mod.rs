//! The processes that take part in elections: this crate as it is shipped, from [`Session`](crate::Session) to the
//! state machine, on a simulated machine, network and ZooKeeper client, and applications that use it.
//!
//! ```text
//!   application ──▶ Election, Session (the whole crate) ────▶ connection ──▶ network interface
//!                        ▲                                        (simulated)
//!                        └── host: clock, timers, tasks (simulated)
//! ```

mod application;
mod client_task;
mod connection;
mod connector;
mod host;
mod instance;
mod network_interface;
mod process;
mod requests;

pub(super) use self::process::Process;
