-- The lanes of the listed queues, as lanes_any.sql finds them, and the queue's place in the list.
WITH RECURSIVE queue AS (
  SELECT queue_name, min(turn)::int AS turn
  FROM unnest($1::text[]) WITH ORDINALITY AS q(queue_name, turn) GROUP BY queue_name
), lane AS (
  SELECT n.*, q.turn FROM queue q CROSS JOIN LATERAL (
    SELECT g.queue_name, g.priority, g.scheduled_at, g.id FROM good_jobs g
    WHERE g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.queue_name = q.queue_name
    ORDER BY g.priority, g.scheduled_at, g.id LIMIT 1) n
  UNION ALL
  SELECT n.*, l.turn FROM lane l CROSS JOIN LATERAL (
    SELECT g.queue_name, g.priority, g.scheduled_at, g.id FROM good_jobs g
    WHERE g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.queue_name = l.queue_name
      AND g.priority > l.priority
    ORDER BY g.priority, g.scheduled_at, g.id LIMIT 1) n
), found AS MATERIALIZED (
  SELECT queue_name, priority, scheduled_at, id, turn FROM lane LIMIT $2::bigint
), every AS MATERIALIZED (
  SELECT queue_name, priority, scheduled_at, id, turn FROM found
  UNION
  SELECT n.*, q.turn FROM queue q CROSS JOIN LATERAL (
    SELECT g.queue_name, g.priority, g.scheduled_at, g.id FROM good_jobs g
    WHERE g.finished_at IS NULL AND g.locked_by_id IS NULL
      AND g.queue_name = q.queue_name AND g.priority IS NULL
    ORDER BY g.scheduled_at, g.id LIMIT 1) n
)
