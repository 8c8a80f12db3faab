-- Writes the owner of running attempts again where somebody's clean-up has taken it for dead: a Ruby
-- host whose clock is ahead, or one that met our process row between two lives (wire contract F9).
UPDATE good_jobs g SET
  lock_type = $5::smallint, -- if lock_type
  locked_by_id = $4::uuid, locked_at = now()
FROM unnest($1::uuid[], $2::timestamptz[], $3::int[]) AS d(id, performed_at, executions_count)
WHERE g.id = d.id AND g.performed_at = d.performed_at AND g.executions_count = d.executions_count
  AND g.locked_by_id IS NULL AND g.finished_at IS NULL
RETURNING g.id;
