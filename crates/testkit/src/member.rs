//! What a server of an ensemble is configured with: where it listens, and its files.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::network::Host;
use super::ports::Ports;

/// The addresses of a server.
#[derive(Debug)]
pub(super) struct Member {
    /// Where it serves clients.
    pub(super) client: SocketAddr,
    /// Where it serves its followers, while it leads.
    pub(super) quorum: SocketAddr,
    /// Where it elects the leader with the others.
    pub(super) election: SocketAddr,
    /// Where it runs; on this machine's loopback if nowhere else.
    pub(super) host: Option<Arc<Host>>,
}

impl Member {
    /// A server on loopback.
    pub(super) fn on_loopback(ports: &mut Ports) -> Self {
        let mut address = || SocketAddr::from((Ipv4Addr::LOCALHOST, ports.take()));
        Self { client: address(), quorum: address(), election: address(), host: None }
    }

    /// A server on a host of its own.
    pub(super) fn on_host(host: Arc<Host>) -> Self {
        let [client, quorum, election] =
            [(host.client, 2181), (host.quorum, 2888), (host.quorum, 3888)].map(SocketAddr::from);
        Self { client, quorum, election, host: Some(host) }
    }

    /// Writes the files of this member, the `id`th, to its directory.
    pub(super) fn write_files(
        &self,
        home: &Path,
        id: usize,
        members: &[Member],
        tick: Duration,
        more: &[String],
    ) {
        let data = home.join("data");
        let zoo_cfg = self.zoo_cfg(&data, members, tick, more);
        let written = fs::create_dir_all(&data)
            .and_then(|()| fs::write(data.join("myid"), format!("{id}\n")))
            .and_then(|()| fs::write(home.join("zoo.cfg"), zoo_cfg));
        written.unwrap_or_else(|error| panic!("the server's files in {}: {error}", home.display()));
    }

    fn zoo_cfg(&self, data: &Path, members: &[Member], tick: Duration, more: &[String]) -> String {
        let mut text = format!(
            "tickTime={}\ninitLimit=10\nsyncLimit=10\ndataDir={}\nmaxClientCnxns=0\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\n",
            tick.as_millis(),
            data.display(),
        );
        if members.len() == 1 {
            let (address, port) = (self.client.ip(), self.client.port());
            let _ = writeln!(text, "clientPortAddress={address}\nclientPort={port}");
        } else {
            for (i, Member { client, quorum, election, .. }) in members.iter().enumerate() {
                let _ = writeln!(text, "server.{}={quorum}:{};{client}", i + 1, election.port());
            }
        }
        for line in more {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}
