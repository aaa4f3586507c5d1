//! What runners of this kind were found to get wrong, or never to have tried, and the tests that show how it goes here.
//!
//! A test that is renamed or removed has to be replaced in this list.

use std::path::Path;

/// Something that goes wrong, and where it is shown.
struct Scenario {
    what: &'static str,
    /// File and function.
    shown: &'static [(&'static str, &'static str)],
    /// What of it is not, and why.
    not: &'static str,
}

const SCENARIOS: [Scenario; 14] = [
    Scenario {
        what: "cancelled during a slow apply: the state is saved, the lock free, the log there, and the next run does the rest only",
        shown: &[
            (
                "tests/it/cancel.rs",
                "what_runs_is_stopped_with_its_state_saved",
            ),
            (
                "tests/it/inside/engines.rs",
                "an_interrupted_apply_saves_what_it_made",
            ),
            (
                "tests/it/agents/mod.rs",
                "a_run_is_cancelled_through_its_agent",
            ),
            (
                "tests/it/kubernetes/trouble.rs",
                "what_runs_is_cancelled_with_its_state_saved",
            ),
        ],
        not: "",
    },
    Scenario {
        what: "a provider that ignores the request to stop: force after the grace period, said so, the lock let go of",
        shown: &[
            (
                "tests/it/weather/stubborn.rs",
                "a_provider_that_ignores_interrupts_ends_at_the_deadline",
            ),
            (
                "tests/it/weather/stubborn.rs",
                "an_engine_that_ignores_every_interrupt_is_killed_with_all_it_started",
            ),
            (
                "tests/it/inside/scripted.rs",
                "an_engine_that_ignores_everything_is_killed_at_last",
            ),
            (
                "src/deploy/tests/hosted.rs",
                "what_an_attempt_was_given_ends_with_it_and_so_does_its_lock",
            ),
        ],
        not: "",
    },
    Scenario {
        what: "the container killed, the engine or process 1 out of memory, the daemon or the server started again in the middle",
        shown: &[
            ("tests/it/kills/matrix.rs", "killed_while_applying"),
            (
                "tests/it/weather/daemon.rs",
                "a_memory_limit_that_is_hit_is_said_with_the_limit_and_a_kill_is_none",
            ),
            (
                "tests/it/kubernetes/trouble.rs",
                "a_memory_limit_that_is_hit_is_named_with_the_limit",
            ),
            (
                "src/runner/work/end.rs",
                "a_begun_run_without_a_result_is_lost_killed_or_out_of_memory",
            ),
            (
                "tests/it/weather/daemon.rs",
                "a_daemon_that_is_restarted_while_a_run_applies_ends_it_once",
            ),
            ("tests/it/kills/served.rs", "the_server_is_killed"),
            (
                "tests/it/fleet/mod.rs",
                "random_kills_of_a_fleet_lose_nothing",
            ),
        ],
        not: "process 1 itself out of memory is shown by what Docker says of such a container, not by filling its memory",
    },
    Scenario {
        what: "whoever takes the result is away for long after the apply: it comes later, and the status changes once",
        shown: &[
            (
                "tests/it/agents/mod.rs",
                "what_a_run_says_while_the_server_is_away_is_told_later",
            ),
            (
                "tests/it/agents/mod.rs",
                "a_killed_agent_adopts_what_it_carried_and_a_server_that_is_away_loses_nothing",
            ),
            ("tests/it/kills/served.rs", "the_database_is_killed"),
            (
                "tests/it/server/several.rs",
                "a_database_that_goes_away_refuses_requests_and_loses_nothing",
            ),
        ],
        not: "ten minutes of it only by WINDLASS_TEST_OUTAGE_SECONDS=600",
    },
    Scenario {
        what: "a request twice, a result twice, a result after a cancel, a result from somebody else",
        shown: &[
            (
                "src/deploy/tests/queue.rs",
                "the_same_key_makes_one_deployment_and_another_request_with_it_is_refused",
            ),
            (
                "tests/it/server/extensions.rs",
                "many_requests_with_one_key_at_once_are_one_deployment",
            ),
            (
                "src/deploy/tests/agents.rs",
                "one_whose_place_another_has_writes_nothing_and_a_late_word_of_the_current_one_counts",
            ),
            (
                "src/deploy/tests/queue.rs",
                "a_late_result_of_the_current_attempt_counts_and_one_of_an_older_does_not",
            ),
            (
                "src/runner/work/end.rs",
                "its_own_word_counts_whatever_the_exit_code",
            ),
            (
                "src/deploy/tests/servers.rs",
                "a_run_that_was_started_is_nobody_elses_and_its_end_is_recorded_once",
            ),
            (
                "tests/it/agents/mod.rs",
                "the_second_of_two_copies_is_refused_and_one_that_was_taken_for_dead_writes_nothing",
            ),
            (
                "tests/it/agents/mod.rs",
                "tokens_and_keys_that_are_spent_over_or_taken_away_are_refused",
            ),
        ],
        not: "",
    },
    Scenario {
        what: "a value of 1 MB, a diagnostic of 200 KB, a log of 100 MB, bytes that are no text, colours, traces",
        shown: &[
            (
                "tests/it/inside/scripted.rs",
                "a_megabyte_on_one_line_and_bytes_that_are_not_text_come_through",
            ),
            (
                "tests/it/inside/scripted.rs",
                "a_long_diagnostic_and_colours_come_through_and_leave_the_clear_part_short",
            ),
            (
                "tests/it/fire.rs",
                "a_line_of_100_mb_and_bytes_that_are_no_text_are_kept",
            ),
            (
                "tests/it/fire.rs",
                "a_real_engine_prints_a_long_line_and_gives_back_a_megabyte",
            ),
            (
                "tests/it/fire.rs",
                "a_long_log_is_kept_whole_and_nobody_holds_it_in_memory",
            ),
        ],
        not: "",
    },
    Scenario {
        what: "providers: several runs that begin with nothing, no room for them, one that was changed",
        shown: &[
            (
                "tests/it/mirror/mod.rs",
                "a_killed_command_leaves_the_mirror_as_it_was_and_several_may_add_at_once",
            ),
            (
                "tests/it/weather/disk.rs",
                "a_full_disk_is_named_by_every_command_and_nothing_is_lost",
            ),
            (
                "tests/it/inside/prepared.rs",
                "a_changed_provider_is_refused_where_it_is_hashed",
            ),
            (
                "src/runner/mirror.rs",
                "a_package_is_hashed_once_until_it_changes_the_machine_starts_or_a_day_is_over",
            ),
        ],
        not: "runs share no cache that they write to: providers come from the mirror, which no run changes",
    },
    Scenario {
        what: "no network at all: init works from the mirror; a registry that is away is told by its class",
        shown: &[
            (
                "tests/it/inside/engines.rs",
                "providers_come_from_the_mirror_alone",
            ),
            (
                "tests/it/mirror/mod.rs",
                "a_mirror_that_was_filled_is_all_that_runs_need",
            ),
            ("tests/it/kit.rs", "a_kit_is_all_that_a_bare_machine_needs"),
            (
                "tests/it/mirror/mod.rs",
                "whatever_a_registry_does_wrong_is_named_and_leaves_nothing",
            ),
        ],
        not: "",
    },
    Scenario {
        what: "whoever keeps the state fails while it is written, for a while or for good",
        shown: &[
            (
                "tests/it/hosted/faults.rs",
                "faults_of_the_server_while_a_state_is_written_are_sat_out",
            ),
            (
                "tests/it/hosted/faults.rs",
                "a_state_that_the_engine_could_not_write_is_written_afterwards",
            ),
            (
                "tests/it/hosted/faults.rs",
                "a_state_that_cannot_be_written_is_kept_encrypted_with_its_lock",
            ),
            (
                "tests/it/inside/scripted.rs",
                "a_state_that_could_not_be_written_is_kept",
            ),
        ],
        not: "",
    },
    Scenario {
        what: "a bundle whose paths lead elsewhere, that is too large, or whose digest is another",
        shown: &[
            ("src/runner/inside/intake.rs", "hostile_paths_are_refused"),
            ("src/runner/inside/intake.rs", "a_changed_bundle_is_refused"),
            (
                "tests/it/inside/scripted.rs",
                "a_changed_bundle_is_refused_with_its_class",
            ),
        ],
        not: "",
    },
    Scenario {
        what: "a module leaves processes behind: none lives on",
        shown: &[(
            "tests/it/inside/scripted.rs",
            "what_a_module_leaves_running_is_ended",
        )],
        not: "",
    },
    Scenario {
        what: "the state changes between a plan and its apply: told by its class, and nothing is applied",
        shown: &[(
            "tests/it/inside/scripted.rs",
            "a_plan_that_the_state_has_outgrown_is_said_to_be_stale",
        )],
        not: "no plan waits for anybody's approval: it is made for its apply and within the same run",
    },
    Scenario {
        what: "a destroy that fails half-way, that has nothing to destroy, or that follows upon a killed run",
        shown: &[
            (
                "src/deploy/tests/deletion.rs",
                "a_failed_destroy_is_told_and_can_be_tried_again",
            ),
            (
                "src/deploy/tests/deletion.rs",
                "an_environment_that_was_never_deployed_to_goes_at_once",
            ),
            (
                "tests/it/contract/e20/lived.rs",
                "e20_i17_a_destroy_that_fails_is_told_and_force_goes_on",
            ),
            (
                "tests/it/inside/scripted.rs",
                "a_destroy_is_believed_only_when_the_state_is_empty",
            ),
            (
                "tests/it/fleet/mod.rs",
                "random_kills_of_a_fleet_lose_nothing",
            ),
        ],
        not: "",
    },
    Scenario {
        what: "a missing image, a registry that wants another login, an unknown runner, an agent that is away: each is named",
        shown: &[
            (
                "tests/it/bad_input.rs",
                "an_image_that_is_not_there_is_named",
            ),
            (
                "tests/it/bad_input.rs",
                "a_registry_that_wants_another_login_is_named",
            ),
            (
                "tests/it/bad_input.rs",
                "names_that_nobody_offers_are_answered_with_those_that_are",
            ),
            (
                "tests/it/agents/mod.rs",
                "a_deployment_without_an_agent_waits_as_long_as_is_said_and_fails_with_a_name",
            ),
            (
                "tests/it/kubernetes/trouble.rs",
                "what_holds_a_pod_up_is_named_while_it_is_waited_for_and_at_the_end",
            ),
        ],
        not: "",
    },
];

#[test]
fn every_scenario_is_shown_by_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for scenario in SCENARIOS {
        let what = scenario.what;
        assert!(!scenario.shown.is_empty(), "{what}: {}", scenario.not);
        for (file, name) in scenario.shown {
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            let begins = format!("fn {name}(");
            assert!(text.contains(&begins), "{what}: {file} has no {name}");
        }
    }
}
