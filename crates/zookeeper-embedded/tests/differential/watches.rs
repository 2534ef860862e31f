//! The watches that a client believes to have, as it sends them when it connects again.

use std::collections::BTreeSet;

use crate::answers::{Answer, Event};
use crate::operations::Operation;
use testkit::OpCode;

/// A client's watches, by their paths.
#[derive(Debug, Default)]
pub struct Watches {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
}

impl Watches {
    /// Takes note of a request that was answered.
    pub fn answered(&mut self, operation: &Operation, answer: &Answer) {
        match operation {
            Operation::Read { code: OpCode::EXISTS, path, watch: true } if answer.error == NO_NODE => {
                self.exist.insert(path.clone());
            }
            _ if answer.error != 0 => {}
            Operation::Read { code, path, watch: true } => {
                let of_data = matches!(*code, OpCode::EXISTS | OpCode::GET_DATA);
                let watches = if of_data { &mut self.data } else { &mut self.child };
                watches.insert(path.clone());
            }
            Operation::Numbered { code: OpCode::ADD_WATCH, path, number } => {
                let watches = if *number == 0 { &mut self.persistent } else { &mut self.recursive };
                watches.insert(path.clone());
            }
            Operation::Numbered { code: OpCode::REMOVE_WATCHES, path, number } => {
                if matches!(number, 1 | 3) {
                    self.child.remove(path);
                }
                if matches!(number, 2 | 3) {
                    self.data.remove(path);
                    self.exist.remove(path);
                }
                self.persistent.remove(path);
                self.recursive.remove(path);
            }
            _ => {}
        }
    }

    /// Takes note of an event, which uses up the watches that are not persistent.
    pub fn fired(&mut self, event: &Event) {
        match event.kind {
            4 => {
                self.child.remove(&event.path);
            }
            kind => {
                self.data.remove(&event.path);
                self.exist.remove(&event.path);
                if kind == 2 {
                    self.child.remove(&event.path);
                }
            }
        }
    }

    /// The request that sets them again, unless there are none.
    pub fn set_again(&self, relative_zxid: i64) -> Option<Operation> {
        let list = |paths: &BTreeSet<String>| paths.iter().cloned().collect::<Vec<_>>();
        let mut paths = vec![list(&self.data), list(&self.exist), list(&self.child)];
        let mut code = OpCode::SET_WATCHES;
        if !self.persistent.is_empty() || !self.recursive.is_empty() {
            paths.extend([list(&self.persistent), list(&self.recursive)]);
            code = OpCode::SET_WATCHES2;
        }
        let any = paths.iter().any(|paths| !paths.is_empty());
        any.then_some(Operation::SetWatches { code, relative_zxid, paths })
    }
}

const NO_NODE: i32 = -101;
