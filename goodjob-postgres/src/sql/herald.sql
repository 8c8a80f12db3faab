-- Tells workers of jobs that were stored by other transactions, one notice for each queue and time. A
-- transaction that notifies makes others wait that do, until it is committed; hence jobs that are stored at
-- the same time are told of together and afterwards. Nothing is lost with a notice that is: no need to wait
-- for the disk.
SELECT set_config('synchronous_commit', 'off', true), count(
         pg_notify('good_job', (jsonb_build_object('queue_name', queue_name, 'scheduled_at',
           to_char(date_trunc('milliseconds', due + make_interval(secs => CASE WHEN due > now() THEN 0.000999 ELSE 0 END)),
                   'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
         || CASE WHEN jobs > 1 THEN jsonb_build_object('count', jobs) ELSE '{}' END)::text)) AS sent
FROM unnest($1::text[], $2::timestamptz[], $3::bigint[]) AS news(queue_name, due, jobs);
