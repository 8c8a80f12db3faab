-- The ledger of goodjob's own migrations. Never sqlx's table, which belongs to the application.
CREATE TABLE IF NOT EXISTS goodjob_migrations (
  name text NOT NULL PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT now()
);
