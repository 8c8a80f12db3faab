-- Locks what is counted, by the gem's keys, until the end of the transaction. In one order, so that two who
-- need several wait for each other only once. A statement of its own: what is counted next has to be read
-- after the wait.
SELECT count(pg_advisory_xact_lock(key)) > 0 AS locked FROM (
  SELECT DISTINCT ('x' || substr(md5(name), 1, 16))::bit(64)::bigint AS key
  FROM unnest($1::text[]) AS name ORDER BY key) AS keys;
