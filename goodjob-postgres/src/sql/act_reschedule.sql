-- Moves the time of unfinished jobs: to `$4`, or so many seconds from now.
, written AS (
  UPDATE good_jobs g SET
    scheduled_at = COALESCE($4::timestamptz, now() + make_interval(secs => COALESCE($5::float8, 0))),
    updated_at = now()
  FROM locked l WHERE g.id = l.id
  RETURNING g.id, g.queue_name, g.scheduled_at
)
