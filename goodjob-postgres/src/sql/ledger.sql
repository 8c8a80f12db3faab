-- The migrations that were applied.
SELECT name FROM goodjob_migrations ORDER BY name;
