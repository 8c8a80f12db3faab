-- Unfinished jobs by queue and state (wire contract 5). `executions` may be anything: only a number counts.
-- That they have an owner or none leads to the two indexes that have the one and the other.
SELECT queue_name AS queue,
       count(*) FILTER (WHERE performed_at IS NULL AND scheduled_at > now() AND NOT retried) AS scheduled,
       count(*) FILTER (WHERE performed_at IS NULL AND scheduled_at > now() AND retried) AS retried,
       count(*) FILTER (WHERE performed_at IS NULL AND scheduled_at <= now()) AS queued,
       count(*) FILTER (WHERE performed_at IS NOT NULL) AS running,
       extract(epoch FROM now() - min(scheduled_at) FILTER (WHERE performed_at IS NULL AND scheduled_at <= now()
                                                       AND isfinite(scheduled_at)))::float8
         AS oldest_due_seconds
FROM (SELECT queue_name, performed_at, scheduled_at,
             CASE WHEN jsonb_typeof(serialized_params->'executions') = 'number'
                  THEN (serialized_params->>'executions')::numeric > 1 ELSE false END AS retried
      FROM good_jobs WHERE finished_at IS NULL AND (locked_by_id IS NULL OR locked_by_id IS NOT NULL)) AS unfinished
GROUP BY queue_name
ORDER BY queue_name;
