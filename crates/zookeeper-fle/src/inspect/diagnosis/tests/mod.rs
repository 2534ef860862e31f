use std::time::Duration;

use super::*;
use crate::codec::DecodeError;
use crate::config::{ConfigError, Role};
use crate::inspect::inspection::Inspection;
use crate::vote::{Ballot, Epoch, Round};

use ServerState::{Following, Leading, Looking, Observing};

mod contradictions;

/// Servers 1 to `n`, all with a vote, and further lines.
fn config(n: i64, more: &str) -> EnsembleConfig {
    let servers: String = (1..=n).map(|id| format!("server.{id}=zk{id}:2888:3888\n")).collect();
    format!("{servers}{more}").parse().unwrap()
}

/// What a server says: its state, and its vote as leader, epoch and zxid.
fn says(id: i64, state: ServerState, (leader, epoch, zxid): (i64, i64, i64)) -> InspectedServer {
    let vote = Vote { epoch: Epoch(epoch), zxid: Zxid(zxid), leader: ServerId(leader) };
    let ballot = Ballot { vote, round: Round(1), state, configured: true };
    let answer = Answer { ballot, config: Some(Ok(config(5, ""))), round_trip: Duration::ZERO };
    InspectedServer {
        id: Some(ServerId(id)),
        address: format!("zk{id}:3888"),
        role: None,
        outcome: Ok(answer),
    }
}

fn silent(id: i64, no_answer: NoAnswer) -> InspectedServer {
    let (id, address) = (Some(ServerId(id)), format!("zk{id}:3888"));
    InspectedServer { id, address, role: None, outcome: Err(no_answer) }
}

/// The same, of whom it is not known who it is.
fn unidentified(server: InspectedServer) -> InspectedServer {
    InspectedServer { id: None, ..server }
}

fn with_config(
    server: InspectedServer,
    config: Option<Result<EnsembleConfig, ConfigError>>,
) -> InspectedServer {
    let outcome = server.outcome.map(|answer| Answer { config, ..answer });
    InspectedServer { outcome, ..server }
}

fn findings(servers: impl IntoIterator<Item = InspectedServer>) -> Vec<Finding> {
    Inspection::new(servers.into_iter().collect()).findings
}

fn servers(ids: &[i64]) -> Vec<ServerRef> {
    ids.iter().map(|id| ServerRef::Server(ServerId(*id))).collect()
}

fn refused(id: i64) -> Finding {
    Finding::NotReached { server: ServerRef::Server(ServerId(id)), reason: NoAnswer::Refused }
}

fn not_asked(ids: &[i64]) -> Finding {
    Finding::NotAsked { servers: ids.iter().copied().map(ServerId).collect() }
}

/// The same, at another address.
fn at(address: &str, server: InspectedServer) -> InspectedServer {
    InspectedServer { address: address.into(), ..server }
}

fn by_address(addresses: &[&str]) -> Vec<ServerRef> {
    addresses.iter().map(|address| ServerRef::At((*address).into())).collect()
}

fn settled(leader: i64, epoch: i64, followers: &[i64]) -> Finding {
    Finding::Settled { leader: ServerId(leader), epoch: Epoch(epoch), followers: servers(followers) }
}

fn unconfirmed(leader: i64, epoch: i64, by: &[i64], sizes: (usize, usize, usize)) -> Finding {
    let (leader, epoch, supporters) = (ServerId(leader), Epoch(epoch), servers(by));
    let (answering, voters, needed) = sizes;
    Finding::LeaderUnconfirmed { leader, epoch, supporters, answering, voters, needed }
}

const LED_BY_3: (i64, i64, i64) = (3, 2, 0x1_0000_0008);

#[test]
fn all_follow_one_leader() {
    // Those who joined later have settled with another zxid; the epoch is the same.
    let late = says(5, Following, (3, 2, 0x2_0000_0001));
    let four = [1, 2, 4].map(|id| says(id, Following, LED_BY_3));
    let inspection = Inspection::new([says(3, Leading, LED_BY_3), late].into_iter().chain(four).collect());
    assert_eq!(inspection.findings, [settled(3, 2, &[1, 2, 4, 5])]);
    assert!(inspection.is_healthy());
    assert_eq!(inspection.leader(), Some((ServerId(3), Epoch(2))));
    let told = "settled: server 3 leads epoch 0x2, followed by server 1, server 2, server 4, server 5";
    assert_eq!(inspection.findings[0].to_string(), told);
}

