-- Head of a claim, for every queue but the listed ones, and for rows without a queue. See claim_candidates_any.sql for its shape.
, candidate AS MATERIALIZED (
  SELECT id, ctid AS place, performed_at AS before, locked_by_id IS NULL AS unowned
  FROM good_jobs
  WHERE finished_at IS NULL AND locked_by_id IS NULL AND scheduled_at <= now()
    AND job_class = ANY($1::text[]) AND (performed_at IS NULL OR id <> ALL($9::uuid[]))
    AND CASE WHEN (SELECT something FROM paused)
             THEN (job_class = ANY((SELECT classes FROM paused)::text[])
                   OR queue_name = ANY((SELECT queues FROM paused)::text[])
                   OR labels && (SELECT labels FROM paused)::text[]) IS NOT TRUE
             ELSE true END
    AND (queue_name <> ALL($4::text[]) OR queue_name IS NULL)
    AND ($6::smallint = 1 OR current_setting('goodjob.session', true) = $7::text)
  ORDER BY priority ASC NULLS LAST,
           scheduled_at, id -- if by_scheduled_at
           -- unless by_scheduled_at: created_at
  LIMIT $2::bigint + $3::bigint
  FOR NO KEY UPDATE SKIP LOCKED
), rest AS (SELECT NULL::text AS exhausted)
