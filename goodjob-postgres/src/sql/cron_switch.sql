-- Puts a key (`$1`) into the list `$2` and takes it out of the other, in one statement: the gem reads the
-- lists, changes them and writes them back, and so loses what another writes meanwhile. Here each row is
-- locked and then changed in its newest version. Both rows are written, in one order, so that two such
-- statements wait for each other and never in a circle. A value that is no list is replaced by one.
INSERT INTO good_job_settings AS setting (created_at, updated_at, key, value)
SELECT now(), now(), list, CASE WHEN list = $2::text THEN jsonb_build_array($1::text) ELSE '[]' END
FROM (VALUES ('cron_keys_disabled'), ('cron_keys_enabled')) AS lists(list)
ORDER BY list
ON CONFLICT (key) DO UPDATE
SET updated_at = now(),
    value = (CASE WHEN jsonb_typeof(setting.value) = 'array' THEN setting.value ELSE '[]' END - $1::text)
            || EXCLUDED.value;
