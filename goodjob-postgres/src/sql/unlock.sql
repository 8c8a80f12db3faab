-- Releases the advisory locks of jobs whose end is committed. Runs on the lock session, in a
-- transaction of its own: unlocking before the commit would show others the row as it was.
-- For keys that the server alone can make; otherwise there is unlock_keys.sql.
SELECT count(*) FILTER (WHERE pg_advisory_unlock(
         ('x' || substr(md5('good_jobs-' || id::text), 1, 16))::bit(64)::bigint)) AS unlocked
FROM unnest($1::uuid[]) AS id;
