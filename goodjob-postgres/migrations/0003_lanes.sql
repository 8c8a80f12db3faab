-- Ours and not the gem's: each queue and priority is a lane, read from its oldest due row, so that
-- a claim does not walk over another queue's backlog or over future jobs.
CREATE INDEX IF NOT EXISTS index_goodjob_lanes
  ON good_jobs USING btree (queue_name, priority, scheduled_at, id)
  WHERE ((finished_at IS NULL) AND (locked_by_id IS NULL));
