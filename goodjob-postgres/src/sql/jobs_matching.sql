-- Head of every read of jobs: those that a filter wants, each with its one state.
--
-- The states are the tabs of the gem's dashboard (wire contract 5), made to take in every row exactly
-- once: `executions` may be anything, and only a number counts; a row without a time waits for ever;
-- one that runs is not also waiting. It is what JobRecord::state says of a row that was read.
--
-- Every condition that is not asked for has a parameter that switches it off. `$2` to `$4` say roughly
-- what `$1` says exactly: planned with their values they become the predicates of partial indexes, which
-- the CASE never could. Hence the statements are planned anew each time, and not kept prepared.
-- Texts are compared by strpos, for which % and _ are letters like others. `$10` is the text as it stands
-- in JSON, where quotes are escaped. 262,144 characters are as far as the gem's search looks.
WITH matching AS (
  SELECT g.*, s.state
  FROM good_jobs g, LATERAL (
    SELECT CASE
      WHEN g.finished_at IS NOT NULL THEN CASE WHEN g.error IS NULL THEN 'succeeded' ELSE 'discarded' END
      WHEN g.performed_at IS NOT NULL THEN 'running'
      WHEN g.scheduled_at <= now() THEN 'queued'
      WHEN CASE WHEN jsonb_typeof(g.serialized_params->'executions') = 'number'
                THEN (g.serialized_params->>'executions')::numeric > 1 END THEN 'retried'
      ELSE 'scheduled' END AS state
  ) s
  WHERE ($1::text[] IS NULL OR s.state = ANY($1::text[]))
    AND ($2::boolean OR g.finished_at IS NOT NULL)
    AND ($3::boolean OR g.finished_at IS NULL)
    AND ($4::boolean OR g.finished_at IS NULL OR g.error IS NOT NULL)
    AND ($5::text IS NULL OR g.queue_name = $5::text)
    AND (NOT $6::boolean OR g.queue_name IS NULL)
    AND ($7::text IS NULL OR g.job_class = $7::text)
    AND ($8::text[] IS NULL OR g.labels @> $8::text[])
    AND ($9::text IS NULL
         OR strpos(g.id::text, lower($9::text)) > 0
         OR strpos(lower(left(g.serialized_params->>'arguments', 262144)), lower($9::text)) > 0
         OR strpos(lower(left(g.serialized_params->>'arguments', 262144)), lower($10::text)) > 0
         OR strpos(lower(left(g.error, 262144)), lower($9::text)) > 0)
    AND ($11::uuid[] IS NULL OR g.id = ANY($11::uuid[]))
    AND ($12::float8 IS NULL OR g.created_at <= now() - make_interval(secs => $12::float8))
    AND ($13::float8 IS NULL OR g.created_at >= now() - make_interval(secs => $13::float8))
)
