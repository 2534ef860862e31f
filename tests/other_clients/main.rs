//! Clients and recipes of others work with the embedded server, unchanged: ZooKeeper's own command line,
//! kazoo (Python) and Curator (Java). The same is asked of a ZooKeeper server, so that what is asserted is
//! how ZooKeeper behaves.

mod curator;
mod kazoo;
mod program;
mod zkcli;

use testkit::Ensemble;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_serves_its_command_line() {
    on_zookeeper(zkcli::works_with).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_server_serves_zookeepers_command_line() {
    on_the_embedded_server(zkcli::works_with).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_serves_kazoo() {
    on_zookeeper(kazoo::works_with).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_server_serves_kazoo() {
    on_the_embedded_server(kazoo::works_with).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_serves_curator() {
    on_zookeeper(curator::works_with).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_server_serves_curator() {
    on_the_embedded_server(curator::works_with).await;
}

async fn on_zookeeper(client: impl AsyncFnOnce(&str)) {
    let ensemble = Ensemble::start(1).await;
    client(&ensemble.connect_string()).await;
}

async fn on_the_embedded_server(client: impl AsyncFnOnce(&str)) {
    let server = zookeeper_embedded::Server::start().await.expect("a port of 127.0.0.1");
    client(&server.connect_string()).await;
    server.shutdown().await;
}
