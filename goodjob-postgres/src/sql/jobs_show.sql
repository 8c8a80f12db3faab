-- Everything about a job but its attempts, and what is known of the process that owns it. Whether that
-- is alive is judged by the gem's rule (wire contract 7.3), as in processes.sql.
SELECT j.id, j.job_class, j.queue_name, j.priority, j.serialized_params, j.labels,
       j.created_at::timestamptz AS created_at, j.scheduled_at::timestamptz AS scheduled_at,
       j.performed_at::timestamptz AS performed_at, j.finished_at::timestamptz AS finished_at,
       j.error, j.error_event, j.executions_count, j.locked_by_id, j.state,
       j.concurrency_key, j.cron_key, j.cron_at::timestamptz AS cron_at, j.batch_id, j.batch_callback_id,
       j.locked_at::timestamptz AS locked_at,
       j.lock_type, -- if lock_type
       now() AS now, p.id IS NOT NULL AS owner_known, p.state AS owner_state,
       CASE WHEN p.id IS NULL THEN false
            WHEN p.lock_type = 0 THEN EXISTS (
              SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1
              AND ((l.classid::bigint << 32) | l.objid::bigint) =
                  ('x' || substr(md5('good_job_processes-' || p.id::text), 1, 16))::bit(64)::bigint)
            ELSE p.updated_at > now() - interval '5 minutes' END AS owner_alive
FROM matching j LEFT JOIN good_job_processes p ON p.id = j.locked_by_id;
