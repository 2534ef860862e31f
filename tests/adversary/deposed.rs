//! Three servers of which one leads and is cut off from the others, which have elected another: it goes on answering
//! its clients for `syncLimit` ticks, `sync` included, as `Leader.processSync` asks nobody while nothing is outstanding.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use testkit::network::Network;
use testkit::{Ensemble, EnsembleBuilder};

const SERVERS: usize = 3;

/// The servers, on hosts of their own.
pub(crate) struct Servers {
    pub(crate) ensemble: Ensemble,
    pub(crate) network: Network,
    /// The server that leads first.
    pub(crate) old: usize,
    /// The others.
    pub(crate) others: [usize; 2],
}

impl Servers {
    /// Starts them. A server that hears nothing of the others waits for half a minute.
    pub(crate) async fn start(
        mut network: Network,
        options: impl FnOnce(EnsembleBuilder) -> EnsembleBuilder,
    ) -> Self {
        let hosts = (0..SERVERS).map(|_| Arc::new(network.host().expect("a host"))).collect();
        let builder = Ensemble::builder(SERVERS).on_hosts(hosts).tick(Duration::from_millis(500));
        let ensemble = options(builder.config("syncLimit=60")).start().await;
        let old = ensemble.leader().await;
        let others = [(old + 1) % SERVERS, (old + 2) % SERVERS];
        Self { ensemble, network, old, others }
    }

    /// Cuts the leading server off from the others, which elect another.
    pub(crate) async fn depose(&mut self) {
        let others = self.others.map(|i| self.quorum(i));
        self.network.cut(&[self.quorum(self.old)], &others);
        for i in self.others {
            self.ensemble.server_mut(i).kill();
        }
        for i in self.others {
            self.ensemble.server_mut(i).start();
        }
        for i in self.others {
            self.ensemble.server(i).serves().await;
        }
    }

    /// Holds back what the leading server says to the others, until the network heals: nothing commits.
    pub(crate) fn stall(&self) {
        let others = self.others.map(|i| self.quorum(i));
        self.network.drop_packets(&[self.quorum(self.old)], &others);
    }

    /// The address of one of those that have a quorum without the first leading server.
    pub(crate) fn majority(&self) -> String {
        self.ensemble.server(self.others[1]).address()
    }

    fn quorum(&self, i: usize) -> Ipv4Addr {
        self.ensemble.server(i).host().quorum
    }
}
