//! The same conversation with a real server and with an [`Elector`], message for message.
//!
//! The test speaks for servers 2 to 5, and for somebody without a vote, to a real server 1. Each notification goes to the
//! elector too, and what it would send has to come from the real server. After each, the same connection says something that
//! is answered in any case: so the real server has taken in what was said before the next is said, and had it sent
//! something else, that would have come first.
//!
//! A real server repeats its vote when it hears nothing for a while. Repetitions are not looked at.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::sleep;
use zookeeper_fle::{
    Action, Decision, Elector, Epoch, Event, Format, History, Notification, Quorum, Round, ServerId,
    ServerState, Vote, Zxid,
};

use crate::quorum_ports::QuorumPorts;
use crate::raw_connection::{RawConnection, question, stranger};
use crate::real_servers::{config, members};
use testkit::{Ensemble, PATIENCE};

/// A real server 1 of five, and the elector that has to do as it does.
pub(crate) struct Lockstep {
    connections: BTreeMap<ServerId, RawConnection>,
    /// What came last on each connection.
    last: BTreeMap<ServerId, Notification>,
    /// How many repetitions have come on each.
    repetitions: BTreeMap<ServerId, usize>,
    pub(crate) stranger: ServerId,
    pub(crate) ours: Elector,
    pub(crate) history: History,
    now: Duration,
    deadline: Duration,
    pub(crate) decision: Option<Decision>,
    /// The next vote to all is the first of an election, and no repetition, even if it is the same as the last.
    starts_again: bool,
    ports: QuorumPorts,
    pub(crate) config: String,
    /// What has been said and answered since the last election began, for those who look into a failure.
    story: String,
    pub(crate) said: usize,
}

impl Lockstep {
    /// Begins when server 1, alone of five, looks for the first time.
    pub(crate) async fn with(ensemble: &Ensemble) -> Self {
        let address = ensemble.server(0).election_address();
        let stranger = stranger();
        let mut connections = BTreeMap::new();
        for id in [2, 3, 4, 5].map(ServerId).into_iter().chain([stranger]) {
            connections.insert(id, RawConnection::dial(id, address).await);
        }
        let (first, _) = connections.get_mut(&ServerId(2)).expect("a connection").hear().await;
        let Vote { epoch, zxid, .. } = first.vote;
        let Some(text) = first.config() else { panic!("{first:?}") };
        let ours =
            Elector::new(ServerId(1), Quorum::majority(members(ensemble).into_keys())).announcing(text);
        let mut lockstep = Self {
            connections,
            last: BTreeMap::from([(ServerId(2), first)]),
            repetitions: BTreeMap::new(),
            stranger,
            ours,
            history: History { epoch, zxid },
            now: Duration::ZERO,
            deadline: Duration::ZERO,
            decision: None,
            starts_again: false,
            ports: QuorumPorts::of(ensemble).await,
            config: config(ensemble),
            story: String::new(),
            said: 0,
        };
        lockstep.look().await;
        lockstep
    }

    /// Both begin to look.
    async fn look(&mut self) {
        self.story.clear();
        self.decision = None;
        let actions = self.ours.look(self.now, self.history);
        self.compare(actions).await;
        assert!(!self.ours.is_finalizing());
    }

    /// This connection says this to both.
    pub(crate) async fn say(&mut self, from: ServerId, notification: &Notification) {
        self.say_all(from, std::slice::from_ref(notification)).await;
        self.be_answered(from).await;
    }

    /// These, without a pause, and without waiting for an answer to whatever is answered in any case.
    pub(crate) async fn say_all(&mut self, from: ServerId, notifications: &[Notification]) {
        self.said += notifications.len();
        self.connections.get_mut(&from).expect("a connection").say(notifications).await;
        for notification in notifications.iter().cloned() {
            let _ = writeln!(self.story, "{from} says {}", brief(&notification));
            let actions = self.ours.handle(self.now, Event::Notification { from, notification });
            self.compare(actions).await;
        }
    }

    /// This connection says what is answered and has no effect.
    pub(crate) async fn be_answered(&mut self, from: ServerId) {
        let harmless = if from == self.stranger { question() } else { self.outdated_vote() };
        let event = Event::Notification { from, notification: harmless.clone() };
        let actions = self.ours.clone().handle(self.now, event);
        let answers = |it: &Action| matches!(it, Action::Send { to, .. } if *to == from);
        assert!(actions.iter().any(answers), "the elector does not answer\n{}", self.story);
        self.say_all(from, &[harmless]).await;
    }

    /// A vote that is worse than any, and too late.
    fn outdated_vote(&self) -> Notification {
        let vote = Vote { epoch: Epoch(-1), zxid: Zxid(0), leader: ServerId(1) };
        let round = Round(self.ours.round().0 - 1);
        let format = Format::Configured(self.config.clone());
        Notification { state: ServerState::Looking, vote, round, format }
    }

    /// Asserts that the real server has repeated votes only by itself, as its log tells: else it has given answers that the
    /// elector does not give.
    pub(crate) async fn assert_no_answer_is_missing(&mut self, ensemble: &Ensemble) {
        for id in [2, 3, 4, 5].map(ServerId) {
            self.be_answered(id).await;
        }
        let repeated = ensemble.server(0).log().matches("Notification time out: ").count();
        println!("repetitions: {repeated}, {:?}", self.repetitions);
        for (id, came) in &self.repetitions {
            assert!(*came <= repeated, "{came} repetitions to {id}, where the log tells of {repeated}");
        }
    }

