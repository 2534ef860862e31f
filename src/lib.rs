//! Leader election on Apache ZooKeeper.

mod clock;
mod driver;
mod election;
mod error;
mod leadership;
mod machine;
mod observer;
mod roster;
mod session;
mod telemetry;
mod types;

pub use async_trait::async_trait;
pub use zookeeper_client;

pub use self::election::{Election, ElectionBuilder, LeaderTask, Parents};
pub use self::error::{BoxError, Error, Lost, MAX_IDENTITY_BYTES};
pub use self::leadership::Leadership;
pub use self::observer::LeaderWatch;
pub use self::session::{Connect, ConnectError, Session, SessionBuilder};
pub use self::types::{Contender, FencingToken, Mode, Sequence, SessionId, Standing};
