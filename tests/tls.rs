//! TLS, with the feature of that name.
#![cfg(feature = "tls")]

mod support;

use std::time::Duration;

use support::{Ensemble, unique_path};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use zookeeper_election::Session;
use zookeeper_election::zookeeper_client::TlsOptions;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tls_nothing_is_sent_in_clear_text() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let first = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 3];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    });
    let builder = Session::builder()
        .auth("digest", b"user:secret")
        .tls(TlsOptions::default())
        .connect_timeout(Duration::from_secs(2));
    assert!(builder.connect(&address).await.is_err());
    assert_eq!(first.await.unwrap()[..2], [0x16, 0x03], "a TLS handshake");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_not_talked_to() {
    let ensemble = Ensemble::start(1).await;
    let builder = Session::builder()
        .tls(TlsOptions::default())
        .connect_timeout(Duration::from_secs(2));
    assert!(builder.connect(&ensemble.connect_string()).await.is_err());
    // Unless it is marked.
    let marked = format!("tcp://{}", ensemble.connect_string());
    let session = Session::builder()
        .tls(TlsOptions::default())
        .connect(&marked)
        .await
        .unwrap();
    session
        .election(&unique_path("marked"))
        .build()
        .unwrap()
        .campaign()
        .await
        .unwrap()
        .resign()
        .await
        .unwrap();
}
