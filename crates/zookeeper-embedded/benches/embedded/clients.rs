//! Clients, set up alike in all measurements.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::timeout;
use zookeeper_client::{Acls, Client, CreateMode};

/// The directory of all znodes.
pub(crate) const DIRECTORY: &str = "/bench";
/// How many requests are under way when they are pipelined.
pub(crate) const IN_FLIGHT: usize = 64;
/// What each znode holds.
const DATA: &[u8] = &[7; 64];

/// How long anything may take before the program gives up and names it.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn connect(address: &str) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(10));
    within("a client connects", connector.connect(address)).await.expect("a connection")
}

pub(crate) async fn make_directory(client: &Client) {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    within("a mkdir", client.mkdir(DIRECTORY, &options)).await.expect("a mkdir");
}

/// Creates znodes.
pub(crate) async fn create(client: &Client, count: usize, in_flight: usize) {
    let options = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
    let path = format!("{DIRECTORY}/n-");
    let creates = stream::iter(0..count).map(|_| client.create(&path, DATA, &options));
    let all = creates.buffered(in_flight).for_each(async |created| {
        created.expect("a create");
    });
    within("creates", all).await;
}

/// Reads the data of one znode again and again.
pub(crate) async fn read(client: &Client, count: usize, in_flight: usize) {
    let reads = stream::iter(0..count).map(|_| client.get_data(DIRECTORY));
    let all = reads.buffered(in_flight).for_each(async |read| drop(read.expect("a read")));
    within("reads", all).await;
}

/// What `future` returns; panics, naming `what`, when that takes longer than [`LIMIT`].
pub(crate) async fn within<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    match timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {LIMIT:?}: {what}"),
    }
}