#[test]
fn one_of_five_is_dead_and_one_has_not_joined_yet() {
    let found = findings([
        says(1, Following, LED_BY_3),
        says(2, Following, LED_BY_3),
        says(3, Leading, LED_BY_3),
        silent(4, NoAnswer::Refused),
        says(5, Looking, (5, 1, 0x1_0000_0008)),
    ]);
    let not_joined = Finding::NotJoined { looking: servers(&[5]) };
    assert_eq!(found, [settled(3, 2, &[1, 2]), not_joined, refused(4)]);
    assert_eq!(found[1].to_string(), "still looking, although one server claims leadership: server 5");
    assert!(found[1].is_trouble() && found[2].is_trouble());
}

#[test]
fn two_of_five_are_left_and_show_what_they_had_settled_on() {
    let looking = [1, 2].map(|id| says(id, Looking, LED_BY_3));
    let found = findings(looking.into_iter().chain([3, 4, 5].map(|id| silent(id, NoAnswer::Refused))));
    let no_quorum =
        Finding::NoQuorum { answering: 2, voters: 5, needed: 3, missing: [3, 4, 5].map(ServerId).to_vec() };
    let unknown = Finding::NextUnknown { old_votes: servers(&[1, 2]), unidentified: vec![] };
    assert_eq!(found, [no_quorum, unknown, refused(3), refused(4), refused(5)]);
    let told = "no quorum: 2 of 5 voters answer, 3 are needed; missing: server 3, server 4, server 5";
    assert_eq!(found[0].to_string(), told);
}

#[test]
fn two_of_five_have_just_started_and_the_one_with_more_transactions_would_lead() {
    let (ahead, behind) = ((1, 2, 0x2_0000_0009), (2, 2, 0x2_0000_0008));
    let found = findings([says(1, Looking, ahead), says(2, Looking, behind)]);
    let vote = Vote { epoch: Epoch(2), zxid: Zxid(0x2_0000_0009), leader: ServerId(1) };
    assert!(matches!(found[0], Finding::NoQuorum { answering: 2, .. }));
    assert_eq!(found[1..], [Finding::WouldElect { vote, unsure: Vec::new() }, not_asked(&[3, 4, 5])]);
    assert!(
        found[1]
            .to_string()
            .contains("would elect server 1: it has the highest vote, with epoch 0x2 and zxid 0x200000009")
    );
}

/// The epoch of the vote on which a leader settled began after its last zxid: so it may have more by now.
#[test]
fn a_former_leader_that_votes_for_itself_may_have_more_than_it_shows() {
    let found = findings([says(3, Looking, LED_BY_3), says(2, Looking, (2, 2, 0x2_0000_0001))]);
    let vote = Vote { epoch: Epoch(2), zxid: Zxid(0x2_0000_0001), leader: ServerId(2) };
    assert_eq!(found[1], Finding::WouldElect { vote, unsure: servers(&[3]) });
    assert!(found[1].to_string().ends_with("; so may server 3, if it has led since its start"));
}

/// A server changes its state before its vote.
#[test]
fn a_leader_that_still_shows_its_old_vote_has_not_settled() {
    let found = findings(
        [1, 2, 4].map(|id| says(id, Following, LED_BY_3)).into_iter().chain([says(5, Leading, LED_BY_3)]),
    );
    assert_eq!(found[0], Finding::Unsettled { looking: vec![] });
    let told = "no leader: a quorum answers, none of it is looking, and none claims leadership";
    assert!(found[0].to_string().starts_with(told), "{}", found[0]);
}

