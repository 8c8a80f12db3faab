-- Pauses a queue, a class or a label (`$1` is `queues`, `job_classes` or `labels`) in one statement, so that
-- pauses at the same time all stay: the gem reads, changes and writes back (finding F-5). What is no list is
-- replaced by one, since the gem's workers fail on it. Says whether it was paused before.
INSERT INTO good_job_settings AS s (created_at, updated_at, key, value)
VALUES (now(), now(), 'pauses',
        '{"queues": [], "job_classes": [], "labels": []}'::jsonb || jsonb_build_object($1::text, jsonb_build_array($2::text)))
ON CONFLICT (key) DO UPDATE SET
  updated_at = now(),
  value = CASE WHEN jsonb_typeof(s.value) = 'object' THEN s.value ELSE '{}' END
          || jsonb_build_object($1::text,
               CASE WHEN jsonb_typeof(s.value->$1::text) IS DISTINCT FROM 'array' THEN jsonb_build_array($2::text)
                    WHEN s.value->$1::text ? $2::text THEN s.value->$1::text
                    ELSE (s.value->$1::text) || to_jsonb($2::text) END);
