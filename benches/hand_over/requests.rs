//! Which requests a leader and its successor send, counted by one proxy for each. Nothing is timed.

use testkit::{OpCode, Proxy};
use tokio::time::sleep;
use zookeeper_election::Mode;

use crate::clients::{SETTLE, Successor, close, elections, lead, make_directory, plain, resign, session};

const HAND_OVERS: usize = 20;

/// A part of a contender's life.
pub(crate) struct Step {
    pub(crate) what: &'static str,
    /// What was sent each time.
    occasions: Vec<Vec<OpCode>>,
}

impl Step {
    /// How many requests an occasion took on average.
    pub(crate) fn average(&self) -> f64 {
        self.occasions.iter().map(Vec::len).sum::<usize>() as f64 / self.occasions.len() as f64
    }

    /// Every order that occurred, and how often: an average hides a request that is sent now and then.
    pub(crate) fn orders(&self) -> String {
        let mut orders: Vec<(usize, &[OpCode])> = Vec::new();
        for occasion in &self.occasions {
            match orders.iter_mut().find(|(_, order)| order == occasion) {
                Some((times, _)) => *times += 1,
                None => orders.push((1, occasion)),
            }
        }
        let texts: Vec<String> = orders
            .into_iter()
            .map(|(times, order)| {
                let names: Vec<String> =
                    order.iter().map(|op_code| format!("{op_code:?} {}", op_code.0)).collect();
                format!("{times} x [{}]", names.join(", "))
            })
            .collect();
        texts.join("; ")
    }
}

/// The steps of a number of hand-overs to and fro.
pub(crate) async fn count(mode: Mode, path: &str, followers: [&str; 2]) -> [Step; 4] {
    let proxies = [Proxy::start(followers[0]).await, Proxy::start(followers[1]).await];
    let sessions = [session(&proxies[0].address()).await, session(&proxies[1].address()).await];
    let elections = elections(&sessions, mode, path);
    if mode == Mode::Sequential {
        make_directory(&plain(followers[0]).await, path).await;
    }
    // Both have connected; what is counted from here on is sent for the election.
    for proxy in &proxies {
        take(proxy).await;
    }

    let mut leadership = lead(&elections[0]).await;
    let starting = vec![take(&proxies[0]).await];
    let (mut joining, mut resigning, mut succeeding) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..HAND_OVERS {
        let (from, to) = (round % 2, 1 - round % 2);
        let successor = Successor::waits(&elections[to]).await;
        joining.push(take(&proxies[to]).await);
        resign(leadership).await;
        (_, leadership) = successor.leads().await;
        resigning.push(take(&proxies[from]).await);
        succeeding.push(take(&proxies[to]).await);
    }
    for session in &sessions {
        close(session).await;
    }
    [
        Step { what: "from start to leadership", occasions: starting },
        Step { what: "from start to waiting", occasions: joining },
        Step { what: "leader, resigning", occasions: resigning },
        Step { what: "successor, from waiting on", occasions: succeeding },
    ]
}

/// What has gone through the proxy since the last call. Waits a little first, for what nobody waits for.
async fn take(proxy: &Proxy) -> Vec<OpCode> {
    sleep(10 * SETTLE).await;
    let requests = proxy.requests();
    proxy.clear_requests();
    requests
}
