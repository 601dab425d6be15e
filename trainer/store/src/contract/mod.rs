//! The tests that every implementation of a store must pass.
//!
//! `lapwing_store::contract_tests!(MyStore)` in a module of tests makes one test of each.

pub mod age;
pub mod agents;
pub mod assignments;
pub mod audit;
pub mod campaign_facts;
pub mod campaigns;
pub mod copies;
pub mod episodes;
pub mod floods;
pub mod groups;
pub mod hosts;
pub mod identities;
pub mod incidents;
pub mod renewals;
pub mod jobs;
pub mod messages;
pub mod people;
pub mod releases;
pub mod rollouts;
pub mod roots;
pub mod segment_limits;
pub mod segments;

use crate::testing::Folder;
use crate::{Limits, Store, StoreHandle, StoreUrl};

/// An empty store for one test.
pub trait TestStore {
    /// Several writers may have it open.
    const SEVERAL_WRITERS: bool;

    /// False if it cannot be tested here, which is then listed as skipped.
    fn is_available() -> bool {
        true
    }

    /// A store that does not exist yet, or is empty.
    fn new() -> Self;

    /// Where it is.
    fn url(&self) -> StoreUrl;

    /// Runs a statement of SQL past the store, as someone with access to the database could.
    fn execute(&self, text: &str);

    /// Opens a writer.
    #[expect(clippy::unwrap_used, reason = "a test fails if its store cannot be opened")]
    fn open(&self, limits: Limits) -> Store {
        Store::open(self.url(), limits).unwrap()
    }

    /// Opens a handle.
    #[expect(clippy::unwrap_used, reason = "a test fails if its store cannot be opened")]
    fn handle(&self) -> StoreHandle {
        StoreHandle::open(self.url()).unwrap()
    }
}

/// An SQLite file in a temporary folder.
impl TestStore for Folder {
    const SEVERAL_WRITERS: bool = false;

    fn new() -> Self {
        Self::new()
    }

    fn url(&self) -> StoreUrl {
        self.store().into()
    }

    #[expect(clippy::unwrap_used, reason = "a test fails if its statement does")]
    fn execute(&self, text: &str) {
        rusqlite::Connection::open(self.store()).unwrap().execute_batch(text).unwrap();
    }
}

