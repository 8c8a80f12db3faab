-- Notes a migration as applied. Two processes may have done the same one: every step is idempotent.
INSERT INTO goodjob_migrations (name) VALUES ($1::text) ON CONFLICT (name) DO NOTHING;