#[test]
fn who_cannot_lead_would_not_be_elected() {
    let groups = "group.1=1:2:3\nweight.3=0\n";
    let mut observed = config(3, groups);
    observed
        .servers
        .insert(ServerId(4), Member { role: Role::Observer, ..observed.servers[&ServerId(3)].clone() });
    let fresh = |id: i64| with_config(says(id, Looking, (id, 0, 0)), Some(Ok(observed.clone())));
    // 3 weighs nothing, and 4 has no vote.
    let found = findings([1, 2, 3, 4].map(fresh));
    let vote = Vote { epoch: Epoch(0), zxid: Zxid(0), leader: ServerId(2) };
    let looking = Finding::Unsettled { looking: servers(&[1, 2, 3, 4]) };
    assert_eq!(found, [looking, Finding::WouldElect { vote, unsure: Vec::new() }]);
}

#[test]
fn a_quorum_answers_and_is_still_looking() {
    let found = findings([1, 2, 4].map(|id| says(id, Looking, LED_BY_3)));
    let looking = servers(&[1, 2, 4]);
    let unknown = Finding::NextUnknown { old_votes: looking.clone(), unidentified: vec![] };
    assert_eq!(found, [Finding::Unsettled { looking }, unknown, not_asked(&[3, 5])]);
    let told = "no leader: a quorum answers, and none of it claims leadership; looking: server 1, server 2";
    assert!(found[0].to_string().starts_with(told), "{}", found[0]);
}

/// As for an inspection behind a firewall, of an ensemble that is well.
#[test]
fn a_leader_that_too_few_confirm_may_lead_all_the_same() {
    let (led, behind) = ((2, 1, 0), [3, 4, 5].map(|id| silent(id, NoAnswer::Deaf)));
    let reached = [says(1, Following, led), says(2, Leading, led)];
    let found = findings(reached.iter().cloned().chain(behind));
    assert_eq!(
        found,
        [unconfirmed(2, 1, &[1, 2], (2, 5, 3)), Finding::Deaf { servers: servers(&[3, 4, 5]) }]
    );
    assert!(found[0].is_trouble());
    let told = "server 2 claims leadership of epoch 0x1 without a confirming quorum: 2 of 5 voters answer, server 1, \
                server 2 confirm it, 3 are needed; it may lead nevertheless";
    assert!(found[0].to_string().starts_with(told), "{}", found[0]);

    // All answer, and most have not joined it.
    let found = findings(reached.into_iter().chain([3, 4, 5].map(|id| says(id, Looking, LED_BY_3))));
    let not_joined = Finding::NotJoined { looking: servers(&[3, 4, 5]) };
    assert_eq!(found, [unconfirmed(2, 1, &[1, 2], (5, 5, 3)), not_joined]);
    assert!(found[0].to_string().contains("inspect again"), "{}", found[0]);
}

#[test]
fn an_ensemble_is_not_healthy_while_one_of_its_servers_was_not_asked() {
    let following = [1, 2, 4].map(|id| says(id, Following, LED_BY_3));
    let inspection = Inspection::new(following.into_iter().chain([says(3, Leading, LED_BY_3)]).collect());
    assert_eq!(inspection.findings, [settled(3, 2, &[1, 2, 4]), not_asked(&[5])]);
    assert!(!inspection.is_healthy());
    let told = "in the newest configuration, and not asked: server 5;";
    assert!(inspection.findings[1].to_string().starts_with(told), "{inspection}");
}

#[test]
fn two_servers_say_that_they_lead() {
    let found = findings([
        says(1, Leading, (1, 3, 0x2_0000_0001)),
        says(2, Following, (1, 3, 0x2_0000_0001)),
        says(3, Leading, LED_BY_3),
    ]);
    let leaders = vec![(ServerId(1), Epoch(3)), (ServerId(3), Epoch(2))];
    assert_eq!(found, [Finding::SeveralLeaders { leaders }, not_asked(&[4, 5])]);
    assert!(found[0].to_string().contains("server 1 in epoch 0x3, server 3 in epoch 0x2"), "{}", found[0]);
}

