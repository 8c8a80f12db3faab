-- Stores many jobs on a connection of the store's own, whose TimeZone is UTC: there a `timestamptz` is right
-- for columns of both types, and each column comes as one array. See insert_jobs.sql for a caller's
-- connection, and for the notices: once per queue, time and statement, at the commit.
-- The arrays of what few jobs have (labels, and what ties them to others: a tick, a batch, a key) are NULL where no
-- job has it: unnest fills up the shorter ones, and a column that is not there costs nothing.
-- "Now" is the start of the transaction, which may have several of these statements.
-- The ids of those that were stored are told only if some were there already.
WITH given AS MATERIALIZED (
  SELECT id, job_class, queue_name, priority, envelope, labels, notify,
         concurrency_key, batch_id, batch_callback_id, cron_key, cron_at,
         COALESCE(at, now() + make_interval(secs => wait)) AS due
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::jsonb[], $6::jsonb[], $7::boolean[],
              $8::timestamptz[], $9::float8[],
              $10::text[], $11::uuid[], $12::uuid[], $13::text[], $14::timestamptz[])
    AS jobs(id, job_class, queue_name, priority, envelope, labels, notify, at, wait,
            concurrency_key, batch_id, batch_callback_id, cron_key, cron_at)
), inserted AS (
  INSERT INTO good_jobs (
                         -- unless lock_type: is_discrete,
                         id, active_job_id, job_class, queue_name, priority, serialized_params, labels,
                         concurrency_key, batch_id, batch_callback_id, cron_key, cron_at,
                         scheduled_at, created_at, updated_at)
  SELECT
         -- unless lock_type: true,
         id, id, job_class, queue_name, priority, envelope,
         CASE WHEN labels IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(labels)) END,
         concurrency_key, batch_id, batch_callback_id, cron_key, cron_at,
         due, now(), now()
  FROM given
  ON CONFLICT DO NOTHING
  RETURNING id, queue_name, scheduled_at::timestamptz AS due
), notices AS (
  SELECT pg_notify('good_job', (jsonb_build_object('queue_name', queue_name, 'scheduled_at',
           to_char(date_trunc('milliseconds', due + make_interval(secs => CASE WHEN due > now() THEN 0.000999 ELSE 0 END)),
                   'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
         || CASE WHEN count(*) > 1 THEN jsonb_build_object('count', count(*)) ELSE '{}' END)::text) AS sent
  FROM inserted
  WHERE octet_length(COALESCE(queue_name, '')) < 1000 AND id NOT IN (SELECT id FROM given WHERE NOT notify)
  GROUP BY queue_name, due
)
SELECT count(*) AS stored,
       CASE WHEN count(*) < (SELECT count(*) FROM given) THEN COALESCE(array_agg(id), '{}') END AS ids,
       (SELECT count(sent) FROM notices) AS sent
FROM inserted;
