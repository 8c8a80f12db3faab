-- Head of every read of jobs: those that a filter wants, each with its one state.
--
-- The states are the tabs of the gem's dashboard (wire contract 5), made to take in every row exactly
-- once: `executions` may be anything, and only a number counts; a row without a time waits for ever;
-- one that runs is not also waiting. It is what JobRecord::state says of a row that was read.
--
-- Every condition that is not asked for has a parameter that switches it off. `$1` to `$6` ask for the
-- states. The lines after them say nothing new, but in words that become the predicates of partial
-- indexes once the values are known, which the CASE never could. Hence the statements are planned anew
-- each time, and not kept prepared. A state is left out by `<>` and not taken in by `=`, since of that
-- the planner expects next to no rows, and then sorts all that are left for each batch of a bulk action.
-- That an unfinished job has an owner or none leads to the two indexes that have the one and the other.
-- Texts are compared by strpos, for which % and _ are letters like others. `$12` is the text as it stands
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
  WHERE ($1::boolean OR s.state <> 'scheduled') AND ($2::boolean OR s.state <> 'retried')
    AND ($3::boolean OR s.state <> 'queued') AND ($4::boolean OR s.state <> 'running')
    AND ($5::boolean OR s.state <> 'succeeded') AND ($6::boolean OR s.state <> 'discarded')
    AND ($1::boolean OR $2::boolean OR $3::boolean OR $4::boolean OR g.finished_at IS NOT NULL)
    AND ($5::boolean OR $6::boolean OR g.finished_at IS NULL)
    AND ($5::boolean OR $6::boolean OR g.locked_by_id IS NULL OR g.locked_by_id IS NOT NULL)
    AND ($5::boolean OR g.finished_at IS NULL OR g.error IS NOT NULL)
    AND ($1::boolean OR $2::boolean OR $3::boolean OR $4::boolean OR $5::boolean OR g.error IS NOT NULL)
    AND ($7::text IS NULL OR g.queue_name = $7::text)
    AND (NOT $8::boolean OR g.queue_name IS NULL)
    AND ($9::text IS NULL OR g.job_class = $9::text)
    AND ($10::text[] IS NULL OR g.labels @> $10::text[])
    AND ($11::text IS NULL
         OR strpos(g.id::text, lower($11::text)) > 0
         OR strpos(lower(left(g.serialized_params->>'arguments', 262144)), lower($11::text)) > 0
         OR strpos(lower(left(g.serialized_params->>'arguments', 262144)), lower($12::text)) > 0
         OR strpos(lower(left(g.error, 262144)), lower($11::text)) > 0)
    AND ($13::uuid[] IS NULL OR g.id = ANY($13::uuid[]))
    AND ($14::float8 IS NULL OR g.created_at <= now() - make_interval(secs => $14::float8))
    AND ($15::float8 IS NULL OR g.created_at >= now() - make_interval(secs => $15::float8))
)
