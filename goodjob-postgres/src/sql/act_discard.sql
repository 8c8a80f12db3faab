-- Ends unfinished jobs with an error that says who did it, in the gem's words (wire contract 6). The
-- owner and `performed_at` stay: an attempt that is discarded by force while it runs is still settled.
, written AS (
  UPDATE good_jobs g SET finished_at = now(), error = $4::text, error_event = 5, updated_at = now()
  FROM locked l WHERE g.id = l.id
  RETURNING g.id
)
