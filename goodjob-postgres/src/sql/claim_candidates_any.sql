-- Head of a claim, for every queue: due, unowned rows in order, row-locked without waiting. The row
-- lock re-checks this predicate on the newest version of the row, so a stale snapshot takes nothing.
-- `$3` more rows than wanted may be looked at; they are pulled only if an advisory lock is not to be had.
-- `$9` are the jobs that this process has: if somebody takes it for dead and clears their owner, its own
-- session finds their locks free, and would run them beside themselves.
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
    AND $4::text[] IS NULL AND ($6::smallint = 1 OR current_setting('goodjob.session', true) = $7::text)
  ORDER BY priority ASC NULLS LAST,
           scheduled_at, id -- if by_scheduled_at
           -- unless by_scheduled_at: created_at
  LIMIT $2::bigint + $3::bigint
  FOR NO KEY UPDATE SKIP LOCKED
), rest AS (SELECT NULL::text AS exhausted)
