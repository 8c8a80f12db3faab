-- Takes back a pause in one statement, as pause.sql, and wakes workers with the commit, which the gem does
-- not: those of the queue (`$3`), or all. No row when nothing of the kind was paused.
WITH changed AS (
  UPDATE good_job_settings s SET
    updated_at = now(),
    value = jsonb_set(s.value, ARRAY[$1::text], (s.value->$1::text) - $2::text)
  WHERE s.key = 'pauses' AND jsonb_typeof(s.value) = 'object'
    AND jsonb_typeof(s.value->$1::text) = 'array' AND s.value->$1::text ? $2::text
  RETURNING s.id
)
SELECT (pg_notify('good_job', jsonb_build_object('queue_name', CASE WHEN octet_length($3::text) < 1000 THEN $3::text END)::text))::text AS sent
FROM changed;
