-- The columns of the gem's tables as they are found, for what is missing to be named. Tables come back
-- by their place in the question, since their names may carry a schema and a prefix.
SELECT t.place - 1 AS place, a.attname::text AS column_name
FROM unnest($1::text[]) WITH ORDINALITY AS t(name, place)
JOIN pg_attribute a ON a.attrelid = to_regclass(t.name) AND a.attnum > 0 AND NOT a.attisdropped;
