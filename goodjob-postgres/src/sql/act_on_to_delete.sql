-- Head of the deletion of jobs: act_on.sql with the stronger row lock that a DELETE takes, since raising a
-- weaker one could wait for a foreign key of the application's.
WITH seen AS MATERIALIZED (
  SELECT id, CASE $2::text WHEN 'unfinished' THEN finished_at IS NULL
                           WHEN 'finished' THEN finished_at IS NOT NULL
                           ELSE finished_at IS NOT NULL AND error IS NOT NULL END AS fits
  FROM good_jobs WHERE id = ANY($1::uuid[])
), present AS MATERIALIZED (
  SELECT id FROM good_jobs
  WHERE id = ANY($1::uuid[])
    AND CASE $2::text WHEN 'unfinished' THEN finished_at IS NULL
                      WHEN 'finished' THEN finished_at IS NOT NULL
                      ELSE finished_at IS NOT NULL AND error IS NOT NULL END
    AND ($3::boolean OR locked_by_id IS NULL)
  ORDER BY id
  FOR UPDATE SKIP LOCKED
), locked AS MATERIALIZED (
  SELECT id FROM present
  WHERE CASE WHEN $3::boolean THEN true
     ELSE pg_try_advisory_xact_lock(('x' || substr(md5('good_jobs-' || id::text), 1, 16))::bit(64)::bigint) END
)
