-- Wire contract 4.3, in T2: the run is not over yet, and the lock columns stay. `created_at` begins anew, as
-- it does with the gem's default order.
UPDATE good_jobs
SET performed_at = NULL, serialized_params = $2::jsonb, scheduled_at = $3::timestamptz,
    created_at = $4::timestamptz, updated_at = $4::timestamptz
WHERE id = $1::uuid;
