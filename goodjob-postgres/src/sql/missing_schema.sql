-- The statement that makes a schema, if it is not there. Asked first, since IF NOT EXISTS needs the right to
-- create one even where it is there.
SELECT format('CREATE SCHEMA IF NOT EXISTS %I', $1::text) AS statement
WHERE to_regnamespace(quote_ident($1::text)) IS NULL;
