//! What goes wrong in leader election on ZooKeeper, and the tests that show what this crate does then.

use std::path::Path;

/// What happens, what is right, and where it is tested: a file of `tests` or `src` and the name of a test in it, or a
/// transcript of the machine.
const HAZARDS: &[(&str, &str, &[&str])] = &[
    (
        "a create was carried out and its reply is lost",
        "from then on it can be carried out no more; the znode is known by its session, its contender's name and its token",
        &[
            "tests/election/lost_reply.rs the_connection_is_reset_after_the_create",
            "tests/election/lost_reply.rs a_namesake_in_the_queue_is_not_robbed",
            "tests/claimed_znode.rs a_znode_that_a_twin_has_claimed_is_not_used_by_its_creator",
            "src/machine/transcripts/lost_reply.txt",
        ],
    ),
    (
        "a create is carried out after the contender has left",
        "it fails as a whole, and no znode is left",
        &[
            "tests/adversary/ghosts.rs a_withdrawal_that_is_confirmed_leaves_no_znode",
            "tests/adversary/ghosts.rs a_create_that_waits_for_a_quorum_is_waited_for",
            "tests/adversary/paused_follower.rs a_create_stuck_at_a_paused_follower_leaves_no_znode_of_a_contender_that_has_left",
        ],
    ),
    (
        "a removal is carried out late",
        "the next master's znode stays",
        &[
            "tests/adversary/removals.rs a_late_removal_leaves_the_next_master_alone",
            "tests/adversary/late_requests.rs a_removal_that_is_late_does_not_remove_the_next_master",
            "tests/adversary/paused_follower.rs a_removal_stuck_at_a_paused_follower_leaves_the_next_master_alone",
        ],
    ),
    (
        "a guarded write is late, or its thread stands still",
        "it is refused when the next one leads, and the znode stays until it is sent",
        &[
            "tests/adversary/late_requests.rs a_guarded_write_that_is_late_is_refused",
            "tests/descheduled.rs a_guarded_write_is_sent_before_the_znode_goes",
        ],
    ),
    (
        "a create fails",
        "another attempt after a pause, or an error; never silently out of the race",
        &[
            "tests/election/permissions.rs whoever_may_not_read_the_znode_before_its_own_is_told_and_not_left_waiting",
            "src/machine/transcripts/refused.txt",
        ],
    ),
    (
        "a campaign is dropped while its create is on the way",
        "no znode is left",
        &[
            "tests/election/withdrawal.rs a_campaign_dropped_at_any_moment_leaves_no_znode",
            "tests/election/lost_reply.rs a_campaign_that_is_dropped_while_the_reply_is_lost_leaves_no_znode",
            "src/machine/transcripts/cancelled_create.txt",
        ],
    ),
    (
        "the predecessor goes between the list and the watch, or from the middle of the queue",
        "the directory is listed again, and only a list decides",
        &[
            "src/machine/transcripts/predecessor_leaves_the_middle.txt",
            "src/machine/transcripts/queue_moves_up.txt",
        ],
    ),
    (
        "the predecessor's data is changed",
        "the watch is left again",
        &["tests/election/queue.rs a_predecessor_whose_data_is_changed_and_that_leaves_is_followed"],
    ),
    (
        "an operator deletes the own znode",
        "step down at once, join again",
        &[
            "tests/election/withdrawal.rs an_operator_deletes_znodes",
            "src/machine/transcripts/own_node_deleted.txt",
        ],
    ),
    (
        "an operator or the ensemble deletes the directory",
        "it is created again",
        &["tests/election/withdrawal.rs a_directory_that_vanishes_under_those_who_campaign_is_created_again"],
    ),
    (
        "the session of the leader expires",
        "its lease ends before",
        &[
            "tests/election/expiry.rs whoever_leads_steps_down_and_can_campaign_again",
            "tests/partitions/outages.rs after_an_outage_of_all_servers_one_leads",
        ],
    ),
    (
        "the session of one that waits expires",
        "it joins again at the tail, with a new session",
        &[
            "tests/election/expiry.rs whoever_waits_joins_again_at_the_tail",
            "src/machine/transcripts/session_expires.txt",
        ],
    ),
    (
        "a short disconnection",
        "the leadership and the place are kept",
        &[
            "tests/election/lost_reply.rs a_leader_whose_connection_breaks_goes_on_leading",
            "tests/election/servers.rs contenders_keep_their_places_through_an_outage_longer_than_the_session_timeout",
            "src/machine/transcripts/lease.txt",
            "src/machine/transcripts/waiting_through_a_disconnection.txt",
        ],
    ),
    (
        "a session is taken up while it is being expired",
        "no lease until it is certain that it was not",
        &[
            "tests/adversary/expiry.rs a_session_that_is_taken_up_while_it_is_being_expired_leads_nowhere",
            "src/lease.rs a_session_that_may_be_expiring_was_not_heard_of_when_it_is_taken_up",
        ],
    ),
    (
        "a session has another timeout after a move",
        "the least one counts, and leases that run are shortened",
        &[
            "tests/adversary/timeouts.rs a_session_that_was_taken_up_with_a_larger_timeout_is_leased_for_the_smaller_one",
            "tests/adversary/timeouts.rs a_session_that_was_taken_up_with_a_smaller_timeout_has_its_leases_shortened",
            "src/machine/transcripts/session_timeout_shrinks.txt",
        ],
    ),
    (
        "the connection breaks behind a proof's answer",
        "the proof counts for what its connection was answered, not for the next one",
        &[
            "tests/adversary/proofs.rs a_proof_is_worth_nothing_more_when_its_connection_breaks_behind_its_answer",
            "src/lease.rs a_transaction_from_before_a_move_is_worth_what_its_connection_was_answered",
        ],
    ),
    (
        "the leader's server is cut off from the quorum",
        "no proof, no lease",
        &[
            "tests/partitions/lost_packets.rs the_leader_s_follower_is_cut_off_from_the_other_servers",
            "tests/partitions/lost_packets.rs the_leader_s_server_leads_the_ensemble_and_is_cut_off",
        ],
    ),
    (
        "the leader's packets vanish, in one direction or both",
        "no proof, no lease",
        &[
            "tests/partitions/lost_packets.rs the_leader_s_packets_vanish_both_ways",
            "tests/partitions/lost_packets.rs the_leader_s_packets_vanish_one_way",
        ],
    ),
    (
        "the leader's process is paused",
        "the first question finds the lease over",
        &[
            "tests/partitions/pauses.rs a_leader_that_was_paused_does_not_act_when_it_goes_on",
            "src/lease.rs a_pause_before_the_proof_counts_against_it",
        ],
    ),
    (
        "servers restart, the ensemble elects another leader server",
        "the leadership survives if its lease does",
        &[
            "tests/partitions/outages.rs a_leadership_outlives_each_server_and_a_rolling_restart",
            "tests/partitions/outages.rs a_leadership_outlives_ten_leading_servers",
        ],
    ),
    (
        "a read-only server",
        "it proves nothing",
        &["tests/election/servers.rs a_read_only_server_proves_nothing"],
    ),
    (
        "a client began on a read-only server",
        "it is no connection, and another takes its place",
        &[
            "tests/election/servers.rs a_session_is_not_opened_on_a_read_only_server",
            "tests/election/servers.rs an_application_s_client_that_began_on_a_read_only_server_leaves_no_znode",
        ],
    ),
    (
        "the numbers of a directory are used up",
        "the campaign ends and says what to do",
        &[
            "tests/election/queue.rs a_directory_whose_numbers_are_used_up_ends_campaigns",
            "src/types.rs the_last_number_of_a_directory_is_given_out_again_and_again",
            "src/machine/sequential.rs numbers_that_are_given_out_twice_are_no_order",
        ],
    ),
    (
        "foreign znodes in the directory",
        "they are ignored",
        &[
            "tests/election/queue.rs foreign_children_are_ignored",
            "src/machine/naming.rs only_the_prefix_and_ten_digits_are_a_contender",
        ],
    ),
    (
        "a znode with a contender's name does not go by itself",
        "the campaign ends and says which znode to delete",
        &["tests/election/queue.rs a_znode_that_does_not_go_by_itself_ends_the_campaign_behind_it"],
    ),
    (
        "a znode of the own session stands ahead, and nobody answers for it",
        "it is removed",
        &[
            "tests/election/queue.rs a_znode_of_the_own_session_that_nobody_answers_for_is_removed",
            "src/machine/transcripts/forgotten.txt",
        ],
    ),
    (
        "the leader and the next one close at the same moment",
        "both are told that they have left, and nothing is left",
        &[
            "tests/election/withdrawal.rs a_leader_and_the_next_who_close_at_the_same_moment_are_both_closed",
            "tests/election/failover.rs all_of_them_are_terminated_at_once_and_end_well",
        ],
    ),
    (
        "the own znode cannot be deleted because the connection breaks",
        "again and again, until the session is over",
        &["tests/election/lost_reply.rs the_reply_to_a_resignation_is_lost"],
    ),
    (
        "the leader's work fails or panics",
        "leave the lead, pause, join again",
        &[
            "tests/election/hand_over.rs a_task_that_fails_gives_the_lead_to_the_next_and_campaigns_again",
            "tests/election/leader_work.rs a_task_that_panics_gives_the_lead_to_the_next_and_campaigns_again",
        ],
    ),
    (
        "the leader's work goes on after the end",
        "the znode stays until it has ended, or for the grace period",
        &[
            "tests/election/leader_work.rs the_next_one_leads_when_the_work_has_ended",
            "tests/election/leader_work.rs after_the_grace_period_the_znode_goes_all_the_same",
            "tests/election/leader_work.rs closing_leaves_a_session_whose_leader_works_on_to_expire",
        ],
    ),
    (
        "the session's runtime is shut down",
        "everything on the session ends, and nobody else leads while the leader's work goes on",
        &[
            "tests/election/runtime.rs shutting_down_the_session_s_runtime_ends_everything_on_it",
            "tests/election/runtime.rs closing_and_leaving_say_so_when_the_session_s_runtime_was_shut_down",
            "tests/election/runtime.rs a_leader_on_a_client_whose_runtime_is_shut_down_steps_down",
            "tests/election/runtime.rs nobody_leads_while_a_leader_works_on_whose_session_s_runtime_was_shut_down",
            "tests/election/runtime.rs the_application_s_client_stays_as_long_as_a_leader_works_on_whose_session_s_runtime_was_shut_down",
        ],
    ),
    (
        "a contender's task panics",
        "the leadership ends, and the znode is removed",
        &[
            "tests/panics.rs a_contender_whose_task_panics_leaves_no_znode_and_can_campaign_again",
            "tests/panics.rs a_leader_whose_task_panics_steps_down_and_its_znode_stays_until_its_work_has_ended",
            "tests/panics.rs panics_in_a_row_delay_the_removal_and_do_not_prevent_it",
        ],
    ),
    (
        "an application's Connect panics",
        "it is asked again",
        &[
            "tests/panics.rs a_connect_of_the_application_s_that_panics_or_fails_late_is_asked_again_and_the_session_lives_on",
        ],
    ),
    (
        "several handles of one leadership are dropped",
        "there is one: a leadership is not cloned, and an old one that is dropped late ends nothing",
        &["tests/election/hand_over.rs one_election_campaigns_once_at_a_time"],
    ),
];

#[test]
fn each_hazard_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (hazard, _, tests) in HAZARDS {
        assert!(!tests.is_empty(), "{hazard}");
        for test in *tests {
            let (file, name) = test.split_once(' ').unwrap_or((test, ""));
            let text =
                std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            // As a function, or in the list of a macro that makes functions.
            let spellings = [format!("fn {name}("), format!("{name}: "), format!("{name};")];
            let is_there = name.is_empty() || spellings.iter().any(|it| text.contains(it));
            assert!(is_there, "{file} has no {name}, which is to test: {hazard}");
        }
    }
}
