//! Random connections, mostly broken ones, from a seed.

use fastrand::Rng;

use crate::wire::{CLOSE_SESSION, LONGEST, PING, Record, connect_request, frame, request};

/// What a connection sends, all at once.
pub(crate) fn connection(rng: &mut Rng) -> Vec<u8> {
    match rng.u32(..16) {
        0 => garbage(rng, 300),
        1 => frame(&garbage(rng, 100)),
        2 => bad_length(rng),
        3 => malformed_connect(rng),
        4 => http(rng).into(),
        5 => [word(rng).as_bytes(), &garbage(rng, 8)].concat(),
        _ => session(rng),
    }
}

/// A session that begins well.
fn session(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = connect_request(rng.i32(..));
    for xid in 1..rng.i32(2..400) {
        bytes.extend(any_request(rng, xid));
    }
    match rng.u32(..5) {
        0 => bytes.extend(garbage(rng, 100)),
        1 => bytes.extend(bad_length(rng)),
        2 => bytes.extend(request(rng.i32(..), rng.i32(..), &garbage(rng, 40))),
        3 => bytes.extend(request(1, CLOSE_SESSION, &[])),
        _ => bytes.truncate(bytes.len() - rng.usize(..20)),
    }
    bytes
}

fn any_request(rng: &mut Rng, xid: i32) -> Vec<u8> {
    let op_code = *rng.choice(OP_CODES).expect("an op code");
    let mut record = record(rng, op_code);
    match rng.u32(..8) {
        0 => record.truncate(rng.usize(..=record.len())),
        1 => record.extend(garbage(rng, 20)),
        2 => record = garbage(rng, 60),
        3 if !record.is_empty() => {
            for _ in 0..rng.u32(1..5) {
                let at = rng.usize(..record.len());
                record[at] ^= 1 << rng.u32(..8);
            }
        }
        4 if record.len() >= 4 => {
            // A length or a count, perhaps.
            let at = rng.usize(..=record.len() - 4);
            let claim = rng.choice([-1, -2, 0, 1, 1 << 20, i32::MAX, i32::MIN]).expect("a number");
            record[at..at + 4].copy_from_slice(&i32::to_be_bytes(claim));
        }
        _ => {}
    }
    // Few op codes that do not exist: they end the connection.
    let op_code = if rng.u32(..200) == 0 { rng.i32(-20..120) } else { op_code };
    request(xid, op_code, &record)
}

/// All that leave the session alive.
pub(crate) const OP_CODES: &[i32] =
    &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 101, 103, 104, 105, 106, 107];

/// A well-formed record of a request with this op code.
pub(crate) fn record(rng: &mut Rng, op_code: i32) -> Vec<u8> {
    let path = path(rng);
    let start = Record::default().string(&path);
    let watch = rng.bool();
    let version = rng.i32(-2..3);
    let record = match op_code {
        1 | 15 | 19 | 21 => {
            let flags = rng.i32(-1..8);
            let create = start.bytes(&garbage(rng, 30)).open_acl().int(flags);
            if op_code == 21 { create.long(rng.i64(..)) } else { create }
        }
        2 | 13 => start.int(version),
        3 | 4 | 8 | 12 => start.bool(watch),
        5 => start.bytes(&garbage(rng, 30)).int(version),
        7 => {
            let entries = rng.i32(..4);
            (0..entries)
                .fold(start.int(entries), |record, _| {
                    let [scheme, id] = *rng.choice(IDENTITIES).expect("an identity");
                    record.acl_entry(rng.i32(..64), scheme, id)
                })
                // A vector may be shorter than the record.
                .int(version)
        }
        14 | 22 => return multi(rng, op_code == 22),
        16 => Record::default().string("server.1").string("2").string("3").long(-1),
        17 | 18 => start.int(rng.i32(..5)),
        101 | 105 => {
            let vectors = if op_code == 101 { 3 } else { 5 };
            (0..vectors).fold(Record::default().long(rng.i64(-1..9)), |mut record, _| {
                let count = rng.i32(..3);
                record = record.int(count);
                (0..count).fold(record, |record, _| record.string(&self::path(rng)))
            })
        }
        106 => start.int(rng.i32(-1..3)),
        PING | 107 => Record::default(),
        _ => start,
    };
    record.0
}

fn multi(rng: &mut Rng, reads: bool) -> Vec<u8> {
    let op_codes: &[i32] = if reads { &[4, 8] } else { &[1, 2, 5, 13, 15, 19] };
    let mut record = Record::default();
    for _ in 0..rng.u32(..6) {
        let op_code = *rng.choice(op_codes).expect("an op code");
        record = record.int(op_code).bool(false).int(-1);
        record.0.extend(self::record(rng, op_code));
    }
    record.int(-1).bool(true).int(-1).0
}

const IDENTITIES: &[[&str; 2]] =
    &[["world", "anyone"], ["auth", ""], ["ip", "127.0.0.0/8"], ["ip", "1/33"], ["digest", "a:b"], ["", ""]];

fn path(rng: &mut Rng) -> String {
    const ODD: &[&str] =
        &["", "/", "//", "/x/", "x", "/\0", "/../x", "/zookeeper", "/zookeeper/quota", "/\u{1f600}"];
    if rng.u32(..8) == 0 {
        return (*rng.choice(ODD).expect("a path")).to_owned();
    }
    (0..rng.u32(1..4)).map(|_| format!("/{}", rng.u32(..5))).collect()
}

fn garbage(rng: &mut Rng, most: usize) -> Vec<u8> {
    let length = rng.usize(..=most);
    (0..length).map(|_| rng.u8(..)).collect()
}

/// The length of a frame that is too long, or not all there.
fn bad_length(rng: &mut Rng) -> Vec<u8> {
    let beyond = i32::try_from(LONGEST).expect("a length") + 1;
    let choices = [-1, i32::MIN, i32::MAX, beyond, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1000, beyond - 1, rng.i32(..)];
    let claim = rng.choice(choices).expect("a length");
    [&claim.to_be_bytes()[..], &garbage(rng, 8)].concat()
}

fn malformed_connect(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = connect_request(rng.i32(..));
    match rng.u32(..4) {
        0 => {
            let kept = rng.usize(4..bytes.len());
            return frame(&bytes[4..kept]);
        }
        // A session or a zxid that this server never gave out.
        1 => bytes[8..16].copy_from_slice(&rng.i64(..).to_be_bytes()),
        2 => bytes[20..28].copy_from_slice(&rng.i64(..).to_be_bytes()),
        // The length of the password.
        _ => bytes[28..32].copy_from_slice(&rng.i32(..).to_be_bytes()),
    }
    bytes
}

fn http(rng: &mut Rng) -> &'static str {
    rng.choice([
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /commands/ruok HTTP/1.0\r\nContent-Length: 100000\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\r\n\r\n",
    ])
    .expect("a request")
}

fn word(rng: &mut Rng) -> &'static str {
    rng.choice([
        "ruok", "isro", "srvr", "stat", "mntr", "cons", "dump", "wchs", "conf", "envi", "srst", "kill",
        "ruo", "r", "RUOK",
    ])
    .expect("a word")
}
