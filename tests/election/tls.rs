//! TLS, with the feature of that name.

use std::time::Duration;

use crate::support::{PATIENCE, ZooKeeper, on_both_servers, unique_path};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use zookeeper_election::zookeeper_client::TlsOptions;
use zookeeper_election::{Error, Session};

on_both_servers! {
    a_server_without_tls_is_not_talked_to;
}

/// A certificate authority that signed nothing.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBdjCCARugAwIBAgIUHjoiivW5D68+Yb/WCFl6kttslecwCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjEyMTU1MTlaGA8yMTI2MTAyODIxNTUx\n\
OVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCzt\n\
PnsTWgCykuBamqpo9WyBkwz8QVeTr5HjEDX4ijhnGLmLGO1Zob+Wgn4MEvoHBu8F\n\
+XdK/1cXwrhiP0Jurw2jUzBRMB0GA1UdDgQWBBQLr2xz8yZgm2LfU/ZbQ6UghkXv\n\
izAfBgNVHSMEGDAWgBQLr2xz8yZgm2LfU/ZbQ6UghkXvizAPBgNVHRMBAf8EBTAD\n\
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQDhciz/wl2MMwBSaCdDqC8bdd5/90N53yLN\n\
Lo1P3NDxvwIhAPIAzv4/W9bsxLuGnwuepwrSbgFuRjgOkJqIyaag/y2L\n\
-----END CERTIFICATE-----";

fn options() -> TlsOptions {
    TlsOptions::default().with_pem_ca(AUTHORITY).unwrap()
}

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
        .tls(options())
        .connect_timeout(Duration::from_secs(2));
    assert!(builder.connect(&address).await.is_err());
    let first = tokio::time::timeout(PATIENCE, first).await.expect("a connection").unwrap();
    assert_eq!(first[..2], [0x16, 0x03], "a TLS handshake");
}

async fn a_server_without_tls_is_not_talked_to(zookeeper: ZooKeeper) {
    let builder = Session::builder().tls(options()).connect_timeout(Duration::from_secs(2));
    assert!(builder.connect(&zookeeper.connect_string()).await.is_err());
    // Unless it is marked.
    let marked = format!("tcp://{}", zookeeper.connect_string());
    let session = Session::builder().tls(options()).connect(&marked).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_authority_the_error_says_so() {
    let connected = Session::builder().tls(TlsOptions::default()).connect("127.0.0.1:1").await;
    let error = connected.expect_err("no authority");
    assert!(matches!(error, Error::InvalidOptions { .. }), "{error}");
    assert!(error.to_string().contains("certificate authority"), "{error}");
}
