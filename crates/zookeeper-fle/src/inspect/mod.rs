//! Reads the votes of a live ensemble on its election ports, without taking part in the election, and explains them.
//!
//! The inspector asks the servers at the given addresses once each. The configurations in their answers name the other
//! servers, which it asks next. The diagnosis of all answers is the [`Inspection`].
//!
//! | file | purpose | I/O |
//! |---|---|---|
//! | `inspector.rs` | decides which servers to ask next; connects | yes |
//! | `question.rs` | one question and its answer on one connection | yes |
//! | `resolve.rs` | looks up host names | yes |
//! | `addresses.rs` | parses the given addresses | no |
//! | `ids.rs` | the ids that the inspector uses on its connections | no |
//! | `targets.rs` | which servers were asked, and which are next | no |
//! | `answer.rs`, `no_answer.rs`, `server_ref.rs` | the result for each server | no |
//! | `diagnosis/`, `finding.rs` | what the results mean | no |
//! | `inspection.rs` | results and findings, as data and as a table | no |

mod addresses;
mod answer;
mod diagnosis;
mod finding;
mod ids;
mod inspection;
mod inspector;
mod no_answer;
mod question;
mod resolve;
mod server_ref;
mod targets;

pub use self::addresses::AddressError;
pub use self::answer::{Answer, InspectedServer};
pub use self::finding::Finding;
pub use self::inspection::Inspection;
pub use self::inspector::{InspectError, Inspector, inspect};
pub use self::no_answer::{NoAnswer, NotAsked};
pub use self::server_ref::ServerRef;
