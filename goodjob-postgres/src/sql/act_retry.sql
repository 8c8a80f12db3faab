-- Makes discarded jobs due again, as the gem's dashboard does (wire contract 6.1), but for `created_at`:
-- the age of a job stays visible. The error stays until an attempt succeeds. The envelope gets its times
-- anew in the form that it has them in, as in settle.sql. An `executions` that is no count is taken for 0,
-- and an envelope that is no object for an empty one.
, written AS (
  UPDATE good_jobs g SET
    serialized_params =
      CASE WHEN jsonb_typeof(g.serialized_params) = 'object' THEN g.serialized_params ELSE '{}' END
      || jsonb_build_object(
           'executions', 1 + CASE WHEN jsonb_typeof(g.serialized_params->'executions') = 'number'
                                   AND g.serialized_params->>'executions' ~ '^[0-9]{1,9}$'
                                  THEN (g.serialized_params->>'executions')::int ELSE 0 END,
           'provider_job_id', g.id)
      || CASE WHEN jsonb_typeof(g.serialized_params) = 'object' AND g.serialized_params ? 'scheduled_at'
              THEN jsonb_build_object(
                'enqueued_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '000Z',
                'scheduled_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '000Z')
              ELSE jsonb_build_object(
                'enqueued_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) END,
    -- unless by_scheduled_at: created_at = now(),
    scheduled_at = now(), performed_at = NULL, finished_at = NULL, error_event = 3, updated_at = now()
  FROM locked l WHERE g.id = l.id
  RETURNING g.id, g.queue_name, g.scheduled_at
)
