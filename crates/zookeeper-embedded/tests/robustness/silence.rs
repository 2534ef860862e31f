//! Clients that do not read what they are sent, or do not say what they want.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};
use zookeeper_client::{Acls, CreateMode};
use zookeeper_embedded::Server;

use crate::good::Good;
use crate::wire::{
    ADD_WATCH, CREATE, GET_DATA, Raw, Record, SET_DATA, books, connect_request, request, resident,
};
use crate::{ALONE, server};

const MIB: u64 = 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_and_never_reads_is_held_up_and_then_forgotten() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let good = Good::connect(&server).await;
    let mode = CreateMode::Persistent.with_acls(Acls::anyone_all());
    good.client().create("/big", &[7; 100_000], &mode).await.expect("a create");
    let before = resident();

    let mut raw = Raw::connect(server.address(), Duration::from_secs(1)).await;
    let read = request(1, GET_DATA, &Record::default().string("/big").bool(false).0);
    let many = read.repeat(1000);
    // It ends when neither side's buffers take more, or when the server has ended the connection.
    while let Ok(Ok(())) = timeout(Duration::from_millis(500), raw.0.write_all(&many)).await {}
    let grown = resident().saturating_sub(before);
    assert!(grown < 50 * MIB, "{grown} KiB");
    good.works().await;
    // Its session expires, since the server does not get to read its heartbeats. Nothing is left of it then, though
    // what it was sent still waits.
    good.is_alone().await;
    drop(raw);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_lets_events_pile_up_is_cut_off() {
    let _alone = ALONE.lock().await;
    // Sessions that outlive the test: it is not their expiry that ends the connection.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = Server::builder().tick(Duration::from_secs(3)).start(listener).expect("a server");
    let good = Good::connect(&server).await;
    let mut raw = Raw::connect(server.address(), Duration::from_secs(60)).await;
    let recursive = 1;
    raw.succeeds(ADD_WATCH, Record::default().string("/").int(recursive)).await;

    // Each event carries the path.
    let path = format!("/{}", "x".repeat(200_000));
    let mut writer = Raw::connect(server.address(), Duration::from_secs(60)).await;
    writer.succeeds(CREATE, Record::default().string(&path).bytes(b"").open_acl().int(0)).await;
    let before = resident();
    let mut written = 0;
    // Those that write and that ask stay.
    while books(server.address()).await["num_alive_connections"] > 3 {
        assert!(written < 2000, "{written} events of 200 kB wait");
        for _ in 0..20 {
            writer.succeeds(SET_DATA, Record::default().string(&path).bytes(b"").int(-1)).await;
        }
        written += 20;
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 200 * MIB, "{grown} KiB");
    let books = books(server.address()).await;
    assert_eq!((books["global_sessions"], books["watch_count"]), (3, 0), "its session lives");
    good.works().await;
    drop(raw);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_whose_answer_is_not_read_holds_no_connection_for_ever() {
    let server = server().await;
    let good = Good::connect(&server).await;
    let mut owner = Raw::connect(server.address(), Duration::from_secs(1)).await;
    let ephemeral = 1;
    for i in 10..70 {
        let path = format!("/{}{i}", "x".repeat(200_000));
        owner.succeeds(CREATE, Record::default().string(&path).bytes(b"").open_acl().int(ephemeral)).await;
    }
    let mut raw = Raw::open(server.address()).await;
    // It names all ephemeral znodes: more than the buffers between take.
    raw.send(b"dump").await;
    raw.0.readable().await.expect("an answer");
    drop(owner);
    good.is_alone().await;
    drop(raw);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connect_request_that_takes_for_ever_is_not_waited_for() {
    let server = server().await;
    let mut raw = Raw::open(server.address()).await;
    let begun = Instant::now();
    for byte in connect_request(1000) {
        if raw.0.write_all(&[byte]).await.is_err() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "still connected");
        sleep(Duration::from_secs(1)).await;
    }
    raw.ends().await;
    Good::connect(&server).await.works().await;
}
