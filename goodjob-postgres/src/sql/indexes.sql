-- The indexes of the given names, and whether each can be used.
SELECT c.relname::text AS name, i.indisvalid AS valid
FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relname = ANY($1::text[])
  AND i.indrelid IN (to_regclass('good_jobs'), to_regclass('good_job_executions'), to_regclass('good_job_settings'),
                     to_regclass('good_job_batches'));
