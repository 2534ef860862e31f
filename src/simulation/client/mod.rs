//! The processes that take part in elections: the real machines, with what stands in for the rest of the library and for
//! applications.
//!
//! ```text
//!   application ──▶ contender (driver, Machine) ──▶ requests, znodes ──▶ client ──▶ session ──▶ network
//!                        ▲                                                   │
//!                        └── proofs ◀── heartbeat (prover, Evidence) ◀───────────┘
//! ```

mod claims;
mod contender;
mod fake_client;
mod heartbeat;
mod process;
mod requests;
mod session;
mod wire;
mod znodes;

pub(super) use self::process::Process;
