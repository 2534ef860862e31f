//! The inspector: its answers about ensembles of real servers, that these do not notice it, and what it makes of
//! listeners that are no election ports.

mod listeners;
mod live;
mod load;

use std::time::Duration;

use testkit::{Ensemble, PATIENCE, eventually};
use zookeeper_fle::{Inspection, Inspector, ServerId};

/// How long a server has to answer in tests: more than ten times what it takes on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(5);

async fn inspect(servers: &str) -> Inspection {
    Inspector::new().timeout(TIMEOUT).inspect(servers).await.expect("addresses that can be asked")
}

/// Inspects until it finds what is wanted. Elections take their time.
async fn finds(what: &str, servers: &str, wanted: impl Fn(&Inspection) -> bool) -> Inspection {
    let mut last = String::new();
    let found = tokio::time::timeout(PATIENCE, async {
        eventually(what, 2 * PATIENCE, async || {
            let inspection = inspect(servers).await;
            last = inspection.to_string();
            wanted(&inspection).then_some(inspection)
        })
        .await
    });
    found.await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}; at last:\n{last}"))
}

/// The election address of the server with this index.
fn election_address(ensemble: &Ensemble, i: usize) -> String {
    ensemble.server(i).election_address().to_string()
}

/// The id of the server with this index.
fn id(i: usize) -> ServerId {
    ServerId(i64::try_from(i).expect("a few servers") + 1)
}
