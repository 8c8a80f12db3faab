-- The running jobs that share the job's concurrency key or one of its labels, those that started first before
-- the others: under a limit they are the ones that hold it (wire contract 10.3). Found by the index of owned
-- jobs, which the lean set has; that of keys it has not.
SELECT id, job_class AS class, performed_at::timestamptz AS started_at, locked_by_id AS process
FROM good_jobs
WHERE locked_by_id IS NOT NULL AND finished_at IS NULL AND performed_at IS NOT NULL AND id <> $1::uuid
  AND (concurrency_key = $2::text OR labels && $3::text[])
ORDER BY performed_at, id
LIMIT $4::bigint;
