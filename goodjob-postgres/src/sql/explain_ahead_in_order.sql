-- As explain_ahead.sql where there are no lanes to read: without their index, or in the order of enqueues. The
-- index of candidates is read in the order of claims, no further than the job's place and no more than `$8`
-- rows. `$1` are the queues that are taken, or with `$2` those that are not; NULL is every one. A list that goes
-- by order (`$7`) has to look behind the job's place, too. `$13` is when the job was enqueued.
WITH ahead AS MATERIALIZED (
  SELECT g.queue_name, g.job_class, g.labels, g.scheduled_at,
         (g.priority IS NULL, COALESCE(g.priority, 0),
          g.scheduled_at, g.id) < ($3::int IS NULL, COALESCE($3::int, 0), $4::timestamptz, $5::uuid) AS earlier -- if by_scheduled_at
          -- unless by_scheduled_at: g.created_at, g.id) < ($3::int IS NULL, COALESCE($3::int, 0), $13::timestamptz, $5::uuid) AS earlier
  FROM good_jobs g
  WHERE g.finished_at IS NULL AND g.locked_by_id IS NULL
    AND ($7::boolean OR $3::int IS NULL OR g.priority <= $3::int)
  ORDER BY g.priority ASC NULLS LAST,
           g.scheduled_at, g.id -- if by_scheduled_at
           -- unless by_scheduled_at: g.created_at
  LIMIT $8::bigint
), taken AS (
  SELECT a.queue_name, a.job_class, a.labels
  FROM (SELECT queue_name, job_class, labels, scheduled_at, earlier,
               CASE WHEN $7::boolean THEN array_position($1::text[], queue_name) ELSE 0 END AS turn FROM ahead) a
  WHERE a.scheduled_at <= now() AND (a.turn < $6::int OR a.turn = $6::int AND a.earlier)
    AND CASE WHEN $1::text[] IS NULL THEN true
             WHEN $2::boolean THEN (a.queue_name = ANY($1::text[])) IS NOT TRUE
             ELSE a.queue_name = ANY($1::text[]) END
)
SELECT (SELECT count(*) FROM ahead) >= $8::bigint AND ($13::timestamptz, $4::timestamptz) IS NOT NULL
         AND ($7::boolean OR NOT EXISTS (SELECT FROM ahead WHERE NOT earlier)) AS more,
       count(*) FILTER (WHERE ($9::text[] IS NULL OR job_class = ANY($9::text[]))
         AND (queue_name = ANY($10::text[]) OR job_class = ANY($11::text[]) OR labels && $12::text[]) IS NOT TRUE) AS jobs
FROM taken;
