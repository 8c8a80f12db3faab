-- The keys that a person has switched on or off, always one row. Asked at every tick by every process, and
-- so in one round. What is no list of texts, which the gem does not write, is no key.
SELECT COALESCE(array_agg(element #>> '{}') FILTER (WHERE key = 'cron_keys_enabled'), '{}') AS enabled,
       COALESCE(array_agg(element #>> '{}') FILTER (WHERE key = 'cron_keys_disabled'), '{}') AS disabled
FROM good_job_settings,
     jsonb_array_elements(CASE WHEN jsonb_typeof(value) = 'array' THEN value ELSE '[]' END) AS element
WHERE key IN ('cron_keys_enabled', 'cron_keys_disabled') AND jsonb_typeof(element) = 'string';
