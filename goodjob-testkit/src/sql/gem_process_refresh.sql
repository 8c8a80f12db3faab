-- Wire contract 7.1: a row that has vanished is inserted again by whoever sees that none was updated.
UPDATE good_job_processes SET state = $3::jsonb, updated_at = $2::timestamptz WHERE id = $1::uuid;
