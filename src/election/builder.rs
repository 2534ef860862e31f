//! The configuration of a contender, checked before anything is sent.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use zookeeper_client::{Acl, Acls};

use super::Election;
use crate::breadcrumb::{BreadcrumbStep, Fence};
use crate::config::ContenderConfig;
use crate::error::{Error, MAX_IDENTITY_BYTES};
use crate::machine::{ElectionSpec, naming};
use crate::path;
use crate::session::{Counter, Session, Shared};
use crate::types::Mode;

const DEFAULT_PREFIX: &str = "guid_";

/// What kind of znodes the missing parents of an election are created as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Parents {
    /// They stay.
    #[default]
    Persistent,
    /// The ensemble deletes them some time after their last child has gone (ZooKeeper 3.5.3 or later), at its next check:
    /// once in a minute by default. Each time they are created again, the numbers of sequential znodes begin at zero;
    /// tokens go on growing.
    ///
    /// So a name is given out again, and a removal or a guarded write that is carried out very late may meet the znode of
    /// another contender: see the assumptions in [`guarantees`](crate::guarantees#assumptions).
    Container,
}

/// Options of an [`Election`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ElectionBuilder {
    shared: Arc<Shared>,
    path: String,
    mode: Mode,
    prefix: String,
    identity: Option<String>,
    acl: Vec<Acl>,
    parents: Parents,
    grace: Option<Duration>,
    breadcrumb: Option<String>,
    fence: Option<Arc<dyn Fence>>,
}

impl Session {
    /// An election at `path`, to be configured and built.
    ///
    /// The path is absolute, below the session's chroot. In sequential mode (the default) it is the directory
    /// of the contenders' znodes, in master mode the master's znode itself. Missing parents are created.
    pub fn election(&self, path: &str) -> ElectionBuilder {
        ElectionBuilder::new(self.shared.clone(), path)
    }
}

impl ElectionBuilder {
    fn new(shared: Arc<Shared>, path: &str) -> Self {
        Self {
            shared,
            path: path.to_owned(),
            mode: Mode::default(),
            prefix: DEFAULT_PREFIX.to_owned(),
            identity: None,
            acl: Acls::anyone_all().to_vec(),
            parents: Parents::default(),
            grace: None,
            breadcrumb: None,
            fence: None,
        }
    }

    /// How the leader is found. Default: [`Mode::Sequential`]. All contenders must use the same.
    ///
    /// In master mode a persistent znode stands beside the path, `<path>..counter`. Its version grows with each master, so
    /// that what an older one has sent late is refused. It stays, counts against quotas, and keeps a
    /// [container](Parents::Container) from being deleted. Do not change or delete it while any contender campaigns.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// What this contender tells about itself, as the data of its znode: an address, a name. UTF-8, 1 byte to
    /// 64 KiB. Default: the host's name and the process id, `host-a:4711`.
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Who may do what with the contender's znode, with the parents that are created, and in master mode with the
    /// counter beside the path. Default: anyone may do anything, `Acls::anyone_all()`.
    ///
    /// Contenders need READ, CREATE and DELETE on the directory; in master mode that is the path's parent. They need READ
    /// and WRITE on the counter. Contenders and observers need READ on the znodes, their own included: a server
    /// sends no event of a znode to a client that may not read it. A campaign to which it is refused ends with
    /// [`Error::NotAuthorized`].
    ///
    /// When the answer to a create is lost, an ephemeral znode stays beside the election for as long as the session: a
    /// tombstone, which keeps the create from being carried out late. Its name is the election's, `..`, 16 hexadecimal
    /// digits and a number. In sequential mode it stands in the directory where the directory's parent does not permit
    /// to create it.
    pub fn acl(mut self, acl: &[Acl]) -> Self {
        self.acl = acl.to_vec();
        self
    }

    /// What missing parents are created as. Default: [`Parents::Persistent`].
    pub fn parents(mut self, parents: Parents) -> Self {
        self.parents = parents;
        self
    }

    /// Sequential mode: what the names of znodes begin with, before the ten digits. Default: `guid_`. All
    /// contenders must use the same; children with other names are ignored.
    pub fn node_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Leaves a [`Breadcrumb`](crate::Breadcrumb): a persistent znode at this path that names the leader, until it has
    /// resigned. Default: none. All contenders must use the same.
    ///
    /// The winner reads it before [`campaign`](Election::campaign) returns, calls the [`fence`](Self::fence) if the
    /// previous leader has not resigned, and then writes its own. From then on a
    /// [guarded write](crate::Leadership::guarded) of any earlier leader is refused, also where its znode's name has been
    /// given out again.
    ///
    /// Only [`Leadership::resign`](crate::Leadership::resign) empties it, and with it
    /// [`Election::run`] when its task is done: there the work is known to have ended. After a crash, a lost lease, a
    /// failed task, [`withdraw`](Election::withdraw), [`Session::close`] or a leadership that was dropped it stays.
    /// Missing parents are created; all have the election's ACL. Contenders need READ and WRITE on it.
    ///
    /// The path must lie outside of the election's own. Neither the znode nor its directory should be deleted
    /// during a leadership: then guarded writes are refused. A znode that holds something else is left as it is, and
    /// ends campaigns with [`Error::NoBreadcrumb`]; an empty one is taken.
    pub fn breadcrumb(mut self, path: impl Into<String>) -> Self {
        self.breadcrumb = Some(path.into());
        self
    }

