-- The page of processes: the active ones by the gem's predicate (wire contract 7.3), and of each what Ruby
-- computes. A state without a number for `memory`, or with `schedulers` that is no array, fails the page.
SELECT p.id, (p.state->>'memory')::numeric / 1024 > 0 AS has_memory,
       p.state->>'pid' AS pid, p.state->>'hostname' AS hostname, p.state->>'proctitle' AS title,
       (p.state->>'cron_enabled')::boolean AS cron,
       ARRAY(SELECT (pool->>'queues') || ' ' || (pool->>'max_threads')::integer
             FROM jsonb_array_elements(p.state->'schedulers') AS pool) AS pools,
       now() - p.created_at >= interval '0' AND now() - p.updated_at >= interval '0' AS aged
FROM good_job_processes p
LEFT JOIN pg_locks l ON l.locktype = 'advisory' AND l.objsubid = 1
  AND ((l.classid::bigint << 32) | l.objid::bigint)
      = ('x' || substr(md5('good_job_processes-' || p.id::text), 1, 16))::bit(64)::bigint
WHERE (p.lock_type = 0 AND l.locktype IS NOT NULL)
   OR (p.lock_type IS NULL AND p.updated_at > now() - interval '5 minutes')
