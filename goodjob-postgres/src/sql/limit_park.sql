-- Puts off what a claim would meet next and would have to put off one by one: due jobs of the same class and
-- scope (`$6` a key, `$7` a label) behind one that had to wait, in its lane (`$1` queue, `$2` priority, from
-- `$3` on). They look as if they had been claimed and put off by the gem, but for an attempt: error, event and
-- a later time, `$8` seconds from now for the first, `$9` more for each further one. No more than `$4` rows are
-- looked at, whatever the lane holds: what is behind them is met by a later claim.
WITH next AS MATERIALIZED (
  SELECT g.id, g.job_class, g.concurrency_key, g.labels, g.performed_at, g.scheduled_at FROM good_jobs g
  WHERE g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.queue_name = $1::text AND g.priority = $2::int
    AND g.scheduled_at <= now() AND g.scheduled_at >= $3::timestamptz
  ORDER BY g.scheduled_at, g.id LIMIT $4::bigint
), over AS MATERIALIZED (
  SELECT n.id FROM next n CROSS JOIN LATERAL (
    SELECT FROM good_jobs g
    WHERE g.id = n.id AND g.finished_at IS NULL AND g.locked_by_id IS NULL AND g.performed_at IS NULL
      AND g.scheduled_at <= now()
    FOR NO KEY UPDATE SKIP LOCKED) AS g
  WHERE n.job_class = $5::text AND n.performed_at IS NULL
    AND ($6::text IS NULL OR n.concurrency_key = $6::text)
    AND ($7::text IS NULL OR n.labels && ARRAY[$7::text])
), places AS MATERIALIZED (
  SELECT ARRAY(SELECT id FROM over) AS ids
), parked AS (
  UPDATE good_jobs g SET
    scheduled_at = now() + make_interval(secs => $8::float8
                                         + $9::float8 * array_position((SELECT ids FROM places), g.id)),
    error = $10::text, error_event = 3, updated_at = now()
  WHERE g.id = ANY((SELECT ids FROM places)::uuid[])
  RETURNING g.id
)
SELECT count(*) FROM parked;
