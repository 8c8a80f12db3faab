-- Ends unfinished jobs with an error that says who did it, in the gem's words (wire contract 6). The
-- owner and `performed_at` stay: an attempt that is discarded by force while it runs is still settled. One
-- that vanished with its process is closed, since no claim comes any more that would.
, written AS (
  UPDATE good_jobs g SET finished_at = now(), error = $4::text, error_event = 5, updated_at = now()
  FROM locked l WHERE g.id = l.id
  RETURNING g.id, g.performed_at
), interrupted AS (
  UPDATE good_job_executions x SET
    finished_at = now(), error_event = 0, duration = interval '0',
    error = 'GoodJob::InterruptedError: Interrupted after starting perform at '''
            || to_char(w.performed_at, 'YYYY-MM-DD HH24:MI:SS') || ' UTC'''
  FROM written w
  WHERE x.active_job_id = w.id AND x.finished_at IS NULL AND w.performed_at IS NOT NULL AND NOT $3::boolean
)
