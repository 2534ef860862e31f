//! One client that sends what it should not, frame by frame.

use std::time::Duration;

use fastrand::Rng;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use zookeeper_client::{Acls, CreateMode};

use crate::good::Good;
use crate::wire::{
    CREATE, EXISTS, GET_CHILDREN, GET_DATA, LONGEST, MULTI, MULTI_READ, PING, Raw, Record, SET_ACL, SET_DATA,
    SET_WATCHES, connect_request, frame, request, resident, word,
};
use crate::{ALONE, fuzz, server};

const SESSION_TIMEOUT: Duration = Duration::from_secs(1);
const MARSHALLING_ERROR: i32 = -5;
const MIB: u64 = 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_may_end_anywhere() {
    let server = server().await;
    let good = Good::connect(&server).await;
    let mut rng = Rng::with_seed(1);
    let mut raw = Raw::connect(server.address(), SESSION_TIMEOUT).await;
    for op_code in fuzz::OP_CODES {
        let record = fuzz::record(&mut rng, *op_code);
        for length in 0..=record.len() {
            raw.send(&request(7, *op_code, &record[..length])).await;
            raw.send(&request(8, EXISTS, &Record::default().string("/").bool(false).0)).await;
            // Both are answered, the first with an error perhaps. Events may come between.
            let mut answered = 0;
            while answered != 8 {
                let (xid, error) =
                    raw.reply().await.unwrap_or_else(|end| panic!("{op_code}, {length}: {end}"));
                assert!(xid != 8 || error == 0, "{op_code}, {length}: {error}");
                answered = xid;
            }
        }
    }
    good.works().await;
    drop(raw);
    good.is_alone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_may_have_1048575_bytes_and_not_one_more() {
    let server = server().await;
    let good = Good::connect(&server).await;
    let exists = |length: usize| {
        let mut record = Record::default().string("/").bool(false).0;
        // Bytes after a record are ignored.
        record.resize(length - 8, 0);
        request(1, EXISTS, &record)
    };
    let mut raw = Raw::connect(server.address(), SESSION_TIMEOUT).await;
    raw.send(&exists(LONGEST)).await;
    assert_eq!(raw.reply().await.expect("a reply"), (1, 0));
    // The length alone is enough.
    raw.send(&exists(LONGEST + 1)[..4]).await;
    assert!(raw.ends().await.is_empty());
    for claim in [-1, i32::MIN, i32::MAX] {
        for session in [false, true] {
            let mut raw = match session {
                true => Raw::connect(server.address(), SESSION_TIMEOUT).await,
                false => Raw::open(server.address()).await,
            };
            raw.send(&i32::to_be_bytes(claim)).await;
            assert!(raw.ends().await.is_empty(), "{claim}");
        }
    }
    good.works().await;
    good.is_alone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_absurd_lengths_cost_no_memory() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let good = Good::connect(&server).await;
    let mut raw = Raw::connect(server.address(), SESSION_TIMEOUT).await;
    let before = resident();
    for claim in [i32::MAX, 1 << 30, 1 << 20] {
        let acl = Record::default().string("/a").int(claim).acl_entry(31, "world", "anyone").0;
        let create = Record::default().string("/a").bytes(b"").int(claim).0;
        let part = Record::default().int(CREATE).bool(false).int(-1).string("/a").bytes(b"").int(claim).0;
        let watches = Record::default().long(0).int(claim).string("/a").0;
        let data = Record::default().string("/a").int(claim).0;
        let path = Record::default().int(claim).0;
        let requests = [
            (SET_ACL, acl),
            (CREATE, create),
            (MULTI, part),
            (SET_WATCHES, watches),
            (SET_DATA, data),
            (GET_DATA, path),
        ];
        for (op_code, record) in requests {
            raw.send(&request(3, op_code, &record)).await;
            let reply = raw.reply().await.expect("a reply");
            assert_eq!(reply, (3, MARSHALLING_ERROR), "{op_code} with {claim}");
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 20 * MIB, "{grown} KiB");
    good.works().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_acl_holds_up_nobody() {
    let server = server().await;
    let good = Good::connect(&server).await;
    good.client().mkdir("/a", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.expect("a mkdir");
    let mut raw = Raw::connect(server.address(), SESSION_TIMEOUT).await;
    let mut times = Vec::new();
    for count in [5_000, 40_000] {
        let acl = (0..count).fold(Record::default().string("/a").int(count), |record, permissions| {
            record.acl_entry(permissions, "world", "anyone")
        });
        let begun = Instant::now();
        raw.send(&request(1, SET_ACL, &acl.int(-1).0)).await;
        assert_eq!(raw.reply().await.expect("a reply"), (1, 0));
        times.push(begun.elapsed());
    }
    // In linear time 8 times as long, in quadratic time 64 times.
    assert!(times[1] < 30 * times[0], "{times:?}");
    good.works().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_request_gets_no_endless_answer() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let good = Good::connect(&server).await;
    create_big(&good).await;
    let before = resident();
    let mut raw = Raw::connect(server.address(), SESSION_TIMEOUT).await;
    // In all 2 GB.
    let reads = (0..4000).fold(Record::default(), |record, _| {
        record.int(GET_DATA).bool(false).int(-1).string("/big").bool(false)
    });
    raw.send(&request(1, MULTI_READ, &reads.int(-1).bool(true).int(-1).0)).await;
    assert_eq!(raw.reply().await.expect("a reply"), (1, MARSHALLING_ERROR));
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 * MIB, "{grown} KiB");
    good.works().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_gets_all_answers_to_many_requests_at_once() {
    let _alone = ALONE.lock().await;
    let server = server().await;
    let good = Good::connect(&server).await;
    create_big(&good).await;
    let before = resident();
    let mut raw = Raw::connect(server.address(), SESSION_TIMEOUT).await;
    let read = Record::default().string("/big").bool(false).0;
    // One frame that makes the server's buffer large, then many short ones: 250 MB of answers.
    let mut requests =
        request(0, EXISTS, &[&Record::default().string("/").bool(false).0[..], &[0; 900_000]].concat());
    (1..=500).for_each(|xid| requests.extend(request(xid, GET_DATA, &read)));
    let mut most = 0;
    raw.send(&requests).await;
    for xid in 0..=500 {
        assert_eq!(raw.reply().await.unwrap_or_else(|end| panic!("{xid}: {end}")), (xid, 0));
        most = most.max(resident());
    }
    let grown = most.saturating_sub(before);
    assert!(grown < 60 * MIB, "{grown} KiB");
    good.works().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_may_come_in_pieces_and_with_a_line_end() {
    let server = server().await;
    let mut raw = Raw::open(server.address()).await;
    for piece in [&b"r"[..], b"u", b"o", b"k"] {
        raw.send(piece).await;
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(raw.ends().await, b"imok");
    assert_eq!(word(server.address(), "ruok\n").await, "imok");
    // A word that is none, and HTTP, are lengths beyond the limit.
    for text in ["nope", "GET / HTTP/1.1\r\n\r\n"] {
        assert_eq!(word(server.address(), text).await, "", "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_may_come_byte_by_byte() {
    let server = server().await;
    let mut raw = Raw::open(server.address()).await;
    let children = Record::default().string("/").bool(false).0;
    let pings = [request(-2, PING, &[]), request(5, GET_CHILDREN, &children)].concat();
    for byte in [connect_request(1000), pings].concat() {
        raw.send(&[byte]).await;
    }
    raw.receive().await.expect("a session");
    assert_eq!(raw.reply().await.expect("a reply"), (-2, 0));
    assert_eq!(raw.reply().await.expect("a reply"), (5, 0));
    raw.send(&frame(&[])).await;
    assert!(raw.ends().await.is_empty(), "a frame without a request ends the connection");
}

#[tokio::test]
async fn many_requests_at_once_leave_the_others_their_turn() {
    const COUNT: i32 = 30_000;
    let server = server().await;
    let good = Good::connect(&server).await;
    let mut raw = Raw::connect(server.address(), SESSION_TIMEOUT).await;
    // One frame that makes the server's buffer large, so that it has very many short ones at once after it.
    let exists = Record::default().string("/").bool(false).0;
    let mut requests = request(0, EXISTS, &[&exists[..], &[0; 900_000]].concat());
    (1..=COUNT).for_each(|xid| requests.extend(request(xid, EXISTS, &exists)));
    let flood = tokio::spawn(async move {
        let (mut reading, mut writing) = raw.0.split();
        let mut replies = vec![0; 88 * (COUNT as usize + 1)];
        let sent = async { writing.write_all(&requests).await };
        let (sent, read) = tokio::join!(sent, reading.read_exact(&mut replies));
        sent.expect("requests");
        read.expect("replies");
    });
    // In the time that this thread has computed: how long others on this machine take does not matter.
    let begun = computed();
    let (mut before, mut longest) = (begun, Duration::ZERO);
    while !flood.is_finished() {
        yield_now().await;
        let now = computed();
        longest = longest.max(now - before);
        before = now;
    }
    flood.await.expect("no panic");
    let total = computed() - begun;
    assert!(longest < total / 4, "{longest:?} of {total:?} without a turn");
    good.works().await;
}

/// For how long the current thread has had a processor.
fn computed() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time after the start")
}

/// Creates `/big`, a znode with 500 kB.
async fn create_big(good: &Good) {
    let mode = CreateMode::Persistent.with_acls(Acls::anyone_all());
    good.client().create("/big", &[7; 500_000], &mode).await.expect("a create");
}
