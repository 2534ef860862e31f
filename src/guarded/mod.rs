//! Guarded writes: ZooKeeper transactions that commit only while a leadership's znode exists.

mod error;

use std::fmt;

use futures_util::future::poll_immediate;
use zookeeper_client::{Acl, CreateMode, MultiWriteResult};

pub use self::error::{GuardedError, MAX_GUARDED_BYTES};
use crate::error::{Failure, Lost};
use crate::leadership::Leadership;
use crate::machine::naming;
use crate::mistakes::mistake;
use crate::path;
use crate::session::{TransactionError, Write};
use crate::telemetry;

/// A transaction that ZooKeeper commits only while the znode of a leadership exists: made by
/// [`Leadership::guarded`].
///
/// The operations are carried out together and in their order, or not at all. Nothing is sent before
/// [`commit`](Self::commit). Paths are below the session's chroot.
///
/// # What is guaranteed
/// The transaction contains a check of the leading znode, and an ensemble orders all transactions. So nothing is written
/// after another contender has begun to lead, because that happens only when this znode is gone. This holds without
/// clocks, also for a process that was paused between the call and the write, and needs no fencing token. Writes to
/// anything but the same ensemble do need one.
///
/// # What is not
/// ZooKeeper checks that *a* znode with this name exists, and names can repeat. In master mode they are all the same. So
/// the transaction also checks the version of the path's counter, which each master raises. (A program that creates the
/// master's znode without this crate does not raise it.) In sequential mode, names repeat only after the directory was
/// deleted. Then an old leader can write while another contender has the same name, until it learns of the deletion. With
/// [`ElectionBuilder::breadcrumb`](crate::ElectionBuilder::breadcrumb) that is ruled out as well: the transaction also
/// checks the version of the breadcrumb, which each leader raises.
///
/// The transaction needs READ permission on the leading znode, and in master mode on the counter, as contending does.
///
/// ```no_run
/// # use zookeeper_election::{BoxError, GuardedError, Leadership, zookeeper_client::{Acls, CreateMode}};
/// # async fn work(leadership: &Leadership) -> Result<(), BoxError> {
/// let written = leadership
///     .guarded()
///     .create("/app/jobs/7", b"running", CreateMode::Persistent, &Acls::anyone_all())
///     .set_data("/app/last_job", b"7", None)
///     .commit()
///     .await;
/// match written {
///     Ok(results) => println!("written: {results:?}"),
///     Err(GuardedError::NotLeading { reason }) => println!("another contender leads, or will: {reason}"),
///     // A second create of the same znode fails if the first one was carried out, or will be.
///     Err(GuardedError::Unknown { .. }) => println!("send it again"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent before `commit`"]
pub struct GuardedWrite<'a> {
    leadership: &'a Leadership,
    writes: Vec<Write>,
}

impl Leadership {
    /// Begins a transaction that ZooKeeper commits only while the znode of this leadership exists.
    pub fn guarded(&self) -> GuardedWrite<'_> {
        GuardedWrite { leadership: self, writes: Vec::new() }
    }
}

