-- Stores one job on a connection of the store's own, whose TimeZone is UTC: there a `timestamptz` is right
-- for columns of both types. What most enqueues are, and therefore one INSERT and no CTE, which would cost a
-- fifth more; for many jobs there is insert_many.sql, for a caller's connection insert_jobs.sql.
-- The notice leaves with the commit, or is left to the herald (`$10` is false), who sends one for many. A job that
-- is tied to others (a tick, a batch, a key) goes by insert_many.sql.
INSERT INTO good_jobs (
                       -- unless lock_type: is_discrete,
                       id, active_job_id, job_class, queue_name, priority, serialized_params, labels,
                       scheduled_at, created_at, updated_at)
VALUES (
        -- unless lock_type: true,
        $1::uuid, $1::uuid, $2::text, $3::text, $4::int, $5::jsonb, $6::text[],
        COALESCE($8::timestamptz, now() + make_interval(secs => $9::float8)), now(), now())
ON CONFLICT (id) DO NOTHING
RETURNING scheduled_at::timestamptz AS due, now() AS at,
          -- Rounded and left out as in insert_jobs.sql.
          CASE WHEN $10::boolean AND $7::boolean AND octet_length(COALESCE($3::text, '')) < 1000 THEN
            pg_notify('good_job', jsonb_build_object('queue_name', $3::text, 'scheduled_at',
              to_char(date_trunc('milliseconds', scheduled_at::timestamptz
                        + make_interval(secs => CASE WHEN scheduled_at::timestamptz > now() THEN 0.000999 ELSE 0 END)),
                      'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))::text)::text END AS told;
