//! Converts requests and replies between the types of the servers' engine and of `zookeeper-client`.

use zookeeper_client as zk;
use zookeeper_embedded::replica::{
    Action, Body, Code, CreateAnswer, Stat, Write as Wire, anyone, create as flags,
};

use crate::session::Write;

/// The version that stands for any version in ZooKeeper.
const ANY_VERSION: i32 = -1;

/// An operation of a transaction.
pub(super) fn write(write: &Write) -> Wire {
    match write {
        Write::Create { path, data, mode, .. } => create(path, data, *mode),
        Write::SetData { path, data, version } => {
            let action =
                Action::SetData { data: Some(data[..].into()), version: version.unwrap_or(ANY_VERSION) };
            Wire { path: Some(path.clone()), action }
        }
        Write::Delete { path, version } => delete(path, *version),
        Write::Check { path, version } => Wire {
            path: Some(path.clone()),
            action: Action::Check { version: version.unwrap_or(ANY_VERSION) },
        },
    }
}

pub(super) fn create(path: &str, data: &[u8], mode: zk::CreateMode) -> Wire {
    let flags = match mode {
        zk::CreateMode::Persistent => flags::PERSISTENT,
        zk::CreateMode::Ephemeral => flags::EPHEMERAL,
        zk::CreateMode::EphemeralSequential => flags::EPHEMERAL_SEQUENTIAL,
        mode => unreachable!("{mode:?} is not simulated"),
    };
    // The simulated servers grant all permissions.
    let acl = vec![anyone()];
    let (data, answer) = (Some(data.into()), CreateAnswer::Path);
    Wire { path: Some(path.into()), action: Action::Create { data, acl, flags, time_to_live: -1, answer } }
}

pub(super) fn delete(path: &str, version: Option<i32>) -> Wire {
    Wire { path: Some(path.into()), action: Action::Delete { version: version.unwrap_or(ANY_VERSION) } }
}

/// `None` if the znode does not exist.
pub(super) fn optional(answer: Result<Body, zk::Error>) -> Result<Option<Body>, zk::Error> {
    match answer {
        Ok(body) => Ok(Some(body)),
        Err(zk::Error::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn stat(stat: &Stat) -> zk::Stat {
    let &Stat {
        czxid,
        mzxid,
        ctime,
        mtime,
        version,
        cversion,
        aversion,
        ephemeral_owner,
        data_length,
        num_children,
        pzxid,
    } = stat;
    zk::Stat {
        czxid,
        mzxid,
        pzxid,
        ctime,
        mtime,
        version,
        cversion,
        aversion,
        ephemeral_owner,
        data_length,
        num_children,
    }
}

pub(super) fn error(code: Code) -> zk::Error {
    match code {
        Code::NO_NODE => zk::Error::NoNode,
        Code::NODE_EXISTS => zk::Error::NodeExists,
        Code::BAD_VERSION => zk::Error::BadVersion,
        Code::NO_AUTH => zk::Error::NoAuth,
        Code::NOT_EMPTY => zk::Error::NotEmpty,
        Code::NO_CHILDREN_FOR_EPHEMERALS => zk::Error::NoChildrenForEphemerals,
        code => zk::Error::UnexpectedErrorCode(code.number()),
    }
}
