-- Head of a claim of certain jobs, `$10`, which somebody waits for (the mode `inline`). Pauses are not asked,
-- as the gem does not ask them there: they hold back who looks for jobs. `$3` and `$4` have no say here and
-- are named for their types. A row that is locked is passed over, as in every claim: then a worker was quicker.
, candidate AS MATERIALIZED (
  SELECT id, ctid AS place, performed_at AS before, locked_by_id IS NULL AS unowned
  FROM good_jobs
  WHERE id = ANY($10::uuid[])
    AND finished_at IS NULL AND locked_by_id IS NULL AND scheduled_at <= now()
    AND job_class = ANY($1::text[]) AND (performed_at IS NULL OR id <> ALL($9::uuid[]))
    AND $4::text[] IS NULL AND ($6::smallint = 1 OR current_setting('goodjob.session', true) = $7::text)
  ORDER BY priority ASC NULLS LAST, scheduled_at, id
  LIMIT $2::bigint + $3::bigint
  FOR NO KEY UPDATE SKIP LOCKED
), rest AS (SELECT NULL::text AS exhausted)
