-- Whether goodjob has ever migrated this database.
SELECT to_regclass('goodjob_migrations') IS NOT NULL AS exists;
