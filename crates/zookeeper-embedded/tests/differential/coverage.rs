//! What has occurred, and what must occur for a run to mean something.

use std::collections::BTreeMap;

use crate::answers::{Answer, error_name, event_name};
use crate::operations::Operation;
use testkit::OpCode;

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
        let failed = answer.errors.iter().any(|error| *error != 0);
        let what = match (operation, operation.code()) {
            (_, OpCode::MULTI) if failed => "a multi that fails",
            (_, OpCode::MULTI) => "a multi that succeeds",
            (_, OpCode::MULTI_READ) if !failed => "a multiRead that succeeds",
            (Operation::Numbered { number: 0, .. }, OpCode::ADD_WATCH) => "a persistent watch",
            (Operation::Numbered { number: 1, .. }, OpCode::ADD_WATCH) => "a recursive watch",
            (Operation::Numbered { number: 1, .. }, OpCode::REMOVE_WATCHES) if !failed => {
                "child watches removed"
            }
            (Operation::Numbered { number: 2, .. }, OpCode::REMOVE_WATCHES) if !failed => {
                "data watches removed"
            }
            (Operation::Numbered { number: 3, .. }, OpCode::REMOVE_WATCHES) if !failed => {
                "any watches removed"
            }
            _ => return,
        };
        self.count(what.to_owned());
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
    "a multiRead that succeeds",
    "a persistent watch",
    "a recursive watch",
    "child watches removed",
    "data watches removed",
    "any watches removed",
    "a session opened",
    "a session closed",
    "a client dropped",
    "a client back",
];
