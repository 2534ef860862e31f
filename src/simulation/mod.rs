//! A deterministic simulation of elections, in one thread, in virtual time, from a seed. The same seed makes the same
//! run.
//!
//! Shipped code: the whole crate above the [seam](crate::session::seam) to the ZooKeeper client, and the embedded
//! server's engine, which holds the servers' data. Simulated: the machines of processes (clock, timers, tasks), the
//! ZooKeeper client, the network, three servers with majorities and lagging replicas, applications, and the faults of
//! all of these.
//!
//! ```text
//!   run          one run: handles one event after another, and checks the invariants
//!   ├─ client      processes: applications on this crate, on a simulated machine and ZooKeeper client
//!   ├─ ensemble    servers: the order of writes, majorities, replicas, the expiry of sessions
//!   ├─ network     connections between processes and servers
//!   ├─ faults      faults at random instants, alone or in scenarios of several
//!   ├─ triggers    faults that wait for a certain request or reply
//!   └─ invariants  the conditions that hold in every run, one file each
//!   world        what all of these share: the time, the event queue, random numbers, the transcript
//!   event        the events; messages: what servers send to each other
//!   settings     the parameters of a run, drawn from its seed
//!   noticed      the seeds that notice mistakes
//!   tests        the tests, which run the seeds
//! ```
//!
//! Invariants, during a run: an election has at most one leader (`invariants`), contenders delete only their own
//! znodes, fencing tokens grow, a departure wakes one contender, requests are bounded, guarded writes of former leaders
//! fail, znodes and sessions outlast the work of their leaders, and what an application is told is true. At its end,
//! after all faults: each wanted election has one leader, and no znode is left behind.
//!
//! A [mistake](crate::mistakes) changes the code at one point, for example `NoMargin`: leases last until the session
//! can expire. Each must violate an invariant in some seed. `noticed` stores that seed, so that one run is enough to
//! notice it.
//!
//! ```text
//! SIMULATION_SEED=42 cargo test --lib simulation -- --nocapture      replay one seed, with the end of its transcript
//!   SIMULATION_LINES=100000                                          ... with more lines of the transcript
//!   SIMULATION_MISTAKE=NoOwnWatch                                    ... with a mistake
//! SIMULATION_SEEDS=1000000 cargo test --lib simulation               as many seeds; mistakes are searched from seed 0
//! SIMULATION_MISTAKE=NoOwnWatch cargo test --lib every_mistake       only this mistake
//! SIMULATION_ALL=1 cargo test --lib simulation                       all failing seeds, not only the first
//! ```

mod client;
mod ensemble;
mod event;
mod faults;
mod invariants;
mod messages;
mod network;
mod noticed;
mod run;
mod settings;
mod tests;
mod time;
mod transcript;
mod triggers;
mod world;
