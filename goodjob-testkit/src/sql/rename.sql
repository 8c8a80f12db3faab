-- Rails' `table_name_prefix`, or a schema of the application's own. Both come from settings of this
-- session, since names cannot be parameters. The names of indexes stay: migrations of the gem spell them out.
DO $$
DECLARE
  found name;
  prefix text := current_setting('testkit.prefix');
  namespace text := current_setting('testkit.namespace');
BEGIN
  EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', namespace);
  FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'good\_job%'
  LOOP
    EXECUTE format('ALTER TABLE %I SET SCHEMA %I', found, namespace);
    EXECUTE format('ALTER TABLE %I.%I RENAME TO %I', namespace, found, prefix || found);
  END LOOP;
END $$;
