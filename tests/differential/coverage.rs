//! What has occurred, and what must occur for a run to mean something.

use std::collections::BTreeMap;

use crate::answers::{Answer, error_name, event_name};
use crate::operations::Operation;
use crate::support::OpCode;

/// How often each kind of request, error and event occurred.
#[derive(Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<String, usize>,
    pub operations: usize,
    pub events: usize,
}

impl Coverage {
    pub fn answered(&mut self, operation: &Operation, answer: &Answer) {
        self.count(format!("{:?}", operation.code()));
        for error in answer.errors.iter().filter(|error| **error != 0) {
            self.count(error_name(*error));
        }
        if operation.code() == OpCode::MULTI {
            let failed = answer.errors.iter().any(|error| *error != 0);
            self.count(if failed { "a multi that fails" } else { "a multi that succeeds" }.to_owned());
        }
    }

    pub fn event(&mut self, kind: i32) {
        self.events += 1;
        self.count(event_name(kind));
    }

    pub fn count(&mut self, what: String) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Checks that everything that matters occurred, in a run that is long enough to tell.
    pub fn assert_sufficient(&self) {
        if self.operations < 10_000 {
            return;
        }
        let least = self.operations / 4000;
        let count = |what: &str| self.counts.get(what).copied().unwrap_or(0);
        let rare: Vec<String> = REQUIRED
            .iter()
            .filter(|what| count(what) < least)
            .map(|what| format!("{what}: {}", count(what)))
            .collect();
        assert!(rare.is_empty(), "less than {least} times in {} operations: {rare:?}", self.operations);
    }
}

const REQUIRED: &[&str] = &[
    "CREATE",
    "CREATE2",
    "CREATE_CONTAINER",
    "CREATE_TTL",
    "DELETE",
    "EXISTS",
    "GET_DATA",
    "SET_DATA",
    "GET_ACL",
    "SET_ACL",
    "GET_CHILDREN",
    "GET_CHILDREN2",
    "SYNC",
    "PING",
    "CHECK",
    "MULTI",
    "MULTI_READ",
    "ADD_WATCH",
    "REMOVE_WATCHES",
    "SET_WATCHES",
    "SET_WATCHES2",
    "WHO_AM_I",
    "GET_EPHEMERALS",
    "GET_ALL_CHILDREN_NUMBER",
    "AUTH",
    "MarshallingError",
    "Unimplemented",
    "BadArguments",
    "NoNode",
    "NoAuth",
    "BadVersion",
    "NoChildrenForEphemerals",
    "NodeExists",
    "NotEmpty",
    "InvalidACL",
    "AuthFailed",
    "NoWatcher",
    "RuntimeInconsistency",
    "NodeCreated",
    "NodeDeleted",
    "NodeDataChanged",
    "NodeChildrenChanged",
    "a multi that fails",
    "a multi that succeeds",
    "a session opened",
    "a session closed",
    "a client dropped",
    "a client back",
];
