//! FastLeaderElection, by which the servers of a ZooKeeper ensemble elect their own leader.
//!
//! ZooKeeper's servers have a leader among themselves: the one that orders all writes. How they elect it is another matter
//! than how programs elect theirs [with ZooKeeper's help](crate::Session::election): there is no ensemble yet that could
//! help. This module has that election in full, to be read, run and looked at:
//!
//! - [`Elector`]: one server's part in it, as a state machine without clocks, sockets and tasks. It agrees with the real
//!   servers message for message: the crate's tests let it vote among them.
//! - [`simulator`]: an ensemble of electors in virtual time, on a network that loses, delays and breaks apart.
//!   `cargo run --example ensemble_election` tells the classic stories on it, vote by vote.
//! - [`inspect()`]: the votes of a running ensemble, read from its election ports, with a diagnosis. It works without a
//!   quorum too, when no server answers anything else: `cargo run --example inspect_ensemble -- 127.0.0.1:3888`.
//! - [`codec`]: the bytes on election ports.
//!
//! It comes with the feature `fle`, and uses nothing else of the crate.
//!
//! # How it goes
//!
//! A server that has no leader is *looking*. It begins a round: it votes for itself and tells all others. A [`Vote`] names
//! a server and the history by which that server is put forward: its [`Epoch`], which is the number of the last leadership
//! that it was in step with, and its [`Zxid`], its last transaction. Votes are compared by epoch, then by zxid, then by
//! server id. Whoever hears of a better vote than its own adopts it and tells all others. As soon as the last votes of a
//! quorum are all the same as its own, a server waits for 200 ms more ([`FINALIZE_WAIT`]). If no better vote comes, it has
//! *decided*: it leads if the vote is for itself, and follows otherwise.
//!
//! Three fresh servers, started together, have nothing but their ids to tell them apart:
//!
//! | | 1 votes for | 2 votes for | 3 votes for |
//! |---|---|---|---|
//! | each begins | 1 | 2 | 3 |
//! | 1 and 2 hear of the vote for 3 | 3 | 3 | 3 |
//! | 200 ms later | follows 3 | follows 3 | leads |
//!
//! Whether the third is in time decides who leads: when server 1 and server 2 are alone for 200 ms, two of three are a
//! quorum, and 2 leads. Server 3 finds a settled ensemble then:
//!
//! - **Who comes late joins.** Servers that have settled answer a looking one with the vote that they have settled on. When a
//!   quorum names the same leader, and that leader says itself that it leads, the late server follows it, even if it has the
//!   better history. It takes over their round, which may be lower than its own.
//! - **Rounds** keep the elections apart. Each server counts its own, in memory. Votes of a lower round are answered and not
//!   counted; one of a higher round takes a server there, where it begins with the better of that vote and its own.
//! - **Silence.** A server that hears nothing repeats its vote after 200 ms, then after twice as long, up to a minute
//!   ([`LONGEST_WAIT`]).
//! - **Observers** have no vote. They look for the leader in the same way, put [nobody](Vote::NONE) forward, and are answered
//!   and not counted; like any stranger that connects to an election port, which is how the inspector asks.
//! - **Quorums** are majorities, or [hierarchical](Quorum::hierarchical).
//!
//! # What it guarantees, and what it does not
//!
//! Within one round the proposal of a server only rises. A decision needs the agreeing votes of a quorum, so that the
//! winner's epoch and zxid are at least those with which each of its supporters began the round. That is all.
//!
//! - It is *not* guaranteed that one server leads at a time. Two may say that they lead, in different rounds or even in the
//!   same one: a server decides after 200 ms of silence, and a better vote that is on its way to it for longer than that may
//!   convince those whose silence began a little later.
//! - The winner need not have the highest zxid of *all* servers: those outside the quorum are not asked, and a late server with
//!   a better history follows.
//! - A server that has decided may have decided for one that is gone.
//!
//! The election only proposes. What makes it safe is the next step of ZooKeeper's protocol, Zab, which this module does not
//! have. In its *discovery*, the leader collects from a quorum the promise, kept on disk, to accept nobody of an epoch lower
//! than the new one, and takes in nobody whose history is better than its own. Two quorums have a server in common, and that
//! server promises an epoch once: of two leaders at most one gets through with an epoch, and after it none with a lower one. In
//! the *synchronisation* that follows, a quorum confirms that it has the leader's history, before the leader serves anything.
//! A leader that does not get that far within `initLimit` ticks looks again. The [`simulator`] has a stand-in for these steps,
//! so that life goes on in it after a decision; the stand-in is not Zab.
//!
//! # Where it comes from
//!
//! From the sources and the behaviour of ZooKeeper 3.4 to 3.9, mainly 3.8.0, whose servers the tests compare it with. Parts
//! that it leaves out: a reconfiguration under way, during which a quorum of both configurations is needed; and the oracle
//! of ensembles of two servers (`QuorumOracleMaj`).
//!
//! The words are ZooKeeper's, except for two that are both called epoch there: the *peer epoch* is the [`Epoch`] here, and the
//! *election epoch* or *logical clock* the [`Round`].

pub mod codec;
mod config;
mod election;
#[cfg(feature = "inspect")]
mod inspect;
mod notification;
mod quorum;
mod search;
pub mod simulator;
mod vote;

pub use self::config::{ConfigError, EnsembleConfig, Member, MemberAddress, Role};
pub use self::election::{Action, Decision, Elector, Event, History};
#[cfg(feature = "inspect")]
pub use self::inspect::{
    AddressError, Answer, Finding, InspectError, InspectedServer, Inspection, Inspector, NotAsked, Silence,
    Who, inspect,
};
pub use self::notification::{Format, Notification};
pub use self::quorum::Quorum;
pub use self::search::{FINALIZE_WAIT, LONGEST_WAIT};
pub use self::vote::{Ballot, Epoch, Round, ServerId, ServerState, Vote, Zxid};
