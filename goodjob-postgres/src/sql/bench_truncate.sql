-- Empties the two tables of jobs, on a server that nobody else uses: each measurement begins with new files.
TRUNCATE good_jobs, good_job_executions;