    /// What to do about a leader that has not resigned, before leading. Needs a [`breadcrumb`](Self::breadcrumb).
    /// Default: nothing, the breadcrumb is written over.
    pub fn fence(mut self, fence: impl Fence + 'static) -> Self {
        self.fence = Some(Arc::new(fence));
        self
    }

    /// How long the znode of a leadership that is over stays for the sake of work that has not ended: a future given
    /// to [`hold`](crate::Leadership::hold), or a [`LeaderTask`](crate::LeaderTask), which blocks its thread and so
    /// cannot be dropped. Default: the session timeout. After that the znode is removed, which is logged, and
    /// callers that wait for the removal get [`Error::WorkContinues`].
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Checks the options. Nothing is sent before the first campaign or look.
    ///
    /// # Errors
    /// [`Error::InvalidPath`], [`Error::InvalidNodePrefix`], [`Error::EmptyIdentity`],
    /// [`Error::IdentityTooLong`], [`Error::InvalidAcl`] for an empty one, [`Error::InvalidBreadcrumb`],
    /// [`Error::FenceWithoutBreadcrumb`].
    pub fn build(self) -> Result<Election, Error> {
        let Self { shared, path, mode, prefix, identity, acl, parents, grace, breadcrumb, fence } = self;
        if let Err(reason) = check_path(&path) {
            return Err(Error::InvalidPath { path, reason });
        }
        if let Err(reason) = check_prefix(&prefix) {
            return Err(Error::InvalidNodePrefix { prefix, reason });
        }
        let identity = identity.unwrap_or_else(default_identity);
        if identity.is_empty() {
            return Err(Error::EmptyIdentity);
        }
        if identity.len() > MAX_IDENTITY_BYTES {
            return Err(Error::IdentityTooLong { bytes: identity.len() });
        }
        if acl.is_empty() {
            return Err(Error::InvalidAcl { path });
        }
        if fence.is_some() && breadcrumb.is_none() {
            return Err(Error::FenceWithoutBreadcrumb);
        }
        if let Some(breadcrumb) = &breadcrumb
            && let Err(reason) = check_breadcrumb(breadcrumb, &path, mode)
        {
            return Err(Error::InvalidBreadcrumb { path: breadcrumb.clone(), reason });
        }
        let breadcrumb_step = breadcrumb.map(|path| BreadcrumbStep {
            path,
            identity: identity.clone(),
            acl: acl.clone(),
            fence,
        });
        let counter = (mode == Mode::Master).then(|| Counter::new(naming::counter(&path), &acl));
        let config = ContenderConfig {
            spec: ElectionSpec { mode, path, prefix },
            identity,
            acl,
            container_parents: parents == Parents::Container,
            id: fastrand::u64(..),
            counter,
            tombstones_inside: AtomicBool::new(false),
            grace,
        };
        Ok(Election::new(config, breadcrumb_step, shared))
    }
}

impl std::fmt::Debug for ElectionBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ElectionBuilder")
            .field("path", &self.path)
            .field("mode", &self.mode)
            .field("identity", &self.identity)
            .field("breadcrumb", &self.breadcrumb)
            .finish_non_exhaustive()
    }
}

fn default_identity() -> String {
    format!("{}:{}", gethostname::gethostname().to_string_lossy(), std::process::id())
}

fn check_path(path: &str) -> Result<(), &'static str> {
    path::check(path)?;
    if path == "/" {
        Err("the root can be neither deleted nor created")
    } else if path == "/zookeeper" || path.starts_with("/zookeeper/") {
        Err("/zookeeper is reserved for the ensemble itself")
    } else {
        Ok(())
    }
}

fn check_breadcrumb(path: &str, election: &str, mode: Mode) -> Result<(), &'static str> {
    check_path(path)?;
    if mode == Mode::Master && path == naming::counter(election) {
        return Err("it is the counter of the master's path");
    }
    let below = path.strip_prefix(election).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match mode {
        _ if !below => Ok(()),
        Mode::Sequential => {
            Err("it lies in the election's directory, where other clients take every child for a contender")
        }
        Mode::Master => Err("it lies at or below the master's znode, which goes with the master"),
    }
}

fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    if prefix.is_empty() {
        Err("it is empty")
    } else if prefix.contains('/') {
        Err("it contains a slash")
    } else {
        path::check_name(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_has_a_path_of_its_own() {
        for path in ["/", "/zookeeper", "/zookeeper/x", "x"] {
            assert!(check_path(path).is_err(), "{path}");
        }
        assert_eq!(check_path("/zookeeper-election"), Ok(()));
    }

    #[test]
    fn a_breadcrumb_lies_outside_of_the_election() {
        for mode in [Mode::Sequential, Mode::Master] {
            for path in ["/app/x", "/app/x/crumb", "/", "/zookeeper/crumb", "crumb"] {
                assert!(check_breadcrumb(path, "/app/x", mode).is_err(), "{path}");
            }
            for path in ["/app/x_crumb", "/app", "/crumb"] {
                assert_eq!(check_breadcrumb(path, "/app/x", mode), Ok(()), "{path}");
            }
        }
        assert!(check_breadcrumb("/app/x..counter", "/app/x", Mode::Master).is_err());
    }

    #[test]
    fn the_default_identity_names_this_process() {
        assert!(default_identity().ends_with(&format!(":{}", std::process::id())));
    }
}
