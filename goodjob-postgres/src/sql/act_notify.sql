-- Tail of actions that make jobs due: tells workers, once per queue, with the commit. The gem sends
-- nothing when its dashboard reschedules; then a job waits for a poll, which may be off. A time to come is
-- rounded up, as in insert_jobs.sql.
, notices AS (
  SELECT pg_notify('good_job', (jsonb_build_object('queue_name', queue_name, 'scheduled_at',
           to_char(date_trunc('milliseconds', scheduled_at + make_interval(secs => CASE WHEN scheduled_at > now() THEN 0.000999 ELSE 0 END)),
                   'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
         || CASE WHEN count(*) > 1 THEN jsonb_build_object('count', count(*)) ELSE '{}' END)::text) AS sent
  FROM written
  -- A payload has to be shorter than 8,000 bytes; the jobs of such a queue are left to the polls.
  WHERE octet_length(COALESCE(queue_name, '')) < 1000
  GROUP BY queue_name, scheduled_at
)
SELECT s.id, s.fits, w.id IS NOT NULL AS done, (SELECT count(sent) FROM notices) AS sent
FROM seen s LEFT JOIN written w ON w.id = s.id;
