-- Between filling the tables and measuring, on a server that nobody else uses: what autovacuum would do at some
-- time during the measurement is done before it.
VACUUM (ANALYZE) good_jobs, good_job_executions;
