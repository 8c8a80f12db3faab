-- Releases the locks with these keys: of jobs whose end is committed (see unlock.sql), or what the session holds
-- and the process does not know.
SELECT count(*) FILTER (WHERE pg_advisory_unlock(key)) AS unlocked FROM unnest($1::bigint[]) AS key;