    /// What the elector would come to if it heard this: its decision, and whether it would wait for a better vote.
    pub(crate) fn foresee(&self, from: ServerId, notification: &Notification) -> (Option<Decision>, bool) {
        let event = Event::Notification { from, notification: notification.clone() };
        let mut ours = self.ours.clone();
        let decision = ours.handle(self.now, event).into_iter().find_map(|action| match action {
            Action::Decided(decision) => Some(decision),
            _ => None,
        });
        (decision, ours.is_finalizing())
    }

    /// Nobody says anything until both have decided. Tells whether they have repeated their votes before.
    pub(crate) async fn fall_silent(&mut self) -> bool {
        let _ = writeln!(self.story, "nobody says anything");
        let mut repeated = false;
        for _ in 0..3 {
            if self.decision.is_none() {
                repeated |= self.tick().await;
            }
        }
        assert!(self.decision.is_some(), "the elector does not decide\n{}", self.story);
        let repeated_too = self.skip_repetitions(ServerId(4)).await;
        assert!(repeated_too || !repeated, "the real server does not repeat its vote\n{}", self.story);
        self.be_answered(self.stranger).await;
        repeated
    }

    /// What was settled ends: its leader is gone. Both look again.
    pub(crate) async fn lose_the_leader(&mut self) {
        let leader = self.decision.expect("a decision").vote.leader;
        self.ports.refuse(leader).await;
        // Its first vote may be what it said last before it joined an earlier round.
        self.starts_again = true;
        self.look().await;
    }

    /// The elector's time passes. Tells whether it has repeated its vote.
    async fn tick(&mut self) -> bool {
        self.now = self.deadline;
        let actions = self.ours.handle(self.now, Event::Tick);
        let repeated = actions.iter().any(|action| matches!(action, Action::Broadcast(_)));
        self.compare(actions).await;
        repeated
    }

    /// Waits for what the elector would send to come from the real server.
    async fn compare(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Broadcast(notification) => {
                    let _ = writeln!(self.story, "    to all: {}", brief(&notification));
                    let starts_again = std::mem::take(&mut self.starts_again);
                    for id in [2, 3, 4, 5].map(ServerId) {
                        if starts_again || self.last.get(&id) != Some(&notification) {
                            self.expect(id, &notification).await;
                        }
                    }
                }
                Action::Send { to, notification } => {
                    let _ = writeln!(self.story, "    to {to}: {}", brief(&notification));
                    self.expect(to, &notification).await;
                }
                Action::Connect => unreachable!("everything is delivered"),
                Action::WaitUntil(time) => self.deadline = time,
                Action::Decided(decision) => {
                    let _ = writeln!(self.story, "    decided: {decision:?}");
                    self.decision = Some(decision);
                    self.settle().await;
                }
            }
        }
    }

    /// Waits until the real server has settled as the elector has.
    ///
    /// It changes its state first and its vote afterwards: for a moment it answers that it follows whom it has voted for
    /// before this election. And somebody without a vote may ask at any time: it disturbs no silence.
    async fn settle(&mut self) {
        let (ours, stranger) = (&self.ours, self.connections.get_mut(&self.stranger).expect("a connection"));
        let mut answer = None;
        for _ in 0..PATIENCE.as_millis() / 50 {
            stranger.say(&[question()]).await;
            let (heard, _) = stranger.hear().await;
            if (heard.state, heard.vote, heard.round) == (ours.state(), ours.current(), ours.round()) {
                self.last.insert(self.stranger, heard);
                return;
            }
            answer = Some(heard);
            sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "the real server has not decided so, but says {:?}\n{}",
            answer.as_ref().map(brief),
            self.story
        );
    }

    /// The next message on this connection is this one, but for repetitions of the last.
    async fn expect(&mut self, id: ServerId, expected: &Notification) {
        let connection = self.connections.get_mut(&id).expect("a connection");
        for _ in 0..1000 {
            let Some((heard, _)) = connection.hear_within(PATIENCE).await else {
                panic!("nothing comes to {id} where the elector sends {}\n{}", brief(expected), self.story)
            };
            if heard == *expected {
                self.last.insert(id, heard);
                return;
            }
            assert!(
                self.last.get(&id) == Some(&heard),
                "to {id} the real server sends {} where the elector sends {}\n{}",
                brief(&heard),
                brief(expected),
                self.story
            );
            *self.repetitions.entry(id).or_default() += 1;
        }
        panic!("only repetitions come to {id}");
    }

    /// Reads what has come on this connection before a last answer, all of which repeats what came before it. Tells
    /// whether there was anything.
    async fn skip_repetitions(&mut self, id: ServerId) -> bool {
        let settled = self.outdated_vote();
        let connection = self.connections.get_mut(&id).expect("a connection");
        connection.say(std::slice::from_ref(&settled)).await;
        let Some(Action::Send { notification: answer, .. }) = self
            .ours
            .handle(self.now, Event::Notification { from: id, notification: settled })
            .into_iter()
            .next()
        else {
            unreachable!("who has settled answers")
        };
        let mut repeated = false;
        for _ in 0..1000 {
            let (heard, _) = connection.hear().await;
            if heard == answer {
                self.last.insert(id, heard);
                return repeated;
            }
            assert_eq!(self.last.get(&id), Some(&heard), "a repetition to {id}\n{}", self.story);
            *self.repetitions.entry(id).or_default() += 1;
            repeated = true;
        }
        panic!("only repetitions come to {id}");
    }
}

/// A notification in a line.
fn brief(notification: &Notification) -> String {
    let Notification { state, vote, round, format } = notification;
    let format = match format {
        Format::Configured(_) => "",
        Format::Numbered => ", format 1",
        Format::WithEpoch | Format::WithoutEpoch => ", format 0",
    };
    format!("{state} {vote} in round {round}{format}")
}
