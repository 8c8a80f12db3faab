-- Head of a claim, for the listed queues. See claim_candidates_any.sql for its shape.
WITH candidate AS MATERIALIZED (
  SELECT id, performed_at AS before, locked_by_id IS NULL AS unowned
  FROM good_jobs
  WHERE finished_at IS NULL AND locked_by_id IS NULL AND scheduled_at <= now()
    AND job_class = ANY($1::text[])
    AND queue_name = ANY($4::text[])
    AND ($6::smallint = 1 OR current_setting('goodjob.session', true) = $7::text)
  ORDER BY priority ASC NULLS LAST, scheduled_at, id
  LIMIT $2::bigint + $3::bigint
  FOR NO KEY UPDATE SKIP LOCKED
)
