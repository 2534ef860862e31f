//! Random requests that meet each other: few paths, few users, small versions.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::lists::{ACLS, CREDENTIALS, DATA, NAMES, OPEN, ROOT_ACLS, odd_paths};
use crate::operations::{Acl, Damage, Data, Operation};
use testkit::OpCode;

/// Makes requests, from a seed and from what earlier ones did.
///
/// They go to one subtree for a while and then to a new one, so that znodes without permissions do not pile up.
#[derive(Debug)]
pub struct Generator {
    pub rng: Rng,
    /// The top of the current subtree.
    top: String,
    tops: usize,
    /// How many more requests go to the current subtree.
    left: usize,
    /// Nodes that were created lately.
    created: VecDeque<String>,
    zxid: i64,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        Self { rng, top: String::new(), tops: 0, left: 0, created: VecDeque::new(), zxid: 0 }
    }

    /// Learns what a server did.
    pub fn learn(&mut self, zxid: i64, created: Option<&str>) {
        self.zxid = self.zxid.max(zxid);
        if let Some(path) = created {
            self.created.push_back(path.to_owned());
            if self.created.len() > 12 {
                self.created.pop_front();
            }
        }
    }

    /// Requests for one client to send without waiting in between.
    pub fn requests(&mut self, most: usize) -> Vec<Operation> {
        let number = self.rng.usize(1..=most);
        let mut operations = Vec::new();
        if self.left < number {
            self.top = format!("/{}", self.tops);
            self.tops += 1;
            self.left = LIFETIME;
            operations.push(Operation::Create {
                code: OpCode::CREATE,
                path: self.top.clone(),
                data: None,
                acl: OPEN(),
                flags: 0,
                ttl: 0,
            });
        }
        self.left -= number;
        while operations.len() < number {
            let operation = self.operation();
            operations.push(operation);
        }
        operations
    }

    fn operation(&mut self) -> Operation {
        match self.rng.u32(..1000) {
            0..240 => self.create(),
            240..360 => self.delete(),
            360..450 => self.read(&[OpCode::EXISTS]),
            450..530 => self.read(&[OpCode::GET_DATA]),
            530..620 => self.set_data(),
            620..700 => self.read(&[OpCode::GET_CHILDREN, OpCode::GET_CHILDREN2]),
            700..720 => self.path_only(OpCode::GET_ACL),
            720..750 => self.set_acl(),
            750..760 => self.path_only(OpCode::SYNC),
            760..770 => Operation::Bare { code: OpCode::PING },
            770..780 => self.failing_check(),
            780..860 => self.multi(),
            860..880 => self.multi_read(),
            880..910 => self.numbered(OpCode::ADD_WATCH, &[0, 0, 0, 1, 1, 1, 1, 2, -1]),
            910..930 => self.numbered(OpCode::REMOVE_WATCHES, &[1, 1, 2, 2, 3, 3, 3, 0, 4]),
            930..940 => self.set_watches(),
            940..948 => Operation::Bare { code: OpCode::WHO_AM_I },
            948..956 => self.path_only(OpCode::GET_EPHEMERALS),
            956..964 => self.path_only(OpCode::GET_ALL_CHILDREN_NUMBER),
            964..976 => self.auth(),
            _ => self.damaged(),
        }
    }

    fn create(&mut self) -> Operation {
        let code = self.pick(&[OpCode::CREATE, OpCode::CREATE2, OpCode::CREATE2, OpCode::CREATE_CONTAINER]);
        let code = if self.rng.u32(..40) == 0 { OpCode::CREATE_TTL } else { code };
        let path = self.path();
        let flags = match self.rng.u32(..100) {
            0..45 => 0,
            45..65 => 1,
            65..78 => 2,
            78..90 => 3,
            90..95 => 4,
            95..98 => self.pick(&[5, 6]),
            _ => self.pick(&[7, -1, 99]),
        };
        // A time to live below zero with other flags would end a ZooKeeper server.
        let ttl = self.pick(&[0, 1, 60_000, i64::MAX]);
        Operation::Create { code, path, data: self.data(), acl: self.acl(), flags, ttl }
    }

    fn delete(&mut self) -> Operation {
        let path = self.path();
        Operation::Numbered { code: OpCode::DELETE, path, number: self.version() }
    }

    fn read(&mut self, codes: &[OpCode]) -> Operation {
        Operation::Read { code: self.pick(codes), path: self.path(), watch: self.rng.u32(..5) < 3 }
    }

    fn set_data(&mut self) -> Operation {
        Operation::SetData { path: self.path(), data: self.data(), version: self.version() }
    }

    fn set_acl(&mut self) -> Operation {
        if self.rng.u32(..20) == 0 {
            let acl = self.pick(ROOT_ACLS)();
            return Operation::SetAcl { path: "/".to_owned(), acl, version: self.version() };
        }
        let path = loop {
            let path = self.path();
            if !matches!(path.as_str(), "/" | "") {
                break path;
            }
        };
        Operation::SetAcl { path, acl: self.acl(), version: self.version() }
    }

    fn path_only(&mut self, code: OpCode) -> Operation {
        Operation::Path { code, path: self.path() }
    }

    fn numbered(&mut self, code: OpCode, numbers: &[i32]) -> Operation {
        Operation::Numbered { code, path: self.path(), number: self.pick(numbers) }
    }

    /// On its own, a check that holds is never answered.
    fn failing_check(&mut self) -> Operation {
        self.numbered(OpCode::CHECK, &[-7])
    }

    fn multi(&mut self) -> Operation {
        let number = self.rng.usize(..5);
        let mut operations: Vec<Operation> = (0..number).map(|_| self.part_of_multi()).collect();
        if self.rng.u32(..25) == 0 {
            operations.push(self.read(&[OpCode::GET_DATA, OpCode::EXISTS]));
        }
        Operation::Many { code: OpCode::MULTI, operations }
    }

    /// Mostly a write that fits.
    fn part_of_multi(&mut self) -> Operation {
        let operation = match self.rng.u32(..10) {
            0..4 => self.create(),
            4..6 => self.delete(),
            6..8 => self.set_data(),
            _ => {
                let path = self.path();
                Operation::Numbered { code: OpCode::CHECK, path, number: self.version() }
            }
        };
        if self.rng.bool() {
            return operation;
        }
        match operation {
            Operation::Numbered { code: code @ OpCode::DELETE, .. } => {
                Operation::Numbered { code, path: self.path(), number: -1 }
            }
            Operation::Numbered { code, .. } => {
                Operation::Numbered { code, path: self.top.clone(), number: -1 }
            }
            Operation::SetData { data, .. } => {
                Operation::SetData { path: self.top.clone(), data, version: -1 }
            }
            other => other,
        }
    }

    fn multi_read(&mut self) -> Operation {
        let number = self.rng.usize(..5);
        let codes = [OpCode::GET_DATA, OpCode::GET_CHILDREN];
        let mut operations: Vec<Operation> = (0..number).map(|_| self.read(&codes)).collect();
        if self.rng.u32(..12) == 0 {
            operations.push(self.delete());
        }
        Operation::Many { code: OpCode::MULTI_READ, operations }
    }

    fn set_watches(&mut self) -> Operation {
        let (code, lists) = self.pick(&[(OpCode::SET_WATCHES, 3), (OpCode::SET_WATCHES2, 5)]);
        let mut paths = || (0..self.rng.usize(..3)).map(|_| self.path()).collect();
        let paths: Vec<Vec<String>> = (0..lists).map(|_| paths()).collect();
        Operation::SetWatches { code, relative_zxid: self.zxid - self.rng.i64(0..200), paths }
    }

    fn auth(&mut self) -> Operation {
        let (scheme, data) = self.pick(CREDENTIALS);
        Operation::Auth { scheme: scheme.to_owned(), data }
    }

    /// A request that is damaged so that a server notices at once, or not at all.
    fn damaged(&mut self) -> Operation {
        let operation = loop {
            let operation = self.operation();
            // Damaged authentication closes the connection, and the others may be answered never.
            let unfit = matches!(operation.code(), OpCode::AUTH | OpCode::CHECK | OpCode::PING);
            if !unfit && !matches!(operation, Operation::Damaged { .. }) {
                break operation;
            }
        };
        let mut damages = vec![Damage::Followed];
        if !operation.body().is_empty() {
            damages.extend([1, 2, 4, 5, 9, 1000].map(Damage::Truncated));
        }
        let with_path = match &operation {
            Operation::Create { .. }
            | Operation::Read { .. }
            | Operation::Path { .. }
            | Operation::SetData { .. }
            | Operation::SetAcl { .. } => true,
            Operation::Numbered { code, .. } => *code == OpCode::DELETE,
            _ => false,
        };
        if with_path {
            damages.extend([
                Damage::NullPath,
                Damage::NullPath,
                Damage::Length(-2),
                Damage::Length(i32::MAX),
            ]);
        }
        Operation::Damaged { operation: Box::new(operation), damage: self.pick(&damages) }
    }

    fn path(&mut self) -> String {
        match self.rng.u32(..100) {
            0..4 => self.pick(&odd_paths(&self.top)).clone(),
            4..16 if !self.created.is_empty() => {
                let index = self.rng.usize(..self.created.len());
                self.created[index].clone()
            }
            _ => {
                let depth = self.pick(&[0, 1, 1, 1, 1, 1, 2, 2, 2, 3]);
                (0..depth).fold(self.top.clone(), |path, _| path + "/" + self.pick(NAMES))
            }
        }
    }

    fn version(&mut self) -> i32 {
        self.pick(&[-1, -1, -1, -1, 0, 0, 0, 1, 1, 2, 3, -2, i32::MAX])
    }

    fn data(&mut self) -> Data {
        self.pick(DATA)
    }

    fn acl(&mut self) -> Acl {
        let total: u32 = ACLS.iter().map(|(weight, _)| weight).sum();
        let mut at = self.rng.u32(..total);
        for (weight, acl) in ACLS {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return acl(),
            }
        }
        unreachable!("less than the sum of the weights")
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())].clone()
    }
}

/// How many requests go to a subtree.
const LIFETIME: usize = 1000;
