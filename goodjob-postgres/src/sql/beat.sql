-- Registers this process, or says that it still lives. `lock_type` stays NULL, so that the gem judges
-- it by this heartbeat and not by a lock that might blink. `born` tells that the row was not there.
INSERT INTO good_job_processes (id, created_at, updated_at, state)
VALUES ($1::uuid, now(), now(), $2::jsonb)
ON CONFLICT (id) DO UPDATE SET updated_at = now(), state = EXCLUDED.state
RETURNING clock_timestamp() AS now, xmax = 0 AS born;
