-- Ours and not the gem's: each queue and priority is a lane, read from its oldest due row, so that
-- a claim does not walk over another queue's backlog or over future jobs. The class is there so that jobs of
-- classes that a worker lacks are gone through without their rows being read.
CREATE INDEX IF NOT EXISTS index_goodjob_lanes
  ON good_jobs USING btree (queue_name, priority, scheduled_at, id) INCLUDE (job_class)
  WHERE ((finished_at IS NULL) AND (locked_by_id IS NULL));
