-- Head of a claim that visits lanes: each from its floor, the place before which nothing is expected, and
-- no more rows of it than its `$14`. `$15` is the lane's place in a queue list that goes by order.
--
-- Rows are looked at without locks first, since the order of a claim goes over all lanes; then as many as
-- are wanted, and `$3` more in case somebody holds some, are row-locked in that order, at their places: by id
-- the key's index would be walked down for each. The row lock judges the newest version of the row again. If
-- lanes were cut off at so many rows, what sorts after the first such cut may not be next: it is left for the
-- next claim.
-- Where rows are looked up by place or id, other conditions are put so that no index fits them: for a plan that
-- is made of an empty table each is as good, and the whole index of lanes was walked for every job.
-- `$9` are the jobs that this process has: if somebody takes it for dead and clears their owner, its own
-- session finds their locks free, and would run them beside themselves.
-- Rows without a queue are one lane, whatever their priority, and have no floor.
, lane AS MATERIALIZED (
  SELECT n, queue_name, priority, COALESCE(at, '-infinity') AS at,
         COALESCE(id, '00000000-0000-0000-0000-000000000000') AS id, depth, turn
  FROM unnest($10::text[], $11::int[], $12::timestamptz[], $13::uuid[], $14::bigint[], $15::int[])
    WITH ORDINALITY AS l(queue_name, priority, at, id, depth, turn, n)
), seen AS MATERIALIZED (
  SELECT l.n, l.turn, s.*
  FROM lane l CROSS JOIN LATERAL (
    SELECT * FROM (
      SELECT g.id, g.ctid AS place, g.priority, g.scheduled_at FROM good_jobs g
      WHERE g.queue_name = l.queue_name AND g.priority = l.priority
        AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.scheduled_at <= now()
        AND (g.scheduled_at, g.id) >= (l.at, l.id)
        AND g.job_class = ANY($1::text[]) AND (g.performed_at IS NULL OR g.id <> ALL($9::uuid[]))
        AND CASE WHEN (SELECT something FROM paused)
                 THEN (g.job_class = ANY((SELECT classes FROM paused)::text[])
                       OR g.queue_name = ANY((SELECT queues FROM paused)::text[])
                       OR g.labels && (SELECT labels FROM paused)::text[]) IS NOT TRUE
                 ELSE true END
      ORDER BY g.scheduled_at, g.id LIMIT l.depth) AS of_both
    UNION ALL
    SELECT * FROM (
      SELECT g.id, g.ctid AS place, g.priority, g.scheduled_at FROM good_jobs g
      WHERE l.priority IS NULL AND g.queue_name = l.queue_name AND g.priority IS NULL
        AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.scheduled_at <= now()
        AND (g.scheduled_at, g.id) >= (l.at, l.id)
        AND g.job_class = ANY($1::text[]) AND (g.performed_at IS NULL OR g.id <> ALL($9::uuid[]))
        AND CASE WHEN (SELECT something FROM paused)
                 THEN (g.job_class = ANY((SELECT classes FROM paused)::text[])
                       OR g.queue_name = ANY((SELECT queues FROM paused)::text[])
                       OR g.labels && (SELECT labels FROM paused)::text[]) IS NOT TRUE
                 ELSE true END
      ORDER BY g.scheduled_at, g.id LIMIT l.depth) AS of_a_queue
    UNION ALL
    SELECT * FROM (
      SELECT g.id, g.ctid AS place, g.priority, g.scheduled_at FROM good_jobs g
      WHERE l.queue_name IS NULL AND g.queue_name IS NULL
        AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.scheduled_at <= now()
        AND g.job_class = ANY($1::text[]) AND (g.performed_at IS NULL OR g.id <> ALL($9::uuid[]))
        AND CASE WHEN (SELECT something FROM paused)
                 THEN (g.job_class = ANY((SELECT classes FROM paused)::text[])
                       OR g.labels && (SELECT labels FROM paused)::text[]) IS NOT TRUE
                 ELSE true END
      ORDER BY g.priority, g.scheduled_at, g.id LIMIT l.depth) AS of_none
  ) AS s
), counts AS MATERIALIZED (
  SELECT l.n, l.depth, count(s.id) AS rows FROM lane l LEFT JOIN seen s USING (n) GROUP BY l.n, l.depth
), cut AS MATERIALIZED (
  -- The first of them alone: comparing every row with every cut took seconds with 1,000 lanes.
  SELECT turn, priority IS NULL AS no_priority, COALESCE(priority, 0) AS priority, scheduled_at, id FROM (
    SELECT DISTINCT ON (n) turn, priority, scheduled_at, id FROM seen JOIN counts USING (n)
    WHERE rows >= depth AND depth < $2::bigint + $3::bigint
    ORDER BY n, priority DESC, scheduled_at DESC, id DESC) AS of_each
  ORDER BY 1, 2, 3, 4, 5 LIMIT 1
), chosen AS (
  SELECT s.id, s.place FROM seen s
  WHERE NOT EXISTS (
    SELECT FROM cut c
    WHERE (s.turn, s.priority IS NULL, COALESCE(s.priority, 0), s.scheduled_at, s.id)
        > (c.turn, c.no_priority, c.priority, c.scheduled_at, c.id))
  ORDER BY s.turn, s.priority, s.scheduled_at, s.id LIMIT $2::bigint + $3::bigint
), candidate AS MATERIALIZED (
  SELECT c.id, j.place, j.before, true AS unowned
  FROM chosen c CROSS JOIN LATERAL (
    SELECT g.ctid AS place, g.performed_at AS before FROM good_jobs g
    WHERE g.ctid = c.place AND num_nulls(g.finished_at, g.locked_by_id) = 2 AND COALESCE(g.scheduled_at, 'infinity') <= now()
      AND $4::text[] IS NULL AND ($6::smallint = 1 OR current_setting('goodjob.session', true) = $7::text)
    FOR NO KEY UPDATE SKIP LOCKED) AS j
), rest AS (
  -- 0: there may be more rows in it. 1: all there were were seen. 2: there were none.
  SELECT string_agg(CASE WHEN rows = 0 THEN '2' WHEN rows < depth THEN '1' ELSE '0' END, '' ORDER BY n) AS exhausted
  FROM counts
)
