-- Wire contract 4.4, in T3, of a job that is not kept.
DELETE FROM good_job_executions WHERE active_job_id = $1::uuid;
