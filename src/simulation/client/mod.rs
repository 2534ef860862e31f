//! The processes that take part in elections: the real machines, with what stands in for the rest of the library and for
//! applications.
//!
//! ```text
//!   application ──▶ contender (driver, Machine) ──▶ requests, znodes ──▶ desk ──▶ session ──▶ network
//!                        ▲                                                   │
//!                        └── proofs ◀── heart (prover, Evidence) ◀───────────┘
//! ```

mod contender;
mod desk;
mod heart;
mod process;
mod requests;
mod session;
mod wire;
mod znodes;

pub(super) use self::process::Process;
