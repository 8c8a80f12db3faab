-- Whether the success that an attempt wrote in a transaction of its own is committed: its execution says so,
-- or the job is gone, as one that is not kept. A transaction that is still open counts as not committed: the
-- outcome that is then written waits for its row, and gives way to it.
SELECT EXISTS (SELECT FROM good_job_executions x
               WHERE x.id = $2::uuid AND x.finished_at IS NOT NULL AND x.error IS NULL)
       OR NOT EXISTS (SELECT FROM good_jobs g WHERE g.id = $1::uuid) AS is_complete;