impl GuardedWrite<'_> {
    /// Creates a znode. The ACL must not be empty; `Acls::anyone_all()` lets anyone do anything. To the path of a
    /// sequential znode the server appends a number; the result tells it. The stat in the result
    /// may be invalid: some servers, 3.8.0 among them, send none.
    pub fn create(
        self,
        path: impl Into<String>,
        data: impl Into<Vec<u8>>,
        mode: CreateMode,
        acl: &[Acl],
    ) -> Self {
        self.and(Write::Create { path: path.into(), data: data.into(), mode, acl: acl.to_vec() })
    }

    /// Replaces the data of a znode: that of this version, or with `None` of any.
    pub fn set_data(
        self,
        path: impl Into<String>,
        data: impl Into<Vec<u8>>,
        version: impl Into<Option<i32>>,
    ) -> Self {
        self.and(Write::SetData { path: path.into(), data: data.into(), version: version.into() })
    }

    /// Deletes a znode: that of this version, or with `None` of any.
    pub fn delete(self, path: impl Into<String>, version: impl Into<Option<i32>>) -> Self {
        self.and(Write::Delete { path: path.into(), version: version.into() })
    }

    /// Requires that a znode has this version, or with `None` that it exists.
    pub fn check(self, path: impl Into<String>, version: impl Into<Option<i32>>) -> Self {
        self.and(Write::Check { path: path.into(), version: version.into() })
    }

    fn and(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Sends the transaction if the leadership is valid at this moment, and waits for the answer. Returns one
    /// result for each operation, in their order.
    ///
    /// # Errors
    /// [`GuardedError`]: of all of them, only after [`GuardedError::Unknown`] something may have been written.
    ///
    /// # Cancel safety
    /// Dropping the future does not recall a request that was sent: treat it as [`GuardedError::Unknown`].
    ///
    /// # Connection loss
    /// Without a connection it waits for one, as long as the leadership lasts. When the connection breaks before the
    /// answer has come, the outcome is unknown: the transaction may have been committed, or may be later, as long as the
    /// leadership's znode stands. No read rules that out, and neither does a
    /// [`sync`](zookeeper_client::Client::sync), which a leader server that was deposed answers by itself.
    /// So give each write a condition that the write itself ends, and send it again: with a create, or with
    /// the version that was read before, at most one of the two is carried out. What is read on the same session after
    /// the second has been answered shows the outcome.
    pub async fn commit(self) -> Result<Vec<MultiWriteResult>, GuardedError> {
        if self.writes.is_empty() {
            return Err(GuardedError::Empty);
        }
        let guards = guards(self.leadership);
        self.writes.iter().try_for_each(|write| check(write, &guards))?;
        self.send().await
    }

    /// [`commit`](Self::commit) without the check of the paths.
    pub(crate) async fn send(mut self) -> Result<Vec<MultiWriteResult>, GuardedError> {
        let leadership = self.leadership;
        let guards = guards(leadership);
        let count = guards.len();
        self.writes.splice(0..0, guards);
        let bytes = leadership.pinned_session().request_bytes(&self.writes);
        if bytes > MAX_GUARDED_BYTES {
            return Err(GuardedError::TooLarge { bytes });
        }
        // The first poll sends the request. `hold` checks the lease right before it, and keeps the znode until then. The answer
        // is awaited outside of `hold`, because a sent request has an outcome even after the lease has ended.
        let sending = leadership.hold(async {
            let client = leadership.pinned_session().client().await?;
            let writes = &self.writes;
            let mut answer = Box::pin(async move { client.transact(writes, client.request_timeout()).await });
            telemetry::guarded_write(leadership.token());
            let at_once = poll_immediate(&mut answer).await;
            Some((answer, at_once))
        });
        let outcome = match sending.await {
            Ok(Some((_, Some(outcome)))) => outcome,
            Ok(Some((answer, None))) => answer.await,
            Ok(None) => return Err(GuardedError::NotLeading { reason: leadership.lost().await }),
            Err(reason) => return Err(GuardedError::NotLeading { reason }),
        };
        match outcome {
            Ok(results) => Ok(results.into_iter().skip(count).collect()),
            Err(aborted) => Err(self.error(aborted, count)),
        }
    }

    fn error(&self, aborted: TransactionError, guards: usize) -> GuardedError {
        use zookeeper_client::Error::{BadVersion, NoNode};
        match aborted {
            TransactionError::Operation { index: 0, source: NoNode } => {
                GuardedError::NotLeading { reason: Lost::NodeDeleted }
            }
            TransactionError::Operation { index, source: NoNode | BadVersion } if index < guards => {
                GuardedError::Superseded { path: self.writes[index].path().to_owned() }
            }
            TransactionError::Operation { index, source } => {
                let write = &self.writes[index];
                match index.checked_sub(guards) {
                    Some(index) => GuardedError::Failed {
                        index,
                        operation: write.operation(),
                        path: write.path().to_owned(),
                        source,
                    },
                    None => {
                        GuardedError::Rejected { reason: format!("cannot check {}: {source}", write.path()) }
                    }
                }
            }
            TransactionError::Request(Failure::Unknown(reason)) => GuardedError::Unknown { reason },
            TransactionError::Request(failure) => GuardedError::Rejected { reason: failure.reason() },
        }
    }
}

