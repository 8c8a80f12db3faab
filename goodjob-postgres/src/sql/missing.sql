-- Which of these tables, indexes and schemas are not there, by their places. An index is looked for on the
-- tables, since another schema may have one of the same name.
SELECT w.place - 1 AS place
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(kind, name, place)
WHERE NOT CASE w.kind
  WHEN 'schema' THEN to_regnamespace(quote_ident(w.name)) IS NOT NULL
  WHEN 'table' THEN to_regclass(w.name) IS NOT NULL
  ELSE EXISTS (
    SELECT FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relname = w.name
      AND i.indrelid IN (to_regclass('good_jobs'), to_regclass('good_job_executions'), to_regclass('good_job_settings')))
  END;
