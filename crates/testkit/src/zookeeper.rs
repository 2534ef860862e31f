//! ZooKeeper, as most tests need it: real servers, or the embedded one, behind the same methods.

use std::time::Duration;

use zookeeper_embedded as embedded;

use super::ensemble::Ensemble;
use super::server::four_letter;

/// What a test runs on. Dropping it ends it.
///
/// A test is written once, as a function that is given one of these, and [`on_both_servers`](crate::on_both_servers)
/// makes two tests of it.
#[derive(Debug)]
pub enum ZooKeeper {
    /// Processes of ZooKeeper's own server.
    Real(Ensemble),
    /// The server of this crate, in the test's own process.
    Embedded(embedded::Server),
}

impl ZooKeeper {
    /// Starts this many real servers, and returns when all of them serve.
    pub async fn real(servers: usize) -> Self {
        Self::Real(Ensemble::start(servers).await)
    }

    /// Starts the embedded server, with the same tick as the real ones.
    pub async fn embedded() -> Self {
        Self::Embedded(embedded::Server::start().await.expect("a port"))
    }

    /// The addresses of all servers, as a client takes them.
    pub fn connect_string(&self) -> String {
        match self {
            Self::Real(ensemble) => ensemble.connect_string(),
            Self::Embedded(server) => server.connect_string(),
        }
    }

    /// The answers of the servers to a four-letter word; a server that does not answer is left out.
    pub async fn four_letter_all(&self, word: &str) -> Vec<String> {
        match self {
            Self::Real(ensemble) => ensemble.four_letter_all(word).await,
            Self::Embedded(server) => {
                four_letter(server.address(), word, Duration::from_secs(2)).await.into_iter().collect()
            }
        }
    }

    /// Kills the servers: all connections break, and clients get no new ones until [`ZooKeeper::start`].
    pub fn kill(&mut self) {
        match self {
            Self::Real(ensemble) => (0..ensemble.servers().len()).for_each(|i| ensemble.server_mut(i).kill()),
            Self::Embedded(server) => server.kill(),
        }
    }

    /// Starts the servers again with the data that they had, and returns when all of them serve.
    pub async fn start(&mut self) {
        match self {
            Self::Real(ensemble) => {
                (0..ensemble.servers().len()).for_each(|i| ensemble.server_mut(i).start());
                ensemble.wait_until_serving().await;
            }
            Self::Embedded(server) => server.revive(),
        }
    }
}

/// Makes two tests of each function that is named: `<function>::real` and `<function>::embedded`.
///
/// ```ignore
/// on_both_servers! {
///     the_next_in_the_queue_leads;
///     an_ensemble_is_used: 3 servers;
///     one_thread_is_enough: #[tokio::test];
/// }
///
/// async fn the_next_in_the_queue_leads(zookeeper: ZooKeeper) { /* ... */ }
/// ```
///
/// There is one real server, unless another number is given; a test runs on two threads, unless another attribute is
/// given.
#[macro_export]
macro_rules! on_both_servers {
    ($($test:ident $(: $count:literal servers)? $(: #[$attribute:meta])?;)*) => {$(
        mod $test {
            use $crate::{ZooKeeper, on_both_servers};

            on_both_servers!(@count $($count)?; @attribute $($attribute)?; $test);
        }
    )*};
    (@count; $($rest:tt)*) => { on_both_servers!(@count 1; $($rest)*); };
    (@count $count:literal; @attribute; $test:ident) => {
        on_both_servers!(
            @count $count; @attribute tokio::test(flavor = "multi_thread", worker_threads = 2); $test
        );
    };
    (@count $count:literal; @attribute $attribute:meta; $test:ident) => {
        #[$attribute]
        async fn real() {
            super::$test(ZooKeeper::real($count).await).await;
        }

        #[$attribute]
        async fn embedded() {
            super::$test(ZooKeeper::embedded().await).await;
        }
    };
}
