-- Indexes of the given names that a build left unfinished. IF NOT EXISTS would take them for made.
SELECT format('DROP INDEX %I', c.relname) AS statement
FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relname = ANY($1::text[]) AND NOT i.indisvalid AND pg_table_is_visible(c.oid);
