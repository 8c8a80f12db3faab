-- Wire contract 3.8: a process that unregisters. `locked_at` and `lock_type` stay.
UPDATE good_jobs SET locked_by_id = NULL WHERE locked_by_id = $1::uuid;
