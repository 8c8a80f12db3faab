-- The lanes that have waiting rows, each with its first one, for a pool of all queues or of all but some:
-- a lane is a queue and a priority, a range of index_goodjob_lanes. Each step jumps to the next range by
-- one descent of the index, however many rows the lanes hold. More than `$2` are not looked for.
--
-- NULL sorts last and compares with nothing: a queue's rows without a priority, and rows without a queue,
-- are looked for by themselves. Those without a queue are one lane, whatever their priority.
WITH RECURSIVE lane AS (
  (SELECT queue_name, priority, scheduled_at, id FROM good_jobs
   WHERE finished_at IS NULL AND locked_by_id IS NULL
   ORDER BY queue_name, priority, scheduled_at, id LIMIT 1)
  UNION ALL
  SELECT n.* FROM lane l CROSS JOIN LATERAL (
    SELECT g.queue_name, g.priority, g.scheduled_at, g.id FROM good_jobs g
    WHERE g.finished_at IS NULL AND g.locked_by_id IS NULL
      AND (g.queue_name, g.priority) > (l.queue_name, l.priority)
    ORDER BY g.queue_name, g.priority, g.scheduled_at, g.id LIMIT 1) n
), found AS MATERIALIZED (
  SELECT queue_name, priority, scheduled_at, id FROM lane
  WHERE $1::text[] IS NULL OR queue_name <> ALL($1::text[]) OR queue_name IS NULL
  LIMIT $2::bigint
), every AS MATERIALIZED (
  SELECT queue_name, priority, scheduled_at, id, 0 AS turn FROM found
  UNION
  SELECT n.*, 0 FROM (SELECT DISTINCT queue_name FROM found) q CROSS JOIN LATERAL (
    SELECT g.queue_name, g.priority, g.scheduled_at, g.id FROM good_jobs g
    WHERE g.finished_at IS NULL AND g.locked_by_id IS NULL
      AND g.queue_name = q.queue_name AND g.priority IS NULL
    ORDER BY g.scheduled_at, g.id LIMIT 1) n
  UNION
  (SELECT queue_name, priority, scheduled_at, id, 0 FROM good_jobs
   WHERE finished_at IS NULL AND locked_by_id IS NULL AND queue_name IS NULL
   ORDER BY priority, scheduled_at, id LIMIT 1)
)
