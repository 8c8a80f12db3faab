-- What the gem's migrations have added since v4.0.0, undone (wire contract 16.2): an application that has
-- upgraded the gem and not its schema has these tables.
ALTER TABLE good_jobs DROP COLUMN lock_type;
ALTER TABLE good_job_batches DROP COLUMN jobs_finished_at;

DROP INDEX index_good_jobs_for_candidate_dequeue_unlocked;
DROP INDEX index_good_jobs_jobs_on_finished_at_only;
DROP INDEX index_good_jobs_on_concurrency_key_and_created_at;
DROP INDEX index_good_jobs_on_created_at;
DROP INDEX index_good_jobs_on_discarded;
DROP INDEX index_good_jobs_on_job_class;
DROP INDEX index_good_jobs_on_priority_scheduled_at_unfinished;
DROP INDEX index_good_jobs_on_queue_name;
DROP INDEX index_good_jobs_on_queue_name_priority_scheduled_at_unfinished;
DROP INDEX index_good_jobs_on_scheduled_at_and_queue_name;
DROP INDEX index_good_jobs_on_unfinished_or_errored;

CREATE INDEX index_good_jobs_jobs_on_finished_at
  ON good_jobs USING btree (finished_at) WHERE ((retried_good_job_id IS NULL) AND (finished_at IS NOT NULL));
