-- The columns of the gem's tables as they are found, for what is missing to be named.
SELECT t.name AS table_name, a.attname::text AS column_name
FROM unnest($1::text[]) AS t(name)
JOIN pg_attribute a ON a.attrelid = to_regclass(t.name) AND a.attnum > 0 AND NOT a.attisdropped;
