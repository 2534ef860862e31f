//! FastLeaderElection, by which the servers of a ZooKeeper ensemble elect their own leader.

pub mod codec;
mod config;
mod election;
mod notification;
mod quorum;
mod search;
pub mod simulator;
mod vote;

pub use self::config::{EnsembleConfig, Member, MemberAddress, Role};
pub use self::election::{Action, Decision, Elector, Event, History};
pub use self::notification::{Format, Notification};
pub use self::quorum::Quorum;
pub use self::search::{FINALIZE_WAIT, LONGEST_WAIT};
pub use self::vote::{Ballot, Epoch, Round, ServerId, ServerState, Vote, Zxid};
