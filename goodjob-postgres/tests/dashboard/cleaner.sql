-- The cleaner page: discarded jobs by class and by what stands before the first colon of their error.
SELECT job_class, split_part(error, ': ', 1) AS error_class, count(*) AS jobs
FROM good_jobs
WHERE finished_at IS NOT NULL AND error IS NOT NULL
GROUP BY job_class, split_part(error, ': ', 1)
