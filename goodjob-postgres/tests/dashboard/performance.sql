-- The performance page: attempts by class and queue (wire contract 6.2).
SELECT job_class, queue_name, count(*) AS attempts, avg(duration)::text AS mean, min(duration)::text AS least,
       max(duration)::text AS most
FROM good_job_executions
GROUP BY job_class, queue_name
ORDER BY avg(duration) DESC
