-- Due jobs that nobody has taken, by class and queue.
SELECT job_class AS class, queue_name AS queue, count(*) AS due,
       COALESCE(extract(epoch FROM now() - min(scheduled_at) FILTER (WHERE isfinite(scheduled_at)))::float8, 0) AS oldest_due_seconds
FROM good_jobs
WHERE finished_at IS NULL AND locked_by_id IS NULL AND scheduled_at <= now()
GROUP BY job_class, queue_name
ORDER BY count(*) DESC, job_class, queue_name;
