-- The rest of the gem's indexes, for a database that the gem's workers or its dashboard use too. Goodjob's own
-- lock strategy `advisory` and the order `created_at` read them as well.
CREATE INDEX IF NOT EXISTS index_good_job_jobs_for_candidate_lookup
  ON good_jobs USING btree (priority, created_at) WHERE (finished_at IS NULL);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_scheduled_at
  ON good_jobs USING btree (scheduled_at) WHERE (finished_at IS NULL);

CREATE INDEX IF NOT EXISTS index_good_jobs_for_candidate_dequeue_unlocked
  ON good_jobs USING btree (priority, scheduled_at, id) WHERE ((finished_at IS NULL) AND (locked_by_id IS NULL));

CREATE INDEX IF NOT EXISTS index_good_jobs_on_active_job_id_and_created_at
  ON good_jobs USING btree (active_job_id, created_at);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_unfinished_or_errored
  ON good_jobs USING btree (id) WHERE ((finished_at IS NULL) OR (error IS NOT NULL));

CREATE INDEX IF NOT EXISTS index_good_job_executions_on_process_id_and_created_at
  ON good_job_executions USING btree (process_id, created_at);

CREATE INDEX IF NOT EXISTS index_good_jobs_jobs_on_priority_created_at_when_unfinished
  ON good_jobs USING btree (priority DESC NULLS LAST, created_at) WHERE (finished_at IS NULL);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_created_at
  ON good_jobs USING btree (created_at);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_cron_key_and_created_at_cond
  ON good_jobs USING btree (cron_key, created_at) WHERE (cron_key IS NOT NULL);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_discarded
  ON good_jobs USING btree (finished_at DESC) WHERE ((finished_at IS NOT NULL) AND (error IS NOT NULL));

CREATE INDEX IF NOT EXISTS index_good_jobs_on_job_class
  ON good_jobs USING btree (job_class);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_priority_scheduled_at_unfinished
  ON good_jobs USING btree (priority, scheduled_at, id) WHERE (finished_at IS NULL);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_priority_scheduled_at_unfinished_unlocked
  ON good_jobs USING btree (priority, scheduled_at) WHERE ((finished_at IS NULL) AND (locked_by_id IS NULL));

CREATE INDEX IF NOT EXISTS index_good_jobs_on_queue_name
  ON good_jobs USING btree (queue_name);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_queue_name_and_scheduled_at
  ON good_jobs USING btree (queue_name, scheduled_at) WHERE (finished_at IS NULL);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_queue_name_priority_scheduled_at_unfinished
  ON good_jobs USING btree (queue_name, scheduled_at, id) WHERE (finished_at IS NULL);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_scheduled_at_and_queue_name
  ON good_jobs USING btree (scheduled_at, queue_name);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_concurrency_key_when_unfinished
  ON good_jobs USING btree (concurrency_key) WHERE (finished_at IS NULL);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_concurrency_key_and_created_at
  ON good_jobs USING btree (concurrency_key, created_at);
