-- The indexes that correctness, recovery and clean-up need, by the gem's names, so that its migrations skip
-- what is there. Each further one that holds unfinished jobs is entered anew when a job is claimed, and
-- again when it ends: those that only the gem's workers and dashboard read cost a quarter of the speed of a
-- drain, and all of the gem's more than half (docs/performance.md). `--gem-indexes` adds them.
CREATE UNIQUE INDEX IF NOT EXISTS index_good_jobs_on_cron_key_and_cron_at_cond
  ON good_jobs USING btree (cron_key, cron_at) WHERE (cron_key IS NOT NULL);

CREATE UNIQUE INDEX IF NOT EXISTS index_good_job_settings_on_key
  ON good_job_settings USING btree (key);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_locked_by_id
  ON good_jobs USING btree (locked_by_id) WHERE (locked_by_id IS NOT NULL);

CREATE INDEX IF NOT EXISTS index_good_jobs_jobs_on_finished_at_only
  ON good_jobs USING btree (finished_at) WHERE (finished_at IS NOT NULL);

CREATE INDEX IF NOT EXISTS index_good_job_executions_on_active_job_id_and_created_at
  ON good_job_executions USING btree (active_job_id, created_at);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_batch_id
  ON good_jobs USING btree (batch_id) WHERE (batch_id IS NOT NULL);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_batch_callback_id
  ON good_jobs USING btree (batch_callback_id) WHERE (batch_callback_id IS NOT NULL);

CREATE INDEX IF NOT EXISTS index_good_jobs_on_labels
  ON good_jobs USING gin (labels) WHERE (labels IS NOT NULL);
