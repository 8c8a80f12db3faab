-- Head of a claim that visits one lane, which has a queue and a priority: `$10` and `$11`, from its floor `$12`
-- and `$13`, no more rows of it than `$14`. Nearly every claim is one: see claim_candidates_lanes.sql for what
-- they share. There is no order over lanes to be kept here, so each row is locked where it is found, and only
-- when it is wanted; those that others are just taking are passed over, and do not count. `$3` has no say and is
-- named for its type. How far the lane was read follows from what was taken.
, candidate AS MATERIALIZED (
  SELECT g.id, g.ctid AS place, g.performed_at AS before, true AS unowned,
         g.performed_at IS NULL AND g.concurrency_key IS NULL AS is_plain
  FROM good_jobs g
  WHERE g.queue_name = $10::text AND g.priority = $11::int
    AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.scheduled_at <= now()
    AND (g.scheduled_at, g.id)
        >= (COALESCE($12::timestamptz, '-infinity'), COALESCE($13::uuid, '00000000-0000-0000-0000-000000000000'))
    AND g.job_class = ANY($1::text[]) AND (g.performed_at IS NULL OR g.id <> ALL($9::uuid[]))
    AND CASE WHEN (SELECT something FROM paused)
             THEN (g.job_class = ANY((SELECT classes FROM paused)::text[])
                   OR g.queue_name = ANY((SELECT queues FROM paused)::text[])
                   OR g.labels && (SELECT labels FROM paused)::text[]) IS NOT TRUE
             ELSE true END
    AND $3::bigint IS NOT NULL AND $4::text[] IS NULL
    AND ($6::smallint = 1 OR current_setting('goodjob.session', true) = $7::text)
  ORDER BY g.scheduled_at, g.id LIMIT $14::bigint FOR NO KEY UPDATE SKIP LOCKED
), rest AS (SELECT NULL::text AS exhausted)
