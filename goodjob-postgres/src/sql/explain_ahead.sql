-- Tail after the lanes of a pool: the due jobs that it takes before the job at `$3` (priority), `$4` (time),
-- `$5` (id) and `$6` (its queue's turn; lists without an order, `$7` false, have turns of 0).
--
-- Each lane is a range of the index and read no further than the job's place, all of them together no further
-- than `$8` rows, so that it costs the same with millions. What nobody knows (`$9` are the classes, NULL is
-- every one) or what is paused (`$10` to `$12`) is read, and not counted: it is passed over.
, lane_before AS MATERIALIZED (
  SELECT l.queue_name, l.priority,
         CASE WHEN l.turn = $6::int AND l.priority IS NOT DISTINCT FROM $3::int
              THEN $4::timestamptz ELSE 'infinity' END AS at,
         CASE WHEN l.turn = $6::int AND l.priority IS NOT DISTINCT FROM $3::int
              THEN $5::uuid ELSE 'ffffffff-ffff-ffff-ffff-ffffffffffff' END AS id
  FROM (SELECT queue_name, priority, CASE WHEN $7::boolean THEN turn ELSE 0 END AS turn FROM every) l
  WHERE l.queue_name IS NULL OR l.turn < $6::int
     OR l.turn = $6::int AND ($3::int IS NULL OR l.priority <= $3::int)
), ahead AS MATERIALIZED (
  SELECT s.queue_name, s.job_class, s.labels
  FROM lane_before b CROSS JOIN LATERAL (
    (SELECT g.queue_name, g.job_class, g.labels FROM good_jobs g
     WHERE g.queue_name = b.queue_name AND g.priority = b.priority
       AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.scheduled_at <= now()
       AND (g.scheduled_at, g.id) < (b.at, b.id)
     ORDER BY g.scheduled_at, g.id LIMIT $8::bigint)
    UNION ALL
    (SELECT g.queue_name, g.job_class, g.labels FROM good_jobs g
     WHERE b.priority IS NULL AND g.queue_name = b.queue_name AND g.priority IS NULL
       AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.scheduled_at <= now()
       AND (g.scheduled_at, g.id) < (b.at, b.id)
     ORDER BY g.scheduled_at, g.id LIMIT $8::bigint)
    UNION ALL
    (SELECT n.queue_name, n.job_class, n.labels FROM (
       SELECT g.queue_name, g.job_class, g.labels, g.priority, g.scheduled_at, g.id FROM good_jobs g
       WHERE b.queue_name IS NULL AND g.queue_name IS NULL
         AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.scheduled_at <= now()
       ORDER BY g.priority, g.scheduled_at, g.id LIMIT $8::bigint) n
     WHERE (n.priority IS NULL, COALESCE(n.priority, 0), n.scheduled_at, n.id)
         < ($3::int IS NULL, COALESCE($3::int, 0), $4::timestamptz, $5::uuid))
  ) s
  LIMIT $8::bigint
)
SELECT count(*) >= $8::bigint AS more,
       count(*) FILTER (WHERE ($9::text[] IS NULL OR job_class = ANY($9::text[]))
         AND (queue_name = ANY($10::text[]) OR job_class = ANY($11::text[]) OR labels && $12::text[]) IS NOT TRUE) AS jobs
FROM ahead;
