-- The queues that have unfinished jobs, and how many each. Queues of waiting jobs are found by jumps from one
-- name to the next in an index that begins with it (ours of lanes, or the gem's of queues), `$1` at most; their
-- jobs are counted up to `$2` each, future ones too, since nothing bounds a count of those that are due. Queues
-- of running jobs come by the index of owners. Jobs without a queue are looked for by themselves.
WITH RECURSIVE name AS (
  (SELECT queue_name FROM good_jobs
   WHERE finished_at IS NULL AND locked_by_id IS NULL AND queue_name IS NOT NULL
   ORDER BY queue_name LIMIT 1)
  UNION ALL
  SELECT n.queue_name FROM name l CROSS JOIN LATERAL (
    SELECT g.queue_name FROM good_jobs g
    WHERE g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.queue_name > l.queue_name
    ORDER BY g.queue_name LIMIT 1) n
), waiting AS MATERIALIZED (
  SELECT queue_name FROM name LIMIT $1::bigint
), running AS MATERIALIZED (
  SELECT queue_name, count(*) AS jobs,
         max(extract(epoch FROM now() - performed_at))::float8 AS longest
  FROM good_jobs WHERE locked_by_id IS NOT NULL AND finished_at IS NULL
  GROUP BY queue_name
), every AS MATERIALIZED (
  SELECT queue_name FROM waiting UNION SELECT queue_name FROM running UNION SELECT NULL
)
SELECT e.queue_name AS queue, c.waiting, c.due, COALESCE(r.jobs, 0) AS running, r.longest
FROM every e CROSS JOIN LATERAL (
  SELECT count(*) AS waiting, count(*) FILTER (WHERE w.scheduled_at <= now()) AS due
  FROM ((SELECT g.scheduled_at FROM good_jobs g
         WHERE g.queue_name = e.queue_name AND g.finished_at IS NULL AND g.locked_by_id IS NULL
         LIMIT $2::bigint)
        UNION ALL
        (SELECT g.scheduled_at FROM good_jobs g
         WHERE e.queue_name IS NULL AND g.queue_name IS NULL AND g.finished_at IS NULL AND g.locked_by_id IS NULL
         LIMIT $2::bigint)) w) c
LEFT JOIN running r ON r.queue_name IS NOT DISTINCT FROM e.queue_name
WHERE c.waiting > 0 OR r.jobs > 0
ORDER BY e.queue_name;
