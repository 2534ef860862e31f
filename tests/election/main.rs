//! Elections on ZooKeeper's own server and on the embedded one, in one program: its tests run in parallel, each on
//! servers of its own. A test that changes the whole process (a global subscriber of `tracing`) has a program of its own.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod breadcrumb;
mod expiry;
mod failover;
mod failover_example;
mod fenced_write_example;
mod guarded;
mod hand_over;
mod hazards;
mod leader_work;
mod lost_reply;
mod observing;
mod permissions;
mod queue;
mod requests;
mod runtime;
mod servers;
mod stress;
#[cfg(feature = "tls")]
mod tls;
mod withdrawal;
