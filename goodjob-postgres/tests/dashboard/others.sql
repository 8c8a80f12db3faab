-- The lists of batches and of cron entries: counted jobs, and the last job of each key (wire contract 6.2).
SELECT 'batch ' || b.id AS what,
       (SELECT count(*) FROM good_jobs j WHERE j.batch_id = b.id AND j.finished_at IS NULL) AS jobs
FROM good_job_batches b
UNION ALL
SELECT 'cron ' || last.cron_key, last.jobs
FROM (SELECT DISTINCT ON (cron_key) cron_key, count(*) OVER (PARTITION BY cron_key) AS jobs
      FROM good_jobs WHERE cron_key IS NOT NULL ORDER BY cron_key, created_at DESC) AS last
