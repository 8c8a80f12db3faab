-- Rails' `datetime_type = :timestamptz`: every time of the gem's tables with its zone (wire contract 1.1).
-- The times that are there are UTC.
DO $$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT table_schema, table_name, column_name FROM information_schema.columns
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_name LIKE '%good\_job%'
      AND data_type = 'timestamp without time zone'
  LOOP
    EXECUTE format('ALTER TABLE %I.%I ALTER COLUMN %I TYPE timestamptz(6) USING %3$I AT TIME ZONE ''UTC''',
                   found.table_schema, found.table_name, found.column_name);
  END LOOP;
END $$;
