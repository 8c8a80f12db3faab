-- The attempts on the page of a job (wire contract 6.2): how long each waited, and its number, which Ruby
-- makes of `executions` with 0 for a missing one. `sound` is whether Ruby can: a null or a text there fails.
SELECT concat_ws(' ', x.job_class, 'number', COALESCE((x.serialized_params->>'executions')::numeric, 0) + 1) AS what,
       extract(epoch FROM x.created_at - x.scheduled_at)::float8 AS latency,
       jsonb_typeof(x.serialized_params) = 'object'
         AND (NOT x.serialized_params ? 'executions'
              OR jsonb_typeof(x.serialized_params->'executions') = 'number'
                 AND x.serialized_params->>'executions' ~ '^-?[0-9]+$') AS sound,
       (x.finished_at IS NULL) = (x.duration IS NULL) AS timed
FROM good_job_executions x
JOIN good_jobs j ON j.id = x.active_job_id
ORDER BY (COALESCE((x.serialized_params->>'executions')::numeric, 0) + 1) DESC
