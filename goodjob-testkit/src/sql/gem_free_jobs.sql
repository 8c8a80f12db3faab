-- Wire contract 3.8: a clean-up frees the jobs of an inactive process. `lock_type` stays.
UPDATE good_jobs SET locked_by_id = NULL, locked_at = NULL WHERE locked_by_id = $1::uuid;
