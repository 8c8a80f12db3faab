-- Head of a claim with the gem's strategy `advisory`, for any selection of queues: the advisory lock
-- alone excludes, so rows that others own are candidates too, and a dead owner's job is taken as soon
-- as its lock is free. Our own rows are not: a session finds its own locks free.
-- `$10` says how `$4` is meant.
, candidate AS MATERIALIZED (
  SELECT id, ctid AS place, performed_at AS before, locked_by_id IS NULL AS unowned
  FROM good_jobs
  WHERE finished_at IS NULL AND locked_by_id IS DISTINCT FROM $5::uuid AND scheduled_at <= now()
    AND job_class = ANY($1::text[]) AND (performed_at IS NULL OR id <> ALL($9::uuid[]))
    AND CASE WHEN (SELECT something FROM paused)
             THEN (job_class = ANY((SELECT classes FROM paused)::text[])
                   OR queue_name = ANY((SELECT queues FROM paused)::text[])
                   OR labels && (SELECT labels FROM paused)::text[]) IS NOT TRUE
             ELSE true END
    AND CASE $10::text WHEN 'any' THEN true
                      WHEN 'except' THEN queue_name <> ALL($4::text[]) OR queue_name IS NULL
                      ELSE queue_name = ANY($4::text[]) END
    AND current_setting('goodjob.session', true) = $7::text
  ORDER BY CASE WHEN $10::text = 'in_order' THEN array_position($4::text[], queue_name) END,
           priority ASC NULLS LAST,
           scheduled_at, id -- if by_scheduled_at
           -- unless by_scheduled_at: created_at
  LIMIT $2::bigint + $3::bigint
  FOR NO KEY UPDATE SKIP LOCKED
), rest AS (SELECT NULL::text AS exhausted)
