-- The charts: jobs by due time and queue over a day, and attempts by duration (wire contract 6.2).
SELECT date_trunc('hour', scheduled_at)::text AS hour, queue_name AS name, count(*) AS times
FROM good_jobs
WHERE scheduled_at > now() - interval '1 day' AND scheduled_at <= now()
GROUP BY 1, 2
UNION ALL
SELECT width_bucket(extract(epoch FROM duration), 0, 60, 6)::text, job_class, count(*)
FROM good_job_executions
WHERE scheduled_at > now() - interval '1 day' AND duration IS NOT NULL
GROUP BY 1, 2
