-- Tail of what the end of an attempt does: as many jobs of a class (`$2`) as may run (`$3`) become due, the
-- first ones in the order of their priority and of their enqueueing, and workers are told. Those are looked at
-- that are due, or wait for room by their error, Ruby's too; a job that was scheduled for later is left alone.
-- It is told how many should be due and not how many to add, so that two who end at once, or one who does it
-- twice, move no more than that. A job gets the time of its enqueueing, since it has waited for its turn.
, next AS MATERIALIZED (
  SELECT j.id, j.scheduled_at FROM scope j
  WHERE j.finished_at IS NULL AND j.performed_at IS NULL AND j.job_class = $2::text
    AND (j.scheduled_at <= now()
         OR j.error = 'GoodJob::ActiveJobExtensions::Concurrency::ConcurrencyExceededError: GoodJob::ActiveJobExtensions::Concurrency::ConcurrencyExceededError')
  ORDER BY j.priority, j.created_at, j.id
  LIMIT GREATEST(0, $3::bigint - (
    SELECT count(*) FROM scope r WHERE r.performed_at IS NOT NULL AND r.finished_at IS NULL))
), late AS MATERIALIZED (
  SELECT n.id FROM next n CROSS JOIN LATERAL (
    SELECT FROM good_jobs g
    WHERE g.id = n.id AND g.finished_at IS NULL AND g.performed_at IS NULL AND g.locked_by_id IS NULL
      AND g.scheduled_at > now()
    FOR NO KEY UPDATE SKIP LOCKED) AS g
), moved AS (
  UPDATE good_jobs g SET scheduled_at = LEAST(g.created_at, now()), updated_at = now()
  WHERE g.id = ANY(ARRAY(SELECT id FROM late))
  RETURNING g.queue_name
)
SELECT (SELECT count(*) FROM moved) AS moved,
       (SELECT count(pg_notify('good_job', jsonb_build_object('queue_name', queue_name)::text))
        FROM (SELECT DISTINCT queue_name FROM moved
              WHERE octet_length(COALESCE(queue_name, '')) < 1000) AS queues) AS sent;
