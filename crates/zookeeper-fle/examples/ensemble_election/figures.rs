//! Measures elections in virtual time.

use std::fmt::Write;
use std::time::Duration;

use zookeeper_fle::simulator::{EventKind, Network, Simulation};
use zookeeper_fle::{Quorum, ServerId};

/// The times for a number of servers and a delay.
#[derive(Debug)]
pub(crate) struct Row {
    servers: i64,
    /// The time that a message takes.
    delay: Duration,
    /// From the start of all until all have decided.
    pub(crate) from_start: Duration,
    /// From the last server that notices the loss of the leader until all have decided.
    pub(crate) from_loss: Duration,
}

/// For three and five servers, and several delays.
pub(crate) fn rows() -> Vec<Row> {
    let delays = [100, 1_000, 10_000, 50_000].map(Duration::from_micros);
    [3, 5].into_iter().flat_map(|servers| delays.map(|delay| measure(servers, delay))).collect()
}

/// The rows as text.
pub(crate) fn table() -> String {
    let mut text =
        String::from("servers  one way [ms]  from the start of all [ms]  from the loss of the leader [ms]\n");
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    for Row { servers, delay, from_start, from_loss } in rows() {
        let (delay, start, loss) = (milliseconds(delay), milliseconds(from_start), milliseconds(from_loss));
        let _ = writeln!(text, "{servers:>7}  {delay:>12.1}  {start:>26.1}  {loss:>32.1}");
    }
    text.push_str(
        "\nThe wait of 200 ms for a better vote is in it; the time that it takes to notice the loss, and to get in step with the\n\
         new leader, is not. A connection takes a round trip; kind a server needs to compute takes no time.\n",
    );
    text
}

fn measure(servers: i64, delay: Duration) -> Row {
    let network = Network { delay: delay..=delay, loss: 0.0, handshake: 2 };
    let quorum = Quorum::majority((1..=servers).map(ServerId));
    let mut ensemble = Simulation::new(quorum, 0).with_network(network);
    (1..=servers).for_each(|id| ensemble.start(ServerId(id)));
    let from_start = election(&mut ensemble);
    ensemble.crash(ServerId(servers));
    let from_loss = election(&mut ensemble);
    Row { servers, delay, from_start, from_loss }
}

/// Lets the ensemble settle. Returns the time from the last server that began the election to the last decision.
fn election(ensemble: &mut Simulation) -> Duration {
    ensemble.run_for(Duration::from_secs(30));
    assert!(ensemble.is_settled(), "30 seconds are enough");
    let last = |is: fn(&EventKind) -> bool| {
        ensemble.trace().iter().rfind(|it| is(&it.kind)).map_or(Duration::ZERO, |it| it.at)
    };
    last(|it| matches!(it, EventKind::Decided { .. }))
        - last(|it| matches!(it, EventKind::RoundStarted { .. }))
}
