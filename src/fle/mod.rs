//! FastLeaderElection, by which the servers of a ZooKeeper ensemble elect their own leader.

pub mod codec;
mod config;
mod diagnosis;
mod election;
mod finding;
mod inspect;
mod inspection;
mod notification;
mod quorum;
mod search;
mod server_list;
pub mod simulator;
mod vote;

pub use self::config::{ConfigError, EnsembleConfig, Member, MemberAddress, Role};
pub use self::election::{Action, Decision, Elector, Event, History};
pub use self::finding::{Finding, Who};
pub use self::inspect::{InspectError, Inspector, inspect};
pub use self::inspection::{Answer, InspectedServer, Inspection, Silence};
pub use self::notification::{Format, Notification};
pub use self::quorum::Quorum;
pub use self::search::{FINALIZE_WAIT, LONGEST_WAIT};
pub use self::server_list::AddressError;
pub use self::vote::{Ballot, Epoch, Round, ServerId, ServerState, Vote, Zxid};
