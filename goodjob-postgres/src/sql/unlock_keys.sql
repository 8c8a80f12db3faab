-- Releases locks that the session holds and the process does not know: a statement that was cancelled
-- keeps the locks that it had taken (failure model M6).
SELECT count(*) FILTER (WHERE pg_advisory_unlock(key)) AS unlocked FROM unnest($1::bigint[]) AS key;
