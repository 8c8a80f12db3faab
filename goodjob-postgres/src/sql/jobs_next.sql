-- The next jobs of a bulk action, in the order of their ids, in which none comes twice whatever is
-- written to it. What was enqueued since the start (`$16`) is left alone, so that the action ends while
-- new jobs arrive. The gem's retries count as new: they write `created_at`.
SELECT id FROM matching
WHERE created_at <= $16::timestamptz AND ($17::uuid IS NULL OR id > $17::uuid)
ORDER BY id
LIMIT $18::bigint;
