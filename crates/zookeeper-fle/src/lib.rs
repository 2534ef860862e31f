#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! - [`Elector`]: the election of one server, as a state machine: [`Event`]s in, [`Action`]s out.
//! - [`Vote`], [`Epoch`], [`Zxid`], [`Round`], [`Notification`]: what the servers send each other.
//! - [`EnsembleConfig`] and [`Quorum`]: the servers of an ensemble, and which of them are enough to elect.
//! - [`simulator`]: an ensemble of electors in virtual time.
//! - [`codec`]: the bytes on election ports.
//! - `Inspector` (feature `inspect`): reads the votes of a live ensemble and explains them.
//!
//! Only the inspector does I/O, in three files: `inspect/inspector.rs`, `inspect/question.rs` and `inspect/resolve.rs`. All
//! other code takes time and random seeds as arguments, and opens no connection.

pub mod codec;
mod config;
mod elector;
#[cfg(feature = "inspect")]
mod inspect;
mod notification;
mod quorum;
pub mod simulator;
mod vote;

pub use self::config::{ConfigError, EnsembleConfig, Member, MemberAddress, Role};
pub use self::elector::{Action, Decision, Elector, Event, FINALIZE_WAIT, History, LONGEST_WAIT};
#[cfg(feature = "inspect")]
pub use self::inspect::{
    AddressError, Answer, Finding, InspectError, InspectedServer, Inspection, Inspector, NoAnswer, NotAsked,
    ServerRef, inspect,
};
pub use self::notification::{Format, Notification};
pub use self::quorum::Quorum;
pub use self::vote::{Ballot, Epoch, Round, ServerId, ServerState, Vote, Zxid};
