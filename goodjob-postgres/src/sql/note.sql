-- Writes what an attempt says, while it is the current one and its job is not over. Progress and result are
-- noted at different times, so that each leaves the other as it is. The row of the job is only read: a note
-- must never make an outcome wait, and one that comes too late does no harm.
INSERT INTO goodjob_notes AS n (job_id, done, total, text, result, attempt, noted_at)
SELECT g.id, $4::bigint, $5::bigint, $6::text, $7::jsonb, g.executions_count, now()
FROM good_jobs g
WHERE g.id = $1::uuid AND g.performed_at = $2::timestamptz AND g.executions_count = $3::int
  AND g.finished_at IS NULL
ON CONFLICT (job_id) DO UPDATE SET
  done = CASE WHEN $8::boolean THEN EXCLUDED.done ELSE n.done END,
  total = CASE WHEN $8::boolean THEN EXCLUDED.total ELSE n.total END,
  text = CASE WHEN $8::boolean THEN EXCLUDED.text ELSE n.text END,
  result = CASE WHEN $8::boolean THEN n.result ELSE EXCLUDED.result END,
  attempt = EXCLUDED.attempt, noted_at = EXCLUDED.noted_at;
