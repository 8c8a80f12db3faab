-- The batches that are not finished, for the sweep that looks for those whose continuation was lost: few rows
-- of a table that keeps finished ones for two weeks, written when a batch begins and ends.
CREATE INDEX IF NOT EXISTS index_goodjob_open_batches
  ON good_job_batches USING btree (id) WHERE (finished_at IS NULL);
