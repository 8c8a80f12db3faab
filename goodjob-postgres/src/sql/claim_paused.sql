-- What is paused, read once a claim: one row, whatever the setting holds. A key that is missing or no
-- list, and a name that is null, pause nothing: the gem's claims fail on the one and find nothing at the
-- other (wire contract 3.3). A job without a queue or labels is not paused by those of others, either.
WITH paused AS MATERIALIZED (
  SELECT count(*) > 0 AS something,
         COALESCE(array_agg(name) FILTER (WHERE kind = 'queues'), '{}') AS queues,
         COALESCE(array_agg(name) FILTER (WHERE kind = 'job_classes'), '{}') AS classes,
         COALESCE(array_agg(name) FILTER (WHERE kind = 'labels'), '{}') AS labels
  FROM good_job_settings s
  CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(s.value) = 'object' THEN s.value ELSE '{}' END)
    AS kinds(kind, names)
  CROSS JOIN LATERAL jsonb_array_elements_text(CASE WHEN jsonb_typeof(names) = 'array' THEN names ELSE '[]' END)
    AS name
  WHERE s.key = 'pauses' AND name IS NOT NULL
)
