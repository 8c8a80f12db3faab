-- The search box: full text over ids, envelope, arguments, error and labels (wire contract 5).
SELECT id FROM good_jobs
WHERE (to_tsvector('english', id::text)
       || to_tsvector('english', COALESCE(active_job_id::text, ''))
       || to_tsvector('english', serialized_params)
       || to_tsvector('english', left(COALESCE(serialized_params->>'arguments', ''), 262144))
       || to_tsvector('english', left(COALESCE(error, ''), 262144))
       || to_tsvector('english', COALESCE(array_to_string(labels, ' '), '')))
      @@ websearch_to_tsquery('english', $1::text)
