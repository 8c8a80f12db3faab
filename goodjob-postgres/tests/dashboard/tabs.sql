-- The tabs of the list of jobs, and the numbers above it, by the gem's predicates (wire contract 5). The
-- cast is the gem's too: one waiting row whose `executions` is no integer fails the page for all rows.
SELECT 'scheduled' AS state, count(*) AS jobs FROM good_jobs
WHERE finished_at IS NULL AND scheduled_at > now() AND (serialized_params->>'executions')::integer < 2
UNION ALL
SELECT 'retried', count(*) FROM good_jobs
WHERE finished_at IS NULL AND scheduled_at > now() AND (serialized_params->>'executions')::integer > 1
UNION ALL
SELECT 'queued', count(*) FROM good_jobs
WHERE performed_at IS NULL AND finished_at IS NULL AND scheduled_at <= now()
UNION ALL
SELECT 'running', count(*) FROM good_jobs WHERE performed_at IS NOT NULL AND finished_at IS NULL
UNION ALL
SELECT 'succeeded',
       count(*) - count(*) FILTER (WHERE finished_at IS NULL OR error IS NOT NULL) FROM good_jobs
UNION ALL
SELECT 'discarded', count(*) FROM good_jobs WHERE finished_at IS NOT NULL AND error IS NOT NULL
