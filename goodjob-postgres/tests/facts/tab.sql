-- The tabs of the gem's dashboard that list a job (wire contract 5).
SELECT tab
FROM good_jobs
CROSS JOIN LATERAL (VALUES
  ('scheduled', finished_at IS NULL AND scheduled_at > now() AND (serialized_params->>'executions')::integer < 2),
  ('retried', finished_at IS NULL AND scheduled_at > now() AND (serialized_params->>'executions')::integer > 1),
  ('queued', performed_at IS NULL AND finished_at IS NULL AND scheduled_at <= now()),
  ('running', performed_at IS NOT NULL AND finished_at IS NULL),
  ('succeeded', finished_at IS NOT NULL AND error IS NULL),
  ('discarded', finished_at IS NOT NULL AND error IS NOT NULL)) AS tabs(tab, lists)
WHERE id = $1 AND lists
