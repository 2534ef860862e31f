//! The classic stories.

use std::time::Duration;

use zookeeper_fle::{Epoch, History, ServerId, Zxid};

use crate::narration::Teller;

/// A story about an election.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    tell: fn(Option<u64>) -> Teller,
}

/// The text before the first story.
pub(crate) const INTRODUCTION: &str = "\
How ZooKeeper's servers elect their leader.

Each server counts its elections in rounds. It begins a round with a vote for itself, and tells it to all. A vote names a
server and that server's history: its epoch (how many leaders there have been) and its last transaction. Of two votes the
later epoch wins; if they are equal, the later transaction; if those are equal too, the greater id. A server that hears a
better vote than its own takes it over, and tells that to all. A server that sees a quorum, more than half of all, vote as
it does itself waits for 200 ms. If it hears nothing better it has decided: it leads, or it follows.

'Server 3 hears 1 for 2' means: it hears that 1 votes for 2, which is no better than its own vote.
";

pub(crate) const STORIES: &[Story] = &[
    Story { name: "five", title: "Five servers start one after the other", tell: five },
    Story { name: "three", title: "Three servers start one after the other", tell: three },
    Story { name: "history", title: "Who knows more wins, whatever its id", tell: history },
    Story { name: "old-round", title: "Servers come back, and their rounds are old", tell: old_round },
    Story { name: "partition", title: "The network falls apart and heals", tell: partition },
    Story { name: "two-leaders", title: "Two servers lead in one round", tell: two_leaders },
];

const SECOND: Duration = Duration::from_secs(1);

impl Story {
    /// The story and its tables.
    pub(crate) fn tell(&self, seed: Option<u64>) -> String {
        format!("=== {} ({})\n{}", self.title, self.name, (self.tell)(seed).end())
    }
}

fn five(seed: Option<u64>) -> Teller {
    let mut teller = Teller::new(5, seed);
    teller.say("None of the servers has any history. Server 1 starts.");
    teller.start([1]);
    teller.run_for(SECOND * 5);
    teller.say("Server 2 starts. Both come to vote for 2, but two of five are no quorum.");
    teller.start([2]);
    teller.run_for(SECOND * 5);
    teller.say("Server 3 starts. With it there is a quorum.");
    teller.start([3]);
    teller.run_for(SECOND);
    teller.say("Servers 4 and 5 start. They would win, but there is a leader: they are told, and follow.");
    teller.start([4]);
    teller.run_for(SECOND);
    teller.start([5]);
    teller.run_for(SECOND);
    teller
}

fn three(seed: Option<u64>) -> Teller {
    let mut teller = Teller::new(3, seed);
    teller.say("None of the servers has any history. Server 1 starts, and soon after it server 2: two of three are a quorum.");
    teller.start([1]);
    teller.run_for(SECOND / 10);
    teller.start([2]);
    teller.run_for(SECOND);
    teller.say("Server 3 comes too late to win.");
    teller.start([3]);
    teller.run_for(SECOND);
    teller
}

fn history(seed: Option<u64>) -> Teller {
    let mut teller = Teller::new(3, seed);
    teller.say("All are of epoch 0x1, but server 1 knows transactions up to 0x100000008, the others up to 0x100000002.");
    for (id, zxid) in [(1, 0x1_0000_0008), (2, 0x1_0000_0002), (3, 0x1_0000_0002)] {
        set_history(&mut teller, id, 1, zxid);
    }
    teller.start(1..=3);
    teller.run_for(SECOND);
    teller.say("All crash.");
    (1..=3).for_each(|id| teller.crash(id));
    teller.run_for(SECOND);
    teller.say(
        "Server 3 is given more transactions, 0x100000009, server 1 the later epoch, 0x2. All start again.",
    );
    for (id, epoch, zxid) in [(1, 2, 0x1_0000_0001), (2, 1, 0x1_0000_0002), (3, 1, 0x1_0000_0009)] {
        set_history(&mut teller, id, epoch, zxid);
    }
    teller.start(1..=3);
    teller.run_for(SECOND);
    teller
}

fn old_round(seed: Option<u64>) -> Teller {
    let mut teller = Teller::new(3, seed);
    teller.say(
        "Servers 1 and 2 start, and 2 leads. Then it crashes: 1 looks for a leader again, alone, in round 2.",
    );
    teller.start([1, 2]);
    teller.run_for(SECOND);
    teller.crash(2);
    teller.run_for(SECOND * 2);
    teller.say(
        "Server 3 starts and begins with round 1, as every server does. It knows less than 1, which wins.",
    );
    teller.start([3]);
    teller.run_for(SECOND * 2);
    teller.say(
        "Server 2 comes back, in round 1 too. It is told who leads, and takes over the round of the others.",
    );
    teller.start([2]);
    teller.run_for(SECOND);
    teller
}

fn partition(seed: Option<u64>) -> Teller {
    let mut teller = Teller::new(5, seed);
    teller.say("All five start together: 5 leads.");
    teller.start(1..=5);
    teller.run_for(SECOND);
    teller.say(
        "Servers 1, 2, 3 and servers 4, 5 do not hear each other any more. Three are a quorum, two are none.",
    );
    teller.ensemble.partition(&[&[1, 2, 3].map(ServerId), &[4, 5].map(ServerId)]);
    teller.run_for(SECOND * 3);
    teller.say("The network heals. 4 and 5 hear who leads now.");
    teller.ensemble.heal();
    teller.run_for(SECOND * 2);
    teller
}

fn two_leaders(seed: Option<u64>) -> Teller {
    let mut teller = Teller::new(5, seed);
    teller.say(
        "The election alone does not exclude two leaders. Here some messages are slow: between 1 and 2 they take 60 ms, from 4 and 5\n  \
         to 3 100 ms. 3 hears for 200 ms nothing better, while 1 and 2, which see the quorum later, hear of 5.",
    );
    if seed.is_some() {
        teller.say("(These delays are the story: a seed changes nothing here.)");
    }
    let delays = (1..=5).flat_map(|a| (1..=5).map(move |b| (a, b))).filter(|(a, b)| a != b);
    for (a, b) in delays {
        let milliseconds = match (a, b) {
            (1, 2) | (2, 1) => 60,
            (1..=3, 1..=3) => 10,
            (4 | 5, 3) => 100,
            _ => 25,
        };
        teller.ensemble.set_delay(ServerId(a), ServerId(b), Duration::from_millis(milliseconds));
    }
    teller.start(1..=3);
    teller.run_for(SECOND / 5);
    teller.start([4, 5]);
    teller.run_for(SECOND * 2);
    teller.say(
        "Nothing bad has come of it: a leader serves nobody before a quorum follows it and has promised not to follow an earlier\n  \
         one. That is not the election's doing but that of ZabTimeouts, ZooKeeper's broadcast, which comes after it.",
    );
    teller
}

fn set_history(teller: &mut Teller, id: i64, epoch: i64, zxid: i64) {
    teller.ensemble.set_history(ServerId(id), History { epoch: Epoch(epoch), zxid: Zxid(zxid) });
}
