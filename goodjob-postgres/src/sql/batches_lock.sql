-- Takes the locks of batches until the end of the transaction, under the gem's key (wire contract 9.4), and
-- waits for them: two that finish the last jobs of a batch at once come one after the other. In the order of
-- the keys, so that two that want several cannot wait for each other. A statement of its own, since what is
-- read under the lock has to be read by a snapshot that was taken after it.
SELECT count(pg_advisory_xact_lock(keys.key)::text) AS locks
FROM (
  SELECT DISTINCT ('x' || substr(md5('good_job_batches-' || id::text), 1, 16))::bit(64)::bigint AS key
  FROM unnest($1::uuid[]) AS ids(id) ORDER BY key OFFSET 0) AS keys;
