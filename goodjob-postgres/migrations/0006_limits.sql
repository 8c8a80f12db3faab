-- What limits by key count: jobs that run, jobs that wait in the order of their turns, and jobs of the last
-- while. A job without a key is in none of them. Without them a limit reads all unfinished jobs of its key.
-- The last one asks for more than a key, so that statements about what runs or waits cannot be planned by it: a
-- plan that is made while the tables are empty takes any that fits, and it has the finished jobs too.
CREATE INDEX IF NOT EXISTS index_goodjob_keys_running
  ON good_jobs USING btree (concurrency_key)
  WHERE ((concurrency_key IS NOT NULL) AND (finished_at IS NULL) AND (performed_at IS NOT NULL));

CREATE INDEX IF NOT EXISTS index_goodjob_keys_waiting
  ON good_jobs USING btree (concurrency_key, priority, created_at, id)
  WHERE ((concurrency_key IS NOT NULL) AND (finished_at IS NULL) AND (performed_at IS NULL));

CREATE INDEX IF NOT EXISTS index_goodjob_keys
  ON good_jobs USING btree (concurrency_key, updated_at)
  WHERE (concurrency_key <> '');
