//! One server's election, message by message.

use super::*;
use crate::vote::Zxid;

const NOW: Duration = Duration::from_secs(1000);
const FRESH: History = History { epoch: Epoch(0), zxid: Zxid(0) };

const fn vote(epoch: i64, zxid: i64, leader: i64) -> Vote {
    Vote { epoch: Epoch(epoch), zxid: Zxid(zxid), leader: ServerId(leader) }
}

fn majority(servers: i64) -> Quorum {
    Quorum::majority((1..=servers).map(ServerId))
}

/// A fresh server of an ensemble, which has begun its first round.
fn fresh(id: i64, servers: i64) -> Elector {
    let mut elector = Elector::new(ServerId(id), majority(servers));
    elector.look(NOW, FRESH);
    elector
}

fn says(state: ServerState, vote: Vote, round: i64) -> Notification {
    Notification { state, vote, round: Round(round), format: Format::Numbered }
}

fn looking(vote: Vote, round: i64) -> Notification {
    says(ServerState::Looking, vote, round)
}

fn hears(elector: &mut Elector, from: i64, notification: Notification) -> Vec<Action> {
    elector.handle(NOW, Event::Notification { from: ServerId(from), notification })
}

/// What it does when nobody has written for as long as it wanted to wait.
fn silence(elector: &mut Elector, after: &[Action]) -> Vec<Action> {
    elector.handle(deadline(after), Event::Tick)
}

fn deadline(actions: &[Action]) -> Duration {
    let mut waits =
        actions.iter().filter_map(|it| if let Action::WaitUntil(time) = it { Some(*time) } else { None });
    waits.next_back().expect("it waits")
}

fn decided(actions: &[Action]) -> Option<(ServerState, i64, i64)> {
    actions.iter().find_map(|it| match it {
        Action::Decided(Decision { state, vote, round }) => Some((*state, vote.leader.0, round.0)),
        _ => None,
    })
}

fn broadcast(actions: &[Action]) -> Option<(Vote, i64)> {
    actions.iter().find_map(|it| match it {
        Action::Broadcast(notification) => Some((notification.vote, notification.round.0)),
        _ => None,
    })
}

fn sent(actions: &[Action]) -> Vec<(i64, Notification)> {
    let sent = |it: &Action| match it {
        Action::Send { to, notification } => Some((to.0, notification.clone())),
        _ => None,
    };
    actions.iter().filter_map(sent).collect()
}

#[test]
fn a_round_begins_with_a_vote_for_oneself() {
    let mut elector = Elector::new(ServerId(2), majority(3));
    let actions = elector.look(NOW, History { epoch: Epoch(1), zxid: Zxid(0x1_0000_0008) });
    assert_eq!(broadcast(&actions), Some((vote(1, 0x1_0000_0008, 2), 1)));
    assert_eq!(deadline(&actions), NOW + FINALIZE_WAIT);
    assert_eq!(elector.state(), ServerState::Looking);
}

#[test]
fn a_better_vote_is_adopted_and_told_a_worse_one_is_not() {
    let mut elector = fresh(2, 5);
    assert_eq!(broadcast(&hears(&mut elector, 1, looking(vote(0, 0, 1), 1))), None);
    assert_eq!(broadcast(&hears(&mut elector, 3, looking(vote(0, 0, 3), 1))), Some((vote(0, 0, 3), 1)));
    assert_eq!(elector.votes().count(), 3);
}

#[test]
fn a_quorum_decides_after_a_silence() {
    let mut elector = fresh(3, 5);
    hears(&mut elector, 1, looking(vote(0, 0, 3), 1));
    let actions = hears(&mut elector, 2, looking(vote(0, 0, 3), 1));
    assert_eq!(deadline(&actions), NOW + FINALIZE_WAIT);
    // Too early.
    assert!(elector.handle(NOW, Event::Tick).is_empty());
    let actions = silence(&mut elector, &actions);
    assert_eq!(decided(&actions), Some((ServerState::Leading, 3, 1)));
    assert_eq!((elector.state(), elector.proposal()), (ServerState::Leading, None));
}

