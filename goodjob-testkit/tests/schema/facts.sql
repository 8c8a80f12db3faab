-- Every column and index, one a line, as the server itself writes them.
SELECT fact FROM (
  SELECT t.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
         || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
         || COALESCE(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') AS fact
  FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
  WHERE t.relkind = 'r' AND t.relnamespace = $1::text::regnamespace
  UNION ALL
  SELECT indexdef FROM pg_indexes WHERE schemaname = $1::text
) AS facts ORDER BY fact COLLATE "C"