/// One `#[test]` for each test of the contract, with an implementation of [`TestStore`].
#[macro_export]
macro_rules! contract_tests {
    ($store:ty) => {
        $crate::contract_tests! { $store;
            messages::a_message_is_stored_once_even_after_a_restart,
            messages::a_second_writer_is_refused_or_takes_no_message_of_the_first,
            messages::batches_are_paged_in_order_of_arrival_and_other_schemas_counted,
            messages::progress_survives_a_restart_with_its_gaps,
            messages::the_least_recently_used_run_is_forgotten_beyond_the_limit,
            messages::the_oldest_samples_are_dropped_and_counted_beyond_the_limit,
            messages::sample_bytes_alerts_updates_and_agents_are_limited,
            messages::rows_of_an_episode_are_kept_out_until_an_operator_calls_it_benign,
            messages::marked_rows_without_an_alert_are_returned_as_suspect,
            messages::a_row_in_two_episodes_needs_both_labelled_benign,
            messages::rows_of_another_schema_are_excluded_and_counted,
            age::old_alerts_and_update_reports_are_deleted_with_their_labels,
            age::old_rows_leave_the_segments,
            agents::agents_with_problems_come_first_on_pages_that_continue,
            agents::a_page_continues_although_agents_change_their_state_or_are_removed,
            agents::a_last_will_changes_nothing_but_that_the_agent_has_gone,
            agents::numbers_of_agents_follow_their_messages,
            episodes::labelling_a_missing_episode_names_the_list_command,
            episodes::the_alert_list_shows_the_newest_message_of_each_episode,
            episodes::late_messages_leave_the_newest_state,
            episodes::pages_are_filtered_and_continue,
            episodes::a_label_of_a_later_operator_replaces_the_earlier,
            episodes::the_queue_of_the_classifier_empties_and_fills_with_messages_and_rows,
            episodes::counts_of_open_episodes_and_days_follow_the_messages,
            jobs::waiting_jobs_finish_together,
            jobs::waiting_jobs_are_limited,
            jobs::a_job_is_claimed_by_one_server_only,
            jobs::a_job_is_for_one_group_or_for_each,
            groups::an_agent_is_in_the_group_that_it_reports_unless_an_operator_assigns_another,
            groups::rows_are_counted_for_the_group_in_which_their_agent_was,
            groups::training_rows_of_a_group_are_those_of_its_agents,
            hosts::pseudonyms_are_stored_with_their_key_and_shown_as_such,
            hosts::forgetting_a_host_removes_its_episodes_and_its_address_from_other_alerts,
            hosts::forgetting_is_limited_to_a_group_and_to_the_form_of_the_address,
            identities::a_token_is_used_once_for_each_key,
            identities::an_operator_accepts_revokes_and_renames_what_a_list_showed,
            identities::a_token_replaces_the_key_of_its_name,
            identities::a_reader_finds_every_change_of_an_identity_by_its_revision,
            identities::rows_of_a_revoked_agent_do_not_train_and_its_episodes_stay,
            identities::a_secret_of_seals_is_stored_once_and_the_previous_one_is_kept,
            identities::tokens_end_and_are_forgotten,
            identities::agents_show_that_their_identity_was_revoked,
            identities::identities_are_counted_by_state_and_by_the_ends_of_their_certificates,
            renewals::a_request_gets_one_response_which_one_process_takes,
            renewals::only_accepted_identities_may_ask,
            renewals::a_certificate_is_issued_after_half_of_the_life_of_the_last_one,
            releases::releases_are_listed_newest_first_for_each_group,
            releases::a_held_release_is_decided_once,
            releases::counters_add_up_and_are_replaced,
            releases::a_release_that_is_added_again_after_an_error_changes_nothing,
            rollouts::a_rollout_without_campaign_follows_the_newest_one_of_its_group,
            rollouts::an_open_campaign_alone_makes_the_rollouts_of_its_group,
            people::the_first_person_comes_by_a_link_that_works_once,
            people::people_are_added_changed_and_removed_but_not_the_last_administrator,
            people::a_session_ends_by_time_password_role_reset_and_removal,
            people::a_session_begins_only_with_the_password_that_was_verified,
            people::the_session_that_was_used_least_recently_ends_beyond_the_limit,
            people::a_restored_store_has_no_sessions_and_no_links,
            people::a_token_has_the_lower_role_and_ends,
            people::people_and_tokens_are_limited,
            people::every_change_of_people_is_recorded,
            roots::a_root_document_follows_the_newest_one_and_none_is_lost,
            roots::a_root_document_of_other_root_keys_replaces_all_others,
            campaigns::a_campaign_is_stored_with_its_rollouts_and_every_transition_is_recorded,
            campaigns::a_change_of_an_older_revision_of_a_campaign_stores_nothing,
            campaigns::a_group_has_one_open_campaign_and_a_later_one_supersedes_it_at_once,
            campaigns::campaigns_are_listed_newest_first_by_group_version_and_page,
            campaigns::a_campaign_made_from_an_older_rollout_is_not_added,
            campaigns::results_of_gates_get_a_row_when_the_verdict_changes_and_every_hour,
            campaigns::a_damaged_campaign_is_an_error_that_names_it,
            campaigns::the_oldest_rollouts_results_transitions_and_campaigns_are_deleted_beyond_their_limits,
            campaign_facts::the_newest_step_of_each_agent_about_a_version_is_read,
            campaign_facts::alert_episodes_are_counted_by_agent_and_hour_of_their_start,
            campaign_facts::a_new_version_keeps_what_the_one_before_it_cost,
            campaign_facts::agents_that_report_a_group_are_read_with_what_a_campaign_needs,
            campaign_facts::the_highest_version_is_that_of_the_store_or_of_an_agent,
            assignments::an_assignment_follows_all_before_it_and_readers_find_what_changed,
            assignments::an_agent_that_is_set_aside_keeps_its_own_assignment,
            incidents::new_and_changed_episodes_wait_for_the_joiner,
            incidents::a_join_is_stored_with_its_sentence_and_read_on_every_page,
            incidents::an_episode_joins_one_incident_whoever_is_first,
            incidents::an_incident_is_quiet_after_a_day_wakes_and_returns_after_a_week,
            incidents::people_see_assign_note_resolve_and_reopen_incidents,
            incidents::merges_and_splits_by_people_stay,
            incidents::deleted_episodes_leave_their_incident_and_the_last_one_deletes_it,
            incidents::the_joiner_knows_when_an_agent_switched_and_which_peers_people_called_benign,
            audit::every_action_is_recorded_with_who_did_it,
            audit::an_action_that_fails_is_not_recorded_and_one_that_cannot_be_recorded_fails,
            audit::pages_continue_and_begin_at_a_time,
            audit::entries_are_selected_by_person_and_action,
            audit::actions_at_the_same_time_make_one_chain,
            audit::changed_and_removed_entries_are_found,
            audit::the_oldest_entries_are_deleted_beyond_the_limit,
            audit::changed_limits_are_recorded_once,
            floods::a_flood_of_one_agent_displaces_its_own_messages_only,
            floods::labelled_episodes_outlive_newer_unlabelled_ones,
            floods::a_forged_message_with_a_huge_number_suppresses_no_later_alert,
            floods::an_alert_whose_number_a_forged_message_took_is_stored_and_counted,
            floods::made_up_names_lock_real_agents_out_for_minutes_only,
            floods::a_forgotten_agent_is_removed_while_the_writer_runs_and_may_return,
            floods::batches_without_rows_and_many_schemas_are_rejected_but_acknowledged,
            floods::every_store_has_its_own_id,
            segments::rows_classes_and_counts_are_the_same_before_and_after_compaction,
            segments::a_filter_selects_the_same_rows_before_and_after_compaction,
            segments::rows_that_move_while_they_are_read_are_read_once,
            segments::an_interruption_after_any_step_loses_and_doubles_nothing,
            segments::batches_that_were_removed_meanwhile_are_in_no_segment,
            segments::positions_increase_when_the_journal_is_empty,
            segments::small_segments_of_earlier_days_are_merged_and_their_files_deleted_later,
            segments::a_segment_is_not_written_again_within_the_hour_after_it_was_made,
            segments::rows_of_segments_that_are_replaced_while_they_are_read_are_read_once,
            segments::batches_of_other_schemas_stay_in_the_journal,
            segments::a_place_that_fails_leaves_the_journal_as_it_is,
            segment_limits::a_flood_displaces_its_own_rows_in_segments_only,
            segment_limits::limits_count_rows_of_segments_after_a_restart,
            segment_limits::rows_of_a_forgotten_agent_leave_the_segments,
            segment_limits::a_dropped_segment_counts_its_rows,
            segment_limits::the_place_of_the_segments_is_remembered,
            copies::a_copy_and_a_copy_of_it_have_the_same_pages_labels_and_training_rows,
            copies::a_copy_that_is_stopped_after_any_step_continues_without_doubling,
            copies::a_store_that_was_used_between_two_runs_is_not_copied_silently,
            copies::stores_in_use_and_targets_with_data_are_refused,
            copies::a_lost_segment_stops_a_copy_before_its_rows_are_listed,
        }
    };
    ($store:ty; $($group:ident :: $name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                if <$store as $crate::contract::TestStore>::is_available() {
                    $crate::contract::$group::$name::<$store>();
                }
            }
        )*
    };
}

#[cfg(test)]
mod sqlite {
    contract_tests!(crate::testing::Folder);
}

#[cfg(all(test, feature = "postgres"))]
mod postgres {
    contract_tests!(crate::testing::postgres::Database);
}
