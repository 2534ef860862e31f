//! Properties of transactions: the session, the znodes that are deleted, a line for the transcript.

use crate::simulation::invariants::reports::Deletion;
use crate::types::{self, FencingToken};
use zookeeper_embedded::SessionId;
use zookeeper_embedded::replica::{Action, Body, Code, Outcome, Replica, Transaction, Write};

/// The result of a transaction.
pub(super) type TransactionResult = Result<Body, Code>;

pub(super) fn session_of(transaction: &Transaction) -> SessionId {
    match transaction {
        Transaction::Close(session)
        | Transaction::Open(session, _)
        | Transaction::Write(session, _)
        | Transaction::Multi(session, _) => *session,
    }
}

/// The znodes that a transaction deletes, if it succeeds.
pub(super) fn deletions(replica: &Replica, transaction: &Transaction) -> Vec<Deletion> {
    let writes = match transaction {
        Transaction::Write(_, write) => std::slice::from_ref(write),
        Transaction::Multi(_, writes) => writes,
        Transaction::Open(..) | Transaction::Close(_) => return Vec::new(),
    };
    let deleting = writes.iter().filter(|write| matches!(write.action, Action::Delete { .. }));
    let deletion = |write: &Write| {
        let path = write.path.clone()?;
        let stat = replica.stat(&path)?;
        let (token, owner) =
            (FencingToken::from_zxid(stat.czxid), types::SessionId::from_raw(stat.ephemeral_owner));
        let by = types::SessionId::from_raw(session_of(transaction).raw());
        Some(Deletion { path, token, owner, by })
    };
    deleting.filter_map(deletion).collect()
}

/// A transaction and its result, for the transcript.
pub(super) fn describe(transaction: &Transaction, result: &TransactionResult) -> String {
    let what = match transaction {
        Transaction::Open(session, timeout) => return format!("session {session} opens with {timeout:?}"),
        Transaction::Close(session) => return format!("session {session} ends"),
        Transaction::Write(session, write) => {
            let path = write.path.as_deref().unwrap_or_default();
            match (&write.action, result) {
                (Action::Create { .. }, Ok(Body::PathAndStat(path, stat))) => {
                    return format!("{session} creates {path} with {:#x}", stat.czxid);
                }
                (Action::Create { .. }, _) => format!("{session} creates {path}"),
                (Action::Delete { .. }, _) => format!("{session} deletes {path}"),
                _ => format!("{session} writes {path}"),
            }
        }
        Transaction::Multi(session, writes) => {
            let paths: Vec<&str> = writes.iter().filter_map(|write| write.path.as_deref()).collect();
            format!("{session} checks or changes {}", paths.join(" "))
        }
    };
    match result {
        Ok(_) => what,
        Err(code) => format!("{what}: {code:?}"),
    }
}

/// Whether a transaction has succeeded.
pub(super) fn is_done(result: &TransactionResult) -> bool {
    match result {
        Ok(Body::Multi(parts)) => !parts.iter().any(|part| matches!(part, Outcome::Failed(_))),
        result => result.is_ok(),
    }
}
