-- Ours, too: what failed is found by it, and a job that succeeds is never entered in it.
CREATE INDEX IF NOT EXISTS index_goodjob_errored
  ON good_jobs USING btree (id) WHERE (error IS NOT NULL);
