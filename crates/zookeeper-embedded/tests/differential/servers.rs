//! The two servers that are compared.

use std::env;
use std::time::Duration;

use testkit::Ensemble;

/// A real server, and the one that is compared with it.
#[derive(Debug)]
pub struct Servers {
    real: Ensemble,
    other: Other,
}

#[derive(Debug)]
enum Other {
    Embedded(zookeeper_embedded::Server),
    Real(Ensemble),
}

impl Servers {
    /// Starts both.
    pub async fn start() -> Self {
        match env::var("DIFFERENTIAL_AGAINST").as_deref() {
            Ok("real") => {
                let (real, other) = tokio::join!(real(), real());
                Self { real, other: Other::Real(other) }
            }
            Ok(other) => panic!("DIFFERENTIAL_AGAINST={other}: it is `real` or not set"),
            Err(_) => {
                let embedded = zookeeper_embedded::Server::builder()
                    .tick(TICK)
                    .start_on_free_port()
                    .await
                    .expect("a port");
                Self { real: real().await, other: Other::Embedded(embedded) }
            }
        }
    }

    /// The servers' names and addresses.
    pub fn addresses(&self) -> [(&'static str, String); 2] {
        let other = match &self.other {
            Other::Embedded(server) => ("embedded", server.connect_string()),
            Other::Real(ensemble) => ("also real", ensemble.connect_string()),
        };
        [("real", self.real.connect_string()), other]
    }
}

async fn real() -> Ensemble {
    let real = Ensemble::builder(1).tick(TICK).start().await;
    let answer = real.four_letter_all("srvr").await.concat();
    let version = answer.lines().next().unwrap_or_default();
    assert!(
        version.contains("version: 3.8."),
        "compared is with ZooKeeper 3.8, as Debian 12 has it, not: {version}"
    );
    real
}

/// Session timeouts lie between 2 s and 20 s.
const TICK: Duration = Duration::from_secs(1);
