-- What the setting of pauses holds that is not as the gem writes it, for a warning: an object of lists of
-- texts. No row when all is well. The gem's own workers fail on such a value at every claim.
SELECT s.value::text AS value
FROM good_job_settings s
WHERE s.key = 'pauses' AND s.value IS NOT NULL
  AND (jsonb_typeof(s.value) <> 'object'
       OR EXISTS (SELECT FROM jsonb_each(CASE WHEN jsonb_typeof(s.value) = 'object' THEN s.value ELSE '{}' END) AS k(kind, names)
                  WHERE kind IN ('queues', 'job_classes', 'labels') AND (jsonb_typeof(names) <> 'array' OR names @> '[null]')));
