//! What clients were promised of objects: lines whose tests stand with their nouns.

use super::checklist::lines;

lines! {
    c12_env_types_01_no_organisation_is_a_conflict = doors::creating_in_an_organisation_that_is_not_there_is_a_conflict;
    c12_env_types_02_the_display_name_is_the_id = projects::an_environment_type_is_named_after_its_id_and_keeps_its_times;
    c12_env_types_04_the_same_again_is_a_conflict = projects::an_environment_type_that_is_there_or_not_is_told_in_the_words_of_v1;
    c12_env_types_06_pages_of_one = projects::pages_hold_what_was_asked_and_the_last_has_no_token;
    c12_env_types_08_one_in_use_stays = projects::an_environment_type_in_use_stays_and_names_the_user;
    c12_projects_02_the_display_name_is_the_id = projects::a_project_is_made_changed_and_listed_as_the_same_object;
    c12_projects_05_the_same_again_is_a_conflict = projects::project_mistakes_are_told_in_the_words_of_v1;
    c12_projects_09_an_id_is_used_again = projects::a_project_with_environments_stays_and_a_deleted_id_can_be_used_again;
    c12_envs_02_mistakes_are_told = environments::environment_mistakes_are_told_in_the_words_of_v1;
    c12_envs_06_a_new_one_is_active = environments::a_new_environment_is_active_and_has_no_runner;
    c12_envs_07_the_display_name_changes = environments::only_the_display_name_of_an_environment_changes;
    c12_envs_09_the_runner_is_found = environments::refreshing_takes_the_runner_of_the_most_specific_rule_and_a_dry_run_keeps_nothing;
    c12_envs_12_lists_by_type = environments::environments_are_filtered_by_their_types;
    c12_envs_13_the_same_id_elsewhere = environments::the_same_id_in_another_project_is_another_environment;
    c12_envs_16_deletion_is_begun_and_done = deployments::an_environment_that_was_never_deployed_to_goes_at_once;
    c12_envs_18_rules_stay_or_go = deployments::rules_of_a_removed_environment_stay_unless_their_removal_is_asked_for;
    c12_resource_types_02_mistakes_are_told = catalogue::resource_type_mistakes_are_told_in_the_words_of_v1;
    c12_resource_types_08_a_change_keeps_the_schema = catalogue::a_resource_type_is_made_changed_and_removed;
    c12_providers_02_mistakes_are_told = catalogue::provider_mistakes_are_told_in_the_words_of_v1;
    c12_providers_04_everything_comes_back = catalogue::a_provider_echoes_all_it_was_given_and_lists_shorten_it;
    c12_providers_08_pages_in_byte_order = catalogue::providers_are_listed_in_byte_order_over_pages;
    c12_modules_01_unknown_types_are_listed = catalogue::types_and_providers_that_a_module_names_must_exist;
    c12_modules_04_maps_are_never_null = catalogue::a_module_is_answered_with_maps_and_lists_even_where_none_were_given;
    c12_modules_06_what_is_used_stays = catalogue::what_a_current_version_uses_stays;
    c12_modules_11_versions_newest_first = catalogue::a_change_makes_a_version_and_an_empty_one_does_not;
    c12_modules_13_dependencies_come_back = catalogue::dependencies_and_coprovisioned_resources_come_back_as_given;
    c12_modules_14_inline_code_to_the_byte = catalogue::inline_code_is_echoed_to_the_byte;
    c12_modules_15_one_key_twice = catalogue::module_field_mistakes_are_told_in_the_words_of_v1;
    c12_module_rules_02_the_smallest = catalogue::a_module_rule_takes_its_type_from_the_module_and_leaves_out_what_is_not_set;
    c12_catalogue_05_what_an_environment_offers = environments::an_environment_offers_the_winners_among_its_rules;
    c12_runners_01_one_of_googles = runners::a_gke_runner_says_that_its_address_is_public_unless_told_otherwise;
    c12_runners_05_secrets_are_masked = runners::credentials_are_masked_in_every_answer_and_not_readable_in_the_database;
    c12_runners_07_a_rule_with_empty_texts = runners::a_runner_rule_has_empty_texts_where_nothing_is_set;
    c12_runners_10_lists_of_rules = runners::runner_rules_are_listed_by_what_applies_and_by_exact_runner;
    c12_runners_13_an_agents_mistakes = runners::an_agent_runner_needs_an_ed25519_key_and_no_cluster;
}