#[test]
fn a_better_vote_within_the_wait_reopens_the_election_and_any_other_prolongs_the_wait() {
    let mut elector = fresh(2, 5);
    hears(&mut elector, 1, looking(vote(0, 0, 3), 1));
    hears(&mut elector, 3, looking(vote(0, 0, 3), 1));
    let actions = hears(&mut elector, 4, says(ServerState::Following, vote(0, 0, 1), 1));
    assert_eq!(deadline(&actions), NOW + FINALIZE_WAIT);
    let actions = hears(&mut elector, 5, looking(vote(0, 0, 5), 1));
    assert_eq!(broadcast(&actions), Some((vote(0, 0, 5), 1)));
    assert_eq!(decided(&silence(&mut elector, &actions)), None);
}

/// Seen at ZooKeeper 3.8.0, which counts again only when it hears its own vote, repeated.
#[test]
fn a_better_vote_that_does_not_count_hides_the_quorum_until_the_own_vote_is_repeated() {
    let not_counted = [
        looking(vote(5, 0, 77), 1),
        looking(vote(5, 0, 5), 0),
        looking(vote(5, -1, 5), 1),
        says(ServerState::Observing, vote(5, 0, 5), 1),
    ];
    for heard in not_counted {
        let mut elector = fresh(1, 5);
        hears(&mut elector, 2, looking(vote(0, 0, 3), 1));
        hears(&mut elector, 3, looking(vote(0, 0, 3), 1));
        let actions = hears(&mut elector, 4, heard.clone());
        let actions = elector.handle(deadline(&actions), Event::Tick);
        assert_eq!(broadcast(&actions), Some((vote(0, 0, 3), 1)), "{heard:?}");
        let actions = elector.handle(deadline(&actions), Event::Tick);
        assert_eq!(decided(&actions), Some((ServerState::Following, 3, 1)), "{heard:?}");
    }
}

#[test]
fn a_quorum_that_asks_for_nobody_else_is_the_server_alone() {
    let mut elector = Elector::new(ServerId(1), majority(1));
    let actions = elector.look(NOW, FRESH);
    assert_eq!(decided(&silence(&mut elector, &actions)), Some((ServerState::Leading, 1, 1)));
}

#[test]
fn a_later_round_drops_the_votes_of_this_one_and_the_proposal_with_them() {
    let mut elector = fresh(2, 5);
    hears(&mut elector, 5, looking(vote(0, 0, 5), 1));
    // The vote of the later round is worse than the own first one.
    assert_eq!(broadcast(&hears(&mut elector, 1, looking(vote(0, 0, 1), 7))), Some((vote(0, 0, 2), 7)));
    let votes: Vec<_> = elector.votes().collect();
    assert_eq!(votes, [(ServerId(1), vote(0, 0, 1)), (ServerId(2), vote(0, 0, 2))]);
}

#[test]
fn who_is_in_an_earlier_round_is_told_and_not_counted() {
    let mut elector = fresh(2, 3);
    elector.look(NOW, FRESH);
    let actions = hears(&mut elector, 3, looking(vote(0, 0, 3), 1));
    assert_eq!(sent(&actions), [(3, looking(vote(0, 0, 2), 2))]);
    assert_eq!(elector.votes().count(), 1);
}

#[test]
fn silence_is_waited_for_longer_and_longer() {
    let mut elector = fresh(1, 3);
    let mut now = NOW + FINALIZE_WAIT;
    let mut waits = Vec::new();
    for _ in 0..10 {
        let actions = elector.handle(now, Event::Tick);
        assert_eq!(broadcast(&actions), Some((vote(0, 0, 1), 1)));
        waits.push(deadline(&actions) - now);
        now = deadline(&actions);
    }
    assert_eq!(waits[..3], [2, 4, 8].map(|times| FINALIZE_WAIT * times));
    assert_eq!(waits.last(), Some(&LONGEST_WAIT));
}

