//! A network of namespaces with a router in the middle, where packets are dropped without a word to either side.

use std::net::Ipv4Addr;
use std::panic::resume_unwind;
use std::thread;

use super::namespace::Namespace;

/// Hosts, and the router that all of them are connected to.
///
/// A cut is made in the router, as neither end would then notice: no reset, no error, only silence.
#[derive(Debug)]
pub struct Network {
    router: Namespace,
    hosts: u8,
}

/// A host: a namespace with two links to the router, one for the traffic of clients and one for that among servers.
#[derive(Debug)]
pub struct Host {
    /// Where its processes run.
    pub namespace: Namespace,
    /// Its address among clients and servers.
    pub client: Ipv4Addr,
    /// Its address among servers.
    pub quorum: Ipv4Addr,
}

/// The two kinds of traffic: the second byte of the addresses, and the name of the link.
const LINKS: [(u8, &str); 2] = [(90, "quorum"), (91, "client")];

const FIREWALL: &str = "
    table ip faults {
        set blocked { type ipv4_addr . ipv4_addr; }
        chain forward { type filter hook forward priority 0; ip saddr . ip daddr @blocked drop; }
    }";

impl Network {
    /// A router without hosts.
    ///
    /// # Errors
    /// What the machine lacks, for people.
    pub fn new() -> Result<Self, String> {
        let router = Namespace::new()?;
        router.run(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], "")?;
        router.run(&["nft", "-f", "-"], FIREWALL)?;
        Ok(Self { router, hosts: 0 })
    }

    /// Adds a host.
    ///
    /// # Errors
    /// What the machine lacks, for people.
    pub fn host(&mut self) -> Result<Host, String> {
        self.hosts += 1;
        let n = self.hosts;
        let namespace = Namespace::new()?;
        let pid = namespace.pid();
        for (net, link) in LINKS {
            let batch = format!(
                "link add {link}{n} type veth peer name {link} netns {pid}\n\
                 addr add 10.{net}.{n}.1/24 dev {link}{n}\n\
                 link set {link}{n} up\n"
            );
            self.router.run(&["ip", "-batch", "-"], &batch)?;
            let batch = format!(
                "addr add 10.{net}.{n}.2/24 dev {link}\n\
                 link set {link} up\n\
                 route add 10.{net}.0.0/16 via 10.{net}.{n}.1\n"
            );
            namespace.run(&["ip", "-batch", "-"], &batch)?;
        }
        let [quorum, client] = LINKS.map(|(net, _)| Ipv4Addr::new(10, net, n, 2));
        Ok(Host { namespace, client, quorum })
    }

    /// Drops all packets from these addresses to those, until [`Network::heal`].
    pub fn drop_packets(&self, from: &[Ipv4Addr], to: &[Ipv4Addr]) {
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (from, to))) {
            self.nft(&format!("add element ip faults blocked {{ {from} . {to} }}"));
        }
    }

    /// Drops all packets between these addresses and those, until [`Network::heal`].
    pub fn cut(&self, these: &[Ipv4Addr], those: &[Ipv4Addr]) {
        self.drop_packets(these, those);
        self.drop_packets(those, these);
    }

    /// Lets all packets through again.
    pub fn heal(&self) {
        self.nft("flush set ip faults blocked");
    }

    fn nft(&self, command: &str) {
        self.router.run(&["nft", command], "").expect("nft");
    }
}

/// Where a test runs: the network, and the host of its own threads.
struct Place {
    network: Network,
    observer: Host,
}

impl Place {
    fn new() -> Result<Self, String> {
        let mut network = Network::new()?;
        let observer = network.host()?;
        Ok(Self { network, observer })
    }
}

/// Runs a test in a network of its own.
///
/// # Panics
/// Where there can be none, because a test that does not run must not pass.
pub fn on_a_network<F: Future<Output = ()>>(test: impl FnOnce(Network) -> F + Send + 'static) {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let Place { network, observer } = Place::new().unwrap_or_else(|reason| {
        panic!("NOT RUN: {name} needs root, `ip` (iproute2) and `nft` (nftables), for network namespaces: {reason}")
    });
    // Threads of their own, as a thread that has entered a namespace stays there.
    let run = move || {
        observer.namespace.enter();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || observer.namespace.enter())
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(test(network));
    };
    let thread = thread::Builder::new().name(name).spawn(run).expect("a thread");
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}
