-- Each lane, and where a claim of the classes `$3` begins to read it: at its first row that is due and wanted, or
-- where there is none, `$4` seconds ago, since later ones may be about to be committed. A lane that others' jobs
-- fill is gone through here, where the index alone is read, and not by the claim, which reads the rows.
-- A lane that lacks a queue or a priority is read from its first row.
SELECT e.queue_name, e.priority, e.turn,
       CASE WHEN e.queue_name IS NULL OR e.priority IS NULL THEN e.scheduled_at::timestamptz
            ELSE COALESCE(w.scheduled_at::timestamptz, now() - make_interval(secs => $4::float8)) END AS scheduled_at,
       COALESCE(w.id, e.id) AS id
FROM every e LEFT JOIN LATERAL (
  SELECT g.scheduled_at, g.id FROM good_jobs g
  WHERE g.queue_name = e.queue_name AND g.priority = e.priority
    AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.scheduled_at <= now()
    AND (g.scheduled_at, g.id) >= (e.scheduled_at, e.id)
    AND g.job_class = ANY($3::text[])
  ORDER BY g.scheduled_at, g.id LIMIT 1) w ON true;
