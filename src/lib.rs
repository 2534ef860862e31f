#![doc = include_str!("../README.md")]
//!
//! ## Where to look
//!
//! - [`Session`]: a ZooKeeper session, opened with [`Session::connect`] or [`Session::builder`], or shared with
//!   [`Session::from_client`].
//! - [`Election`]: one contender at one path, made by [`Session::election`]. [`Election::campaign`] ends with a
//!   [`Leadership`]; [`Election::run`] repeats it for a [`LeaderTask`].
//! - [`Leadership`]: [`hold`](Leadership::hold), [`is_valid`](Leadership::is_valid), [`lost`](Leadership::lost),
//!   [`token`](Leadership::token), [`resign`](Leadership::resign).
//! - [`Election::observe`], [`Election::leader`], [`Election::contenders`], [`Election::standings`]: who leads, who
//!   waits, and where this contender stands.
//! - [`guarantees`]: how a leader knows that it leads, and on which assumptions.
//! - [`Leadership::guarded`], [`ElectionBuilder::breadcrumb`], [`Fence`]: writes that an old leader cannot commit, and
//!   what is done about it before the next one leads.
//! - [`Error`] and [`Lost`]: why a call failed, and why a leadership ended.
//!
//! Two crates stand beside this one: `zookeeper-embedded`, a server for tests, and `zookeeper-fle`, the election that
//! ZooKeeper's servers hold among themselves.

mod backoff;
mod breadcrumb;
mod config;
mod driver;
mod election;
mod error;
mod guarded;
#[doc = include_str!("guarantees.md")]
pub mod guarantees {}
mod in_flight;
mod leadership;
mod lease;
mod machine;
mod mistakes;
mod observer;
mod path;
mod queries;
mod resign;
mod runtime;
mod session;
#[cfg(test)]
mod simulation;
mod telemetry;
mod timestamp;
mod types;
mod znode;

pub use async_trait::async_trait;
pub use zookeeper_client;

pub use self::breadcrumb::{Breadcrumb, Fence};
pub use self::election::{Election, ElectionBuilder, LeaderTask, Parents};
pub use self::error::{BoxError, Error, Lost, MAX_IDENTITY_BYTES, ParseModeError};
pub use self::guarded::{GuardedError, GuardedWrite, MAX_GUARDED_BYTES};
pub use self::leadership::Leadership;
pub use self::observer::LeaderWatch;
pub use self::session::{Connect, ConnectError, Resume, Session, SessionBuilder};
pub use self::types::{Contender, FencingToken, Mode, Sequence, SessionId, Standing};
