//! The operations of a transaction, and their length in a request.

use zookeeper_client as zk;

/// The version that ZooKeeper takes for any version.
const ANY_VERSION: i32 = -1;

/// One operation of a transaction. `None` as version: any version.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Create { path: String, data: Vec<u8>, mode: zk::CreateMode, acl: Vec<zk::Acl> },
    SetData { path: String, data: Vec<u8>, version: Option<i32> },
    Delete { path: String, version: Option<i32> },
    Check { path: String, version: Option<i32> },
}

/// The length in bytes of the request for a transaction, below a chroot of `chroot_bytes`.
pub(crate) fn request_bytes<'a>(writes: impl IntoIterator<Item = &'a Write>, chroot_bytes: usize) -> usize {
    const REQUEST_HEADER: usize = 8;
    const OPERATION_HEADER: usize = 9;
    let operations = writes.into_iter().map(|write| OPERATION_HEADER + write.bytes() + chroot_bytes);
    REQUEST_HEADER + operations.sum::<usize>() + OPERATION_HEADER
}

impl Write {
    /// The operation, as a verb for messages.
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::SetData { .. } => "set the data of",
            Self::Delete { .. } => "delete",
            Self::Check { .. } => "check",
        }
    }

    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::SetData { path, .. }
            | Self::Delete { path, .. }
            | Self::Check { path, .. } => path,
        }
    }

    /// Its length in a request, without a chroot. Numbers take 4 bytes, and so does the length of a string.
    fn bytes(&self) -> usize {
        let path = 4 + self.path().len();
        match self {
            Self::Create { data, acl, .. } => {
                let entries = acl.iter().map(|it| 4 + 4 + it.scheme().len() + 4 + it.id().len());
                // Plus 4 bytes of flags, and 8 of a time to live, which the protocol reserves for some modes.
                path + 4 + data.len() + 4 + entries.sum::<usize>() + 4 + 8
            }
            Self::SetData { data, .. } => path + 4 + data.len() + 4,
            Self::Delete { .. } | Self::Check { .. } => path + 4,
        }
    }

    pub(super) fn add_to(&self, writer: &mut zk::MultiWriter<'_>) -> Result<(), zk::Error> {
        match self {
            Self::Create { path, data, mode, acl } => {
                writer.add_create(path, data, &mode.with_acls(zk::Acls::new(acl)))
            }
            Self::SetData { path, data, version } => writer.add_set_data(path, data, *version),
            Self::Delete { path, version } => writer.add_delete(path, *version),
            Self::Check { path, version } => writer.add_check_version(path, version.unwrap_or(ANY_VERSION)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_request_counts_every_operation() {
        let delete = |path: &str| Write::Delete { path: path.into(), version: None };
        let one = request_bytes(&[delete("/a")], 0);
        assert_eq!(one, 8 + (9 + 4 + 2 + 4) + 9);
        assert_eq!(request_bytes(&[delete("/a"), delete("/bc")], 0), one + 9 + 4 + 3 + 4);
        assert_eq!(request_bytes(&[delete("/a")], 4), one + 4, "the path of the chroot goes before");
        let data = vec![0; 1000];
        let set = Write::SetData { path: "/a".into(), data: data.clone(), version: Some(3) };
        assert_eq!(request_bytes(&[set], 0), one + 4 + 1000);
        let mode = zk::CreateMode::Persistent;
        let acl = zk::Acls::anyone_all().to_vec();
        let create = Write::Create { path: "/a".into(), data, mode, acl };
        let anyone = 4 + (4 + "world".len()) + (4 + "anyone".len());
        assert!(request_bytes(&[create], 0) >= 8 + 9 + (4 + 2) + (4 + 1000) + 4 + anyone + 4 + 9);
    }
}
