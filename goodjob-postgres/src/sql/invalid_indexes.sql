-- Indexes of the given names that a build left unfinished. IF NOT EXISTS would take them for made.
SELECT format('DROP INDEX %s', c.oid::regclass) AS statement
FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relname = ANY($1::text[]) AND NOT i.indisvalid
  AND i.indrelid IN (to_regclass('good_jobs'), to_regclass('good_job_executions'), to_regclass('good_job_settings'));
