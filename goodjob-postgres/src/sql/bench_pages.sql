-- Pages that were looked at in the two tables of jobs and their indexes since the server's statistics began,
-- found in memory or not. Sessions report theirs when they end.
SELECT COALESCE(sum(heap_blks_hit + heap_blks_read + COALESCE(idx_blks_hit, 0) + COALESCE(idx_blks_read, 0)
                    + COALESCE(toast_blks_hit, 0) + COALESCE(toast_blks_read, 0)), 0)::bigint AS pages
FROM pg_statio_user_tables
WHERE relid IN ('good_jobs'::regclass, 'good_job_executions'::regclass);
