#![doc = include_str!("../README.md")]

#[cfg_attr(
    not(feature = "engine"),
    expect(unreachable_pub, reason = "the feature `engine` exports what is `pub` here")
)]
mod engine;
#[cfg_attr(
    not(feature = "engine"),
    expect(unreachable_pub, reason = "the feature `engine` exports what is `pub` here")
)]
mod protocol;
mod server;
mod session_id;

// For the simulation of zookeeper-election and for the fuzz target.
#[cfg(feature = "engine")]
#[doc(hidden)]
pub use self::engine::replica;
#[cfg(feature = "engine")]
#[doc(hidden)]
pub use self::protocol::request::{ConnectRequest, RequestFrame};

pub use self::server::{Clients, CutOff, Direction, Operation, Server, ServerBuilder, When};
pub use self::session_id::SessionId;