#[test]
fn the_leader_that_some_follow_says_something_else_or_nothing() {
    let followers = [1, 2].map(|id| says(id, Following, LED_BY_3));
    let of = |state| Finding::FollowsNoLeader {
        leader: ServerId(3),
        epoch: Epoch(2),
        state,
        followers: servers(&[1, 2]),
    };
    for (third, expected, told) in [
        (silent(3, NoAnswer::Deaf), of(None), "server 3 does not answer"),
        (says(3, Looking, LED_BY_3), of(Some(Looking)), "server 3 is LOOKING"),
        (says(3, Leading, (3, 3, 0x2_0000_0001)), of(Some(Leading)), "server 3 leads another epoch"),
    ] {
        let found = findings(followers.clone().into_iter().chain([third]));
        assert!(!matches!(found[0], Finding::Settled { .. }), "{found:?}");
        assert!(found.contains(&expected), "{found:?}");
        assert!(expected.to_string().ends_with(told), "{expected}");
    }
}

#[test]
fn configurations_differ_in_version_or_only_in_their_text() {
    let following = |id| says(id, Following, LED_BY_3);
    let new = config(5, "version=100000003");
    let typo: EnsembleConfig = config(5, "").to_string().replace("zk4", "zk44").parse().unwrap();
    let found = findings([
        following(1),
        with_config(following(2), Some(Ok(typo))),
        with_config(says(3, Leading, LED_BY_3), Some(Ok(new))),
        following(4),
    ]);
    let versions =
        vec![(Zxid(0), servers(&[1, 4])), (Zxid(0), servers(&[2])), (Zxid(0x1_0000_0003), servers(&[3]))];
    assert_eq!(found, [settled(3, 2, &[1, 2, 4]), Finding::ConfigsDiffer { versions }, not_asked(&[5])]);
    let told = found[1].to_string();
    assert!(told.contains("version 0x0 on server 1, server 4, version 0x0 on server 2"), "{told}");
    assert!(told.contains("different texts have the same version"), "{told}");
}

/// As in containers, where each server has all its own interfaces in place of its name.
#[test]
fn a_server_that_calls_itself_by_all_its_addresses_has_no_other_configuration() {
    let own = |id: i64| -> EnsembleConfig {
        config(5, "").to_string().replace(&format!("zk{id}:"), "0.0.0.0:").parse().unwrap()
    };
    let states = [(1, Following), (2, Following), (3, Leading)];
    let found = findings(states.map(|(id, state)| with_config(says(id, state, LED_BY_3), Some(Ok(own(id))))));
    assert_eq!(found, [settled(3, 2, &[1, 2]), not_asked(&[4, 5])]);
}

#[test]
fn a_configuration_that_cannot_be_read_is_reported_and_the_vote_still_counts() {
    let error = ConfigError::NoParticipant;
    let found = findings([
        with_config(says(1, Following, LED_BY_3), Some(Err(error.clone()))),
        says(2, Following, LED_BY_3),
        says(3, Leading, LED_BY_3),
    ]);
    let who = ServerRef::Server(ServerId(1));
    let unreadable = Finding::ConfigUnreadable { server: who, error };
    assert_eq!(found, [settled(3, 2, &[1, 2]), unreadable, not_asked(&[4, 5])]);
}

#[test]
fn those_who_say_nothing_are_told_apart() {
    let foreign = DecodeError::FrameLength { announced: 0x4854_5450 };
    let found = findings([
        says(3, Leading, LED_BY_3),
        silent(1, NoAnswer::Deaf),
        silent(2, NoAnswer::Closed),
        silent(4, NoAnswer::NotTheProtocol(foreign.clone())),
        silent(5, NoAnswer::Unresolved),
    ]);
    let [unconfirmed, foreign_told, not_reached, deaf, closed] = &found[..] else { panic!("{found:?}") };
    assert!(matches!(unconfirmed, Finding::LeaderUnconfirmed { answering: 1, .. }));
    assert_eq!(*foreign_told, Finding::Foreign { server: ServerRef::Server(ServerId(4)), error: foreign });
    let unresolved =
        Finding::NotReached { server: ServerRef::Server(ServerId(5)), reason: NoAnswer::Unresolved };
    assert_eq!(*not_reached, unresolved);
    assert_eq!(*deaf, Finding::Deaf { servers: servers(&[1]) });
    assert_eq!(*closed, Finding::Closed { servers: servers(&[2]) });
    assert!(closed.to_string().contains("TLS") && closed.to_string().contains("SASL"));
    let told = deaf.to_string();
    assert!(told.contains("port is open") && told.contains("inspect again in a minute"), "{told}");
    assert!(!told.contains("restart"), "{told}");

    assert_eq!(findings([silent(1, NoAnswer::Refused)]), [Finding::Nobody, refused(1)]);
}

