-- Tail of the count of jobs that were enqueued within `$2` seconds (wire contract 10.2). A row is never
-- older than its last change, by which it is found.
SELECT count(*) FROM scope j
WHERE j.created_at > now() - make_interval(secs => $2::float8)
  AND j.updated_at > now() - make_interval(secs => $2::float8);
