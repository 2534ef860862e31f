//! One id, and answers that cannot all be those of one server at one time.

use super::*;

#[test]
fn nobody_is_passed_over_where_one_id_answers_differently() {
    let contradiction =
        Finding::Contradiction { id: ServerId(1), addresses: vec!["a:3888".into(), "b:3888".into()] };
    let led_by_1 = |epoch| (1, epoch, 0x1_0000_0000);
    let others = || [2, 3, 4, 5].map(|id| says(id, Following, led_by_1(2)));
    let with = |a: InspectedServer, b: InspectedServer| {
        let servers = [at("a:3888", a), at("b:3888", b)].into_iter().chain(others());
        Inspection::new(servers.collect())
    };
    let leads = |epoch| says(1, Leading, led_by_1(epoch));

    // At two addresses of its own a server answers alike.
    let inspection = with(leads(2), leads(2));
    assert_eq!(inspection.findings, [settled(1, 2, &[2, 3, 4, 5])]);
    assert!(inspection.is_healthy());

    // Two leaders.
    for (a, b) in [(2, 1), (1, 2)] {
        let inspection = with(leads(a), leads(b));
        let leaders = [a, b].map(|epoch| (ServerId(1), Epoch(epoch))).to_vec();
        assert_eq!(inspection.findings, [Finding::SeveralLeaders { leaders }, contradiction.clone()]);
        assert!(inspection.findings[1].is_trouble() && inspection.leader().is_none());
        let told = "server 1 answers differently at a:3888 and b:3888: two processes with the same id";
        assert!(inspection.findings[1].to_string().starts_with(told), "{inspection}");
    }

    // One leader, and one that is on its own; the quorum is one without them too.
    let inspection = with(leads(2), says(1, Looking, (1, 1, 0)));
    let not_joined = Finding::NotJoined { looking: by_address(&["b:3888"]) };
    assert_eq!(inspection.findings, [settled(1, 2, &[2, 3, 4, 5]), contradiction.clone(), not_joined]);
    assert!(!inspection.is_healthy());

    // The same leader with another configuration, as after a reconfiguration.
    let new: EnsembleConfig = config(5, "version=100000003");
    let inspection = with(leads(2), with_config(leads(2), Some(Ok(new))));
    assert_eq!(inspection.findings[..2], [settled(1, 2, &[2, 3, 4, 5]), contradiction]);
    let told = inspection.findings[2].to_string();
    assert!(told.ends_with("version 0x100000003 on the server at b:3888"), "{told}");
    assert!(!inspection.is_healthy());
}

/// Whoever contradicts itself about whom it follows confirms no leader.
#[test]
fn an_id_that_answers_differently_makes_no_quorum() {
    let one = [("a:3888", LED_BY_3), ("b:3888", (2, 1, 0))].map(|(it, led)| at(it, says(1, Following, led)));
    let found = findings(one.into_iter().chain([says(2, Following, LED_BY_3), says(3, Leading, LED_BY_3)]));
    assert_eq!(found[0], unconfirmed(3, 2, &[2, 3], (3, 5, 3)));
    let followers = by_address(&["b:3888"]);
    let follows =
        Finding::FollowsNoLeader { leader: ServerId(2), epoch: Epoch(1), state: Some(Following), followers };
    assert!(found.contains(&follows), "{found:?}");
}
