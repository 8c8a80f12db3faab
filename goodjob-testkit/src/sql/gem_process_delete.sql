-- Wire contract 3.8, by a process of itself and by a clean-up of others.
DELETE FROM good_job_processes WHERE id = $1::uuid;
