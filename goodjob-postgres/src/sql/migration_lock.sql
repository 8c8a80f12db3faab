-- One migration at a time in a database. Asked again and again, not waited for: a session that waits
-- holds a snapshot, and CREATE INDEX CONCURRENTLY waits for that. The number is goodjob's own.
SELECT pg_try_advisory_lock(7301482003911) AS locked;