#[test]
fn when_nothing_reached_anybody_it_connects_instead_of_repeating() {
    let mut elector = fresh(1, 3);
    elector.handle(NOW, Event::Undelivered { to: ServerId(2) });
    elector.handle(NOW, Event::Undelivered { to: ServerId(3) });
    let actions = elector.handle(NOW + FINALIZE_WAIT, Event::Tick);
    assert_eq!(actions[0], Action::Connect);
    elector.handle(NOW, Event::Undelivered { to: ServerId(2) });
    assert!(broadcast(&silence(&mut elector, &actions)).is_some());
}

#[test]
fn who_is_heard_has_got_what_was_sent() {
    let mut elector = fresh(1, 3);
    elector.handle(NOW, Event::Undelivered { to: ServerId(2) });
    elector.handle(NOW, Event::Undelivered { to: ServerId(3) });
    let actions = hears(&mut elector, 3, looking(vote(0, 0, 0), 1));
    assert!(broadcast(&silence(&mut elector, &actions)).is_some());
}

#[test]
fn a_late_server_joins_the_leader_of_a_quorum_once_that_leader_has_said_so() {
    let mut elector = fresh(5, 5);
    let settled = vote(0, 0, 3);
    assert_eq!(decided(&hears(&mut elector, 1, says(ServerState::Following, settled, 1))), None);
    assert_eq!(decided(&hears(&mut elector, 2, says(ServerState::Following, settled, 1))), None);
    // A third follower is a quorum, and no proof that the leader still leads.
    assert_eq!(decided(&hears(&mut elector, 4, says(ServerState::Following, settled, 1))), None);
    let actions = hears(&mut elector, 3, says(ServerState::Leading, settled, 1));
    assert_eq!(decided(&actions), Some((ServerState::Following, 3, 1)));
}

#[test]
fn a_late_server_takes_over_the_round_of_those_that_have_settled_even_backwards() {
    let mut elector = fresh(3, 3);
    elector.look(NOW, History { epoch: Epoch(1), zxid: Zxid(0x1_0000_0009) });
    // The zxids differ, and the history of the late one is the better one: neither matters.
    hears(&mut elector, 1, says(ServerState::Following, vote(2, 4, 2), 1));
    let actions = hears(&mut elector, 2, says(ServerState::Leading, vote(2, 5, 2), 1));
    assert_eq!(decided(&actions), Some((ServerState::Following, 2, 1)));
    assert_eq!(elector.round(), Round(1));
}

#[test]
fn within_a_round_those_who_know_the_new_epoch_and_those_who_do_not_agree() {
    for (round, joins) in [(1, true), (2, false)] {
        let mut elector = fresh(1, 3);
        let configured =
            |notification| Notification { format: Format::Configured("version=0".into()), ..notification };
        hears(&mut elector, 3, configured(says(ServerState::Leading, vote(1, 0, 3), round)));
        let follows = configured(says(ServerState::Following, vote(0, 0, 3), round));
        let actions = hears(&mut elector, 2, follows);
        assert_eq!(decided(&actions).is_some(), joins, "round {round}");
    }
}

/// Seen at ZooKeeper 3.8.0: of 40 bytes it does not read the number of the format.
#[test]
fn between_servers_with_and_without_a_configuration_the_leader_alone_has_to_agree() {
    let configured = Format::Configured("version=0".into());
    for (format, joins) in [(Format::Numbered, true), (configured.clone(), false)] {
        let mut elector = fresh(1, 3);
        let leads = says(ServerState::Leading, vote(1, 0, 3), 4);
        hears(&mut elector, 3, Notification { format: configured.clone(), ..leads });
        let follows = says(ServerState::Following, vote(2, 0, 3), 4);
        let actions = hears(&mut elector, 2, Notification { format: format.clone(), ..follows });
        assert_eq!(decided(&actions).is_some(), joins, "{format:?}");
    }
}