/// As where the addresses that were given are forwarded to those of the configuration.
#[test]
fn unknown_senders_count_as_the_voters_of_whom_nothing_else_is_heard() {
    let unknown = [1, 2].map(|id| unidentified(says(id, Following, LED_BY_3)));
    let no_answer = [1, 2, 3, 4, 5].map(|id| silent(id, NoAnswer::Unresolved));
    let found = findings(unknown.into_iter().chain([says(3, Leading, LED_BY_3)]).chain(no_answer));
    let followers = by_address(&["zk1:3888", "zk2:3888"]);
    let settled = Finding::Settled { leader: ServerId(3), epoch: Epoch(2), followers: followers.clone() };
    assert_eq!(found[0], settled);
    assert_eq!(found.last(), Some(&Finding::Unidentified { servers: followers }));
    // 3 has answered elsewhere.
    assert_eq!(found.len(), 2 + 4, "{found:?}");

    // One voter that answers twice is one.
    let twice = [
        says(3, Leading, LED_BY_3),
        at("elsewhere", says(3, Leading, LED_BY_3)),
        says(1, Following, LED_BY_3),
    ];
    let found = findings(twice);
    assert_eq!(found, [unconfirmed(3, 2, &[1, 3], (2, 5, 3)), not_asked(&[2, 4, 5])]);
}

#[test]
fn before_3_5_nothing_tells_who_belongs_to_the_ensemble() {
    let old = |server| with_config(server, None);
    let follower = |id| old(unidentified(says(id, Following, LED_BY_3)));
    let leader = old(says(3, Leading, LED_BY_3));
    let nobody = |id| unidentified(silent(id, NoAnswer::Refused));
    let found = findings([follower(1), leader.clone(), nobody(2)]);
    let followers = vec![ServerRef::At("zk1:3888".into())];
    let settled = Finding::Settled { leader: ServerId(3), epoch: Epoch(2), followers };
    assert_eq!(found[0], settled);
    assert_eq!(found.last(), Some(&Finding::NoConfig));
    assert_eq!(findings([leader, nobody(1)])[0], unconfirmed(3, 2, &[3], (1, 2, 2)));
    let looking = old(unidentified(says(1, Looking, LED_BY_3)));
    let no_quorum = Finding::NoQuorum { answering: 1, voters: 2, needed: 2, missing: vec![] };
    let unknown = Finding::NextUnknown { old_votes: vec![], unidentified: by_address(&["zk1:3888"]) };
    let found = findings([looking, nobody(2)]);
    assert_eq!(found[..2], [no_quorum, unknown]);
    let told = found[1].to_string();
    assert!(
        told.ends_with(
            "cannot predict the winner: unknown whether these vote for themselves: the server at zk1:3888"
        ),
        "{told}"
    );
    assert!(!told.contains("old vote"), "{told}");
}

#[test]
fn many_voters_are_no_quorum_where_they_are_of_few_groups() {
    let groups = config(9, "group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9\n");
    let looking = [1, 2, 3, 4, 7]
        .map(|id| with_config(says(id, Looking, (3, 2, 0x1_0000_0001)), Some(Ok(groups.clone()))));
    let found = findings(looking);
    assert!(matches!(found[0], Finding::NoQuorum { answering: 5, voters: 9, needed: 4, .. }), "{found:?}");
    let told = "no quorum: 5 of 9 voters answer, 4 can be enough, but not with these groups and weights; missing: server 5";
    assert!(found[0].to_string().starts_with(told), "{}", found[0]);
}

#[test]
fn an_observer_is_no_voter() {
    let mut observed = config(3, "");
    observed.servers.get_mut(&ServerId(3)).unwrap().role = Role::Observer;
    let of = |server| with_config(server, Some(Ok(observed.clone())));
    let found = findings([of(says(1, Leading, (1, 2, 5))), of(says(3, Observing, (1, 2, 5)))]);
    assert_eq!(found, [unconfirmed(1, 2, &[1], (1, 2, 2)), not_asked(&[2])]);
}
