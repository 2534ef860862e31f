//! What the tests of elections share: contenders, and what the tests of the whole workspace share.

// Each test binary includes this module and uses only a part of it.
#![allow(dead_code, unreachable_pub, unused_imports)]

mod contender;

pub use contender::{
    Contender, ContenderProcess, connect, contenders_become, identities, lost, queue, token_in,
};
pub use testkit::*;
