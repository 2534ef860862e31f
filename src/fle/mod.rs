//! FastLeaderElection, by which the servers of a ZooKeeper ensemble elect their own leader.

pub mod codec;
mod config;
mod notification;
mod quorum;
mod vote;

pub use self::config::{ConfigError, EnsembleConfig, Member, MemberAddress, Role};
pub use self::notification::{Format, Notification};
pub use self::quorum::Quorum;
pub use self::vote::{Ballot, Epoch, Round, ServerId, ServerState, Vote, Zxid};