impl fmt::Debug for GuardedWrite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writes = self.writes.iter().map(|write| format!("{} {}", write.operation(), write.path()));
        f.debug_struct("GuardedWrite")
            .field("leadership", &self.leadership)
            .field("operations", &writes.collect::<Vec<_>>())
            .finish()
    }
}

/// The checks that guard a transaction of this leadership: the own znode exists, and the counter and the breadcrumb have
/// not changed since.
fn guards(leadership: &Leadership) -> Vec<Write> {
    let check = |path: String, version| Write::Check { path, version };
    let own = check(leadership.node().to_owned(), None);
    let incarnation = leadership.incarnation().filter(|_| !mistake!(UnboundGuardedWrite));
    let counter = incarnation.map(|it| check(naming::counter(leadership.node()), Some(it)));
    let breadcrumb = leadership.written_breadcrumb().map(|it| check(it.path.clone(), Some(it.version)));
    [own].into_iter().chain(counter).chain(breadcrumb).collect()
}

/// Checks an operation before anything is sent.
fn check(write: &Write, guards: &[Write]) -> Result<(), GuardedError> {
    let (path, changes) = (write.path(), !matches!(write, Write::Check { .. }));
    let reason = match write {
        // The server appends the number before it checks the path.
        Write::Create {
            mode: CreateMode::PersistentSequential | CreateMode::EphemeralSequential, ..
        } => path::check(&format!("{path}0")),
        _ => path::check(path),
    };
    let invalid = |reason| Err(GuardedError::InvalidPath { path: path.to_owned(), reason });
    match (reason, write) {
        (Err(reason), _) => invalid(reason),
        (Ok(()), Write::Create { .. } | Write::Delete { .. }) if path == "/" => {
            invalid("the root can be neither created nor deleted")
        }
        (Ok(()), _) if changes && guards.iter().skip(1).any(|guard| guard.path() == path) => {
            invalid("it is the breadcrumb or the master's counter, which only the election writes")
        }
        (Ok(()), Write::Create { acl, .. }) if acl.is_empty() => {
            Err(GuardedError::EmptyAcl { path: path.to_owned() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards() -> [Write; 2] {
        ["/app/x", "/crumb"].map(|path| Write::Check { path: path.into(), version: None })
    }

    #[test]
    fn what_cannot_work_is_found_before_it_is_sent() {
        let create = |path: &str, mode, acl: &[Acl]| {
            check(&Write::Create { path: path.into(), data: Vec::new(), mode, acl: acl.to_vec() }, &guards())
        };
        let acl = zookeeper_client::Acls::anyone_all();
        assert!(create("/app/x", CreateMode::Persistent, &acl).is_ok());
        assert!(create("/app/", CreateMode::PersistentSequential, &acl).is_ok(), "the number is the name");
        for (path, mode) in [
            ("/app/", CreateMode::Persistent),
            ("app", CreateMode::PersistentSequential),
            ("/", CreateMode::Ephemeral),
            ("/crumb", CreateMode::Persistent),
        ] {
            let error = create(path, mode, &acl).expect_err(path);
            assert!(matches!(error, GuardedError::InvalidPath { .. }), "{path}: {error}");
        }
        let error = create("/app/x", CreateMode::Persistent, &[]).expect_err("no ACL");
        assert!(matches!(error, GuardedError::EmptyAcl { .. }));
        let check = |write| check(&write, &guards()).is_ok();
        assert!(check(Write::Check { path: "/crumb".into(), version: None }), "reading is for everybody");
        assert!(check(Write::SetData { path: "/".into(), data: Vec::new(), version: None }));
        assert!(!check(Write::Delete { path: "/".into(), version: None }));
    }
}
