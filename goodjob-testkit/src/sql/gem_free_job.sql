-- Wire contract 3.5 and 3.6: what the strategies that own the row do when a run raises out of the worker. By
-- id alone, whoever owns the row by now.
UPDATE good_jobs SET locked_by_id = NULL, locked_at = NULL, lock_type = NULL WHERE id = $1::uuid;