#[test]
fn who_is_named_leader_without_leading_believes_it_only_in_its_own_round() {
    for (round, leads) in [(1, true), (2, false)] {
        let mut elector = fresh(3, 3);
        hears(&mut elector, 2, looking(vote(0, 0, 1), 1));
        hears(&mut elector, 1, says(ServerState::Following, vote(0, 0, 3), round));
        hears(&mut elector, 2, says(ServerState::Following, vote(0, 0, 3), round));
        assert_eq!(elector.state() == ServerState::Leading, leads, "round {round}");
    }
}

#[test]
fn who_has_settled_answers_voters_that_look_and_nobody_else_who_votes() {
    let mut elector = fresh(1, 3);
    hears(&mut elector, 3, says(ServerState::Leading, vote(0, 0, 3), 1));
    hears(&mut elector, 2, says(ServerState::Following, vote(0, 0, 3), 1));
    elector.established(Epoch(1));
    let actions = hears(&mut elector, 2, looking(vote(0, 0, 2), 4));
    assert_eq!(sent(&actions), [(2, says(ServerState::Following, vote(1, 0, 3), 1))]);
    assert!(hears(&mut elector, 3, says(ServerState::Leading, vote(1, 0, 3), 1)).is_empty());
}

#[test]
fn who_has_no_vote_is_told_the_last_settled_vote_and_never_counts() {
    let question = || says(ServerState::Observing, Vote::NONE, 0);
    let mut elector = fresh(2, 3);
    // Nothing settled yet: its first vote, whatever it proposes by now.
    hears(&mut elector, 3, looking(vote(0, 0, 3), 9));
    assert_eq!(sent(&hears(&mut elector, 99, question())), [(99, looking(vote(0, 0, 2), 9))]);
    hears(&mut elector, 99, looking(vote(9, 9, 3), 50));
    assert_eq!((elector.round(), elector.votes().count()), (Round(9), 2));
}

#[test]
fn an_observer_votes_for_nobody_and_follows_a_quorum() {
    let mut elector = Elector::new(ServerId(9), majority(3));
    let actions = elector.look(NOW, FRESH);
    assert_eq!(broadcast(&actions), Some((Vote::NONE, 1)));
    assert_eq!(elector.votes().count(), 0);
    hears(&mut elector, 1, says(ServerState::Following, vote(1, 0, 3), 1));
    let actions = hears(&mut elector, 3, says(ServerState::Leading, vote(1, 0, 3), 1));
    assert_eq!(decided(&actions), Some((ServerState::Observing, 3, 1)));
}

#[test]
fn votes_for_strangers_and_of_servers_without_a_database_do_not_count() {
    let mut elector = fresh(1, 3);
    hears(&mut elector, 2, looking(vote(5, 5, 77), 1));
    hears(&mut elector, 3, looking(vote(0, -1, 3), 1));
    assert_eq!((elector.proposal(), elector.votes().count()), (Some(vote(0, 0, 1)), 1));
    // And one without a database votes for nobody.
    let mut elector = Elector::new(ServerId(1), majority(3));
    elector.look(NOW, History { epoch: Epoch(0), zxid: Zxid::UNINITIALISED });
    hears(&mut elector, 2, looking(vote(0, 0, 2), 1));
    assert_eq!(elector.votes().count(), 0);
}

#[test]
fn a_server_that_weighs_nothing_is_not_elected() {
    let quorum = Quorum::hierarchical([(1, 1), (2, 1), (3, 0)].map(|(id, weight)| (ServerId(id), 1, weight)));
    let mut elector = Elector::new(ServerId(2), quorum);
    elector.look(NOW, FRESH);
    hears(&mut elector, 3, looking(vote(0, 0, 3), 1));
    let actions = hears(&mut elector, 1, looking(vote(0, 0, 2), 1));
    assert_eq!(decided(&silence(&mut elector, &actions)), Some((ServerState::Leading, 2, 1)));
}

#[test]
fn every_vote_brings_the_configuration_along_if_it_is_known() {
    let mut elector = Elector::new(ServerId(1), majority(3)).announcing("version=0");
    let actions = elector.look(NOW, FRESH);
    let Action::Broadcast(notification) = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(notification.config(), Some("version=0"));
}
