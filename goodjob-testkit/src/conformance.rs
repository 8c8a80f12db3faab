//! What every [`Store`] has to do, as tests: for Postgres, for memory, and for your own backend.
//!
//! Implement [`Subject`], write a factory that makes a fresh one, and name it to
//! [`conformance_tests!`](crate::conformance_tests). Each case becomes a test of its own with data of
//! its own. Your crate needs `tokio` with the features `macros` and `rt-multi-thread`.
//!
//! ```
//! use std::sync::Arc;
//! use async_trait::async_trait;
//! use goodjob_core::{Clock, JobRecord, MemoryStore, ProcessRecord};
//! use goodjob_testkit::conformance::Subject;
//!
//! struct Memory(MemoryStore);
//!
//! #[async_trait]
//! impl Subject for Memory {
//!     type Store = MemoryStore;
//!
//!     async fn another(&self) -> Arc<MemoryStore> {
//!         Arc::new(self.0.another())
//!     }
//!
//!     async fn plant(&self, row: JobRecord) {
//!         self.0.plant(row);
//!     }
//!
//!     async fn kill(&self, store: Arc<MemoryStore>, _process: ProcessRecord) {
//!         store.vanish();
//!     }
//! }
//!
//! async fn memory() -> Memory {
//!     Memory(MemoryStore::new(Clock::system()))
//! }
//!
//! goodjob_testkit::conformance_tests!(memory);
//! # fn main() {}
//! ```
//!
//! Time is the store's own: a case that has to wait does so for real, about a second, and compares
//! times with a tolerance of one.

pub mod claim;
pub mod clean_up;
pub mod insert;
pub mod notice;
pub mod process;
pub mod settle;
mod trial;
pub mod upcoming;

pub use trial::{Member, Trial};

use std::sync::Arc;

use async_trait::async_trait;
use goodjob_core::{Inspect, JobRecord, Notifier, ProcessRecord, Store};

/// A backend under test. Each value stands for one fresh, empty set of tables, and is asked for the
/// views that several processes have of it.
#[async_trait]
pub trait Subject: Send + Sync + 'static {
    /// The store, which here has to notify and to be inspected too.
    type Store: Store + Inspect + Notifier;

    /// A new process's view of the data, before its first beat.
    async fn another(&self) -> Arc<Self::Store>;

    /// Stores a row as another client of the same tables may have written it, with NULLs and unknown
    /// keys, past every check.
    async fn plant(&self, row: JobRecord);

    /// Ends the process behind `store` as SIGKILL would: its sessions are gone, it has not left. The
    /// suite does not use `store` again. Within [`PATIENCE`](Trial::PATIENCE) the beats of others
    /// have to free its jobs, so shorten what your backend waits before it takes a process for dead.
    async fn kill(&self, store: Arc<Self::Store>, process: ProcessRecord);

    /// Called when a case has passed and all its processes have left: the place to assert that
    /// nothing remains, such as locks, open transactions or rows of processes.
    async fn finish(&self) {}
}

/// Runs one case against a fresh subject; what [`conformance_tests!`](crate::conformance_tests)
/// calls.
pub async fn run<S: Subject>(subject: S, case: impl AsyncFnOnce(&Trial<S>)) {
    let trial = Trial::new(subject);
    case(&trial).await;
    trial.finish().await;
}

/// Makes a test of each conformance case. Takes the path of an async function that returns a fresh
/// [`Subject`](crate::conformance::Subject).
#[macro_export]
macro_rules! conformance_tests {
    ($factory:path) => {
        $crate::conformance_tests! { @cases $factory;
            insert {
                every_field_is_kept
                what_is_not_given_gets_its_default
                a_wait_is_counted_by_the_stores_clock
                answers_to_an_insert_come_in_the_order_asked
                the_same_id_stores_one_job
                an_id_twice_in_one_insert_stores_one_job
                ties_are_kept_and_claimed
                a_tick_is_stored_once
                an_insert_stores_all_or_none
                an_insert_that_is_dropped_stores_all_or_none
                a_mebibyte_of_arguments_is_kept
                any_text_is_kept
            }
            claim {
                nothing_is_claimed_before_the_first_beat
                a_claim_starts_an_attempt
                certain_jobs_are_claimed_if_they_are_due_free_and_wanted
                smaller_priorities_then_earlier_times_then_smaller_ids_come_first
                a_job_without_a_priority_comes_last
                the_selector_all_takes_every_queue
                the_selector_only_takes_the_named_queues
                the_selector_except_leaves_the_named_queues
                the_selector_in_order_takes_the_first_queue_first
                a_queue_name_is_text_and_no_pattern
                jobs_of_unknown_classes_are_left_alone
                never_more_jobs_are_claimed_than_asked_for
                no_job_is_claimed_early
                a_job_without_a_due_time_is_never_claimed
                a_finished_job_is_never_claimed
                a_claimed_job_is_not_claimed_again
                processes_that_claim_at_once_share_no_job
                a_claim_that_is_dropped_loses_no_job
                an_envelope_is_read_as_it_was_written
            }
            settle {
                a_success_ends_the_job
                a_retry_makes_the_job_due_later
                a_snooze_is_no_failure
                a_put_back_job_is_claimable_at_once
                a_discard_ends_the_job_with_its_error
                a_repeated_settle_writes_nothing_twice
                a_released_attempt_is_fenced
                an_attempt_that_was_taken_over_is_fenced
                answers_to_a_settle_come_in_the_order_asked
                a_release_leaves_no_trace
                a_repeated_release_takes_nothing_back_from_others
                any_error_text_can_be_written
                nothing_at_all_can_be_settled_and_released
                a_job_that_is_not_kept_goes_with_its_attempts
                a_job_that_will_run_again_is_kept_anyway
                a_deletion_is_fenced_like_any_outcome
            }
            clean_up {
                old_jobs_go_with_their_attempts
                what_is_young_or_unfinished_stays
                discarded_jobs_stay_when_they_are_to_be_kept
                the_oldest_go_first_and_no_more_than_asked_for
                processes_that_clean_up_at_once_share_the_jobs
                an_age_beyond_every_calendar_deletes_nothing
            }
            upcoming {
                due_times_come_soonest_first_and_limited
                due_times_are_those_of_the_wanted_jobs
                only_waiting_jobs_of_the_future_are_upcoming
            }
            process {
                a_beat_tells_the_stores_time
                locks_are_confirmed_at_rest
                a_living_process_keeps_its_jobs
                the_job_of_a_dead_process_runs_again_as_interrupted
                interruptions_in_a_row_are_counted
                a_put_back_job_was_not_interrupted
                an_outcome_ends_the_row_of_interruptions
                an_outcome_that_quotes_an_interruption_is_none
                a_process_that_leaves_frees_its_jobs
            }
            notice {
                listening_begins_with_a_resync
                an_insert_is_heard
                a_future_job_is_heard_with_its_time
                a_quiet_insert_is_not_heard
                a_job_that_comes_back_is_heard
                listening_ends_when_told
            }
        }
    };
    (@cases $factory:path; $($topic:ident { $($case:ident)+ })+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::run($factory().await, $crate::conformance::$topic::$case).await;
            }
        )+)+
    };
}
