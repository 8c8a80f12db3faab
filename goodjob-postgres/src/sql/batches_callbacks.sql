-- The classes that batches call back which are not finished: the oldest `$1` of them, which is enough to see what
-- is amiss, and bounded however many there are.
SELECT DISTINCT c.class
FROM (SELECT b.on_finish, b.on_success, b.on_discard FROM good_job_batches b
      WHERE b.finished_at IS NULL ORDER BY b.id LIMIT $1::bigint) AS b
CROSS JOIN LATERAL (VALUES (b.on_finish), (b.on_success), (b.on_discard)) AS c(class)
WHERE c.class <> ''
ORDER BY c.class;
