//! A server inside the program that speaks ZooKeeper's protocol, for first runs, development and tests.
//!
//! [`Server`] listens on a port, speaks ZooKeeper's client protocol, and keeps its znodes and sessions in memory. Any
//! client can use it: this crate, others, `zkCli.sh`. It needs no Java, starts at once, has ticks as short as a test
//! likes, and does to its clients on command what networks and ensembles do to theirs.
//!
//! It is no replacement for an ensemble. It is one server: nothing is on disk, there is no quorum, and with the program
//! everything is gone, the counting of tokens too. Production runs on Apache ZooKeeper.
//!
//! # Starting one
//!
//! The server comes with the feature `embedded`, which belongs into the dev-dependencies:
//!
//! ```toml
//! [dependencies]
//! zookeeper-election = { path = "..." }        # version 0.1.0 is not released yet
//!
//! [dev-dependencies]
//! zookeeper-election = { path = "...", features = ["embedded"] }
//! ```
//!
//! [`Server::start`] takes a free port and ticks of 500 ms. [`Server::builder`] takes other ticks, which bound the
//! session timeouts (2 to 20 ticks), and a listener that is bound already:
//!
//! ```
//! # use std::time::Duration;
//! # use zookeeper_election::BoxError;
//! use zookeeper_election::Session;
//! use zookeeper_embedded::Server;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let server = Server::builder().tick(Duration::from_millis(100)).start_on_free_port().await?;
//! let session = Session::connect(&server.connect_string()).await?;
//! # session.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! It serves until it is dropped or [`shutdown`](Server::shutdown). Its tasks run on the tokio runtime that starts it, and
//! measure sessions with that runtime's clock. They need real time: where tokio's time is paused it runs ahead whenever
//! all tasks wait, for an answer from a socket too, and sessions expire meanwhile.
//!
//! # Testing with it
//!
//! A test starts a server, brings the application into the state in question, lets something happen, and looks at what
//! the application does:
//!
//! ```
//! use zookeeper_embedded::Server;
//! use zookeeper_election::{BoxError, Session};
//!
//! // In your tests: #[tokio::test].
//! async fn the_next_one_leads_when_the_session_of_the_leader_expires() -> Result<(), BoxError> {
//!     let server = Server::start().await?;
//!     let a = Session::connect(&server.connect_string()).await?;
//!     let b = Session::connect(&server.connect_string()).await?;
//!     let election_of_a = a.election("/app/leader_election").identity("a").build()?;
//!     let election_of_b = b.election("/app/leader_election").identity("b").build()?;
//!     let first = election_of_a.campaign().await?;
//!
//!     let session = a.id().ok_or("a is connected")?;
//!     server.client(session).expire();
//!
//!     let second = election_of_b.campaign().await?;
//!     assert!(second.token() > first.token());
//!     first.lost().await;
//!     assert!(!first.is_valid());
//!     Ok(())
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! #     the_next_one_leads_when_the_session_of_the_leader_expires().await
//! # }
//! ```
//!
//! `examples/test_your_failover.rs` tests an application with work of its own: an expired session, a lost reply, a
//! network that drops packets.
//!
//! # Faults
//!
//! [`Server::clients`] stands for all clients, present and future, [`Server::client`] for the one with this session,
//! over whichever connection it comes; a [`Session`](crate::Session) tells its id by [`id`](crate::Session::id). Each
//! call takes effect before it returns. What is set for a session stays set when it has ended, for its client asks for it
//! again: a new session is another client.
//!
//! | call | what happens | what it stands for |
//! |---|---|---|
//! | [`expire`](Clients::expire) | the session ends now, its ephemeral znodes and its connection with it | a client not heard of for its timeout |
//! | [`disconnect`](Clients::disconnect) | the connection is closed, the session lives | a server that restarts, a reset |
//! | [`disconnect_at`](Clients::disconnect_at)`(`[`Before`](When::Before)`, operation)` | at the next such operation: closed, and the operation is not carried out | a request that was lost |
//! | [`disconnect_at`](Clients::disconnect_at)`(`[`After`](When::After)`, operation)` | at the next such operation: carried out, and closed without an answer | a reply that was lost |
//! | [`delay_replies`](Clients::delay_replies) | replies and events leave later | a slow network or server |
//! | [`swallow`](Clients::swallow) | what is sent vanishes, one way or both, and no connection is closed; sessions expire | packets dropped without a reset |
//! | [`refuse`](Clients::refuse) | new connections are closed when they ask for a session; open ones stay | an overloaded server |
//! | [`heal`](Clients::heal) | the three above end; connections that have lost something are closed | |
//! | [`Server::stop`] | nothing is read, answered or expired; connections stay open | SIGSTOP, a long pause of the JVM |
//! | [`Server::resume`] | it goes on; what has expired meanwhile ends first | SIGCONT |
//! | [`Server::kill`] | connections are closed, and new ones at once; znodes and sessions are kept | SIGKILL |
//! | [`Server::revive`] | it serves again; the timeouts of all sessions begin anew, watches are gone | its next start |
//!
//! On a new server, the creates of the first contender are also those of the election's directory and its parents: let
//! somebody campaign and resign before a fault is to meet the create of a contender's znode.
//!
//! # Looking at it
//!
//! `zkCli.sh -server 127.0.0.1:<port>` works as with any server. The four-letter words `ruok`, `isro`, `srvr`, `stat`,
//! `mntr`, `cons`, `dump`, `wchs` and `wchp` are answered, without a list of those that are allowed. `mntr` has the most
//! important values only, `cons` fewer fields, and `dump` tells in how many milliseconds sessions expire instead of when.
//!
//! ```text
//! $ echo srvr | nc 127.0.0.1 <port>
//! Zookeeper version: 3.8.0-embedded, zookeeper-election 0.1.0
//! Latency min/avg/max: 0/0.0527/0
//! Received: 27
//! Sent: 27
//! Connections: 4
//! Outstanding: 0
//! Zxid: 0xa
//! Mode: standalone
//! Node count: 9
//! ```
//!
//! [`Server::sessions`] lists the sessions that are alive.
//!
//! # Differences from ZooKeeper
//!
//! Random requests of several sessions are answered as by a standalone ZooKeeper 3.8.0 with the fix of CVE-2024-23944
//! (Debian's), transaction ids, stats, error codes and the order of events included; the crate's own tests compare the
//! two. These differences are intended:
//!
//! - Quotas are not kept: a znode below `/zookeeper/quota` is a znode like others.
//! - Znodes with a time to live and `reconfig` are answered as by a server on which they are not enabled: with
//!   `Unimplemented` and `ReconfigDisabled`.
//! - There is no TLS. SASL is answered with `Unimplemented`. There is no super user, and no read-only mode.
//! - `checkWatches` tells of the watches of the connection that asks; 3.8.0 tells of anybody's.
//! - A `check` outside of a transaction that succeeds is answered; 3.8.0 never answers it.
//! - An error code ends a reply; 3.8.0 sends an empty list behind the one of a `multiRead` that contains writes.
//! - The ephemeral znodes of a session that ends are deleted in the order of their czxids, and watchers hear of them in
//!   that order; ZooKeeper's is that of a hash set.
//! - The names of children are listed in their order; ZooKeeper's listing has none.
//! - A path with characters beyond U+FFFF, which no znode has, is echoed in UTF-8; ZooKeeper echoes two surrogates.
//! - There are no other servers to wait for: `sync` is answered at once, and nobody reads what is outdated.
//! - After [`stop`](Server::stop) and [`resume`](Server::resume), sessions whose timeout has passed expire before
//!   anything is read. A real server that was stopped may read a heartbeat first, and keep the session.
//! - Any number of connections from one address is taken; ZooKeeper closes the 61st (`maxClientCnxns`). Of those that
//!   have not asked for a session 4096 are kept: the oldest gives way. The request for a session has at most 4 KiB.
//! - What a `multiRead` reads has at most 16 MiB, a connection proves at most 1024 identities, and the `auth` entries of
//!   an ACL become at most 131,072.
//! - From a client that leaves more than 1 MiB of answers unread nothing more is read, heartbeats included, and with more
//!   than 64 MiB of answers and events it is disconnected.
//!
//! And two things that are as in 3.8.0 and not as in later versions: a watch that is left by reading replaces one that
//! was to stay on the same path (ZOOKEEPER-4466), and `exists` needs no permission (from 3.8.4 on it needs READ).

// Without the feature `engine`, what the replica shows stays in here.
#![allow(unreachable_pub)]

mod acl;
mod code;
mod connection;
mod draft;
mod engine;
mod faults;
mod jute;
mod outbox;
mod path;
mod reads;
#[cfg(feature = "engine")]
#[doc(hidden)]
pub mod replica;
mod reply;
mod request;
#[cfg(test)]
mod scenarios;
mod server;
mod session_id;
mod sessions;
mod state;
mod tree;
mod watches;
mod words;
mod writes;

pub use self::faults::{Clients, CutOff, Direction, Operation, When};
pub use self::server::{Server, ServerBuilder};
pub use self::session_id::SessionId;
