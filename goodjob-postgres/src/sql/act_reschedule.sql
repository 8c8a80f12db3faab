-- Moves the time of unfinished jobs: to `$4`, or so many seconds from now. A count of attempts that is none
-- goes: on a waiting row the gem's dashboard fails on it (wire contract 0, 12).
, written AS (
  UPDATE good_jobs g SET
    scheduled_at = COALESCE($4::timestamptz, now() + make_interval(secs => COALESCE($5::float8, 0))),
    serialized_params = CASE
      WHEN jsonb_typeof(g.serialized_params) = 'object' AND g.serialized_params ? 'executions'
           AND NOT (jsonb_typeof(g.serialized_params->'executions') = 'number'
                    AND g.serialized_params->>'executions' ~ '^[0-9]{1,9}$')
      THEN g.serialized_params || '{"executions": 0}' ELSE g.serialized_params END,
    updated_at = now()
  FROM locked l WHERE g.id = l.id
  RETURNING g.id, g.queue_name, g.scheduled_at
)
