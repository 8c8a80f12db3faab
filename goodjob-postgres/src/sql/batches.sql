-- Batches for a person, newest first, with counts of their jobs. No index is for this order: a page reads
-- the table of batches, which is small beside that of jobs, and counts only for what it shows.
WITH page AS MATERIALIZED (
  SELECT b.*,
         CASE WHEN b.discarded_at IS NOT NULL THEN 'discarded'
              WHEN b.finished_at IS NOT NULL THEN 'succeeded'
              WHEN b.jobs_finished_at IS NOT NULL THEN 'jobs_finished' -- if jobs_finished_at
              WHEN b.enqueued_at IS NOT NULL THEN 'enqueued'
              ELSE 'collecting' END AS state
  FROM good_job_batches b
  WHERE ($1::uuid IS NULL OR b.id = $1::uuid)
    AND ($3::text IS NULL OR position(lower($3::text) IN lower(COALESCE(b.description, ''))) > 0)
    AND ($4::uuid IS NULL
         OR (b.created_at, b.id) < (SELECT a.created_at, a.id FROM good_job_batches a WHERE a.id = $4::uuid))
), shown AS MATERIALIZED (
  SELECT page.* FROM page WHERE $2::text IS NULL OR state = $2::text
  ORDER BY created_at DESC, id DESC LIMIT $5::bigint
)
SELECT b.id, b.description, b.serialized_properties, b.on_finish, b.on_success, b.on_discard,
       b.callback_queue_name, b.callback_priority,
       b.created_at::timestamptz AS created_at, b.updated_at::timestamptz AS updated_at,
       b.enqueued_at::timestamptz AS enqueued_at, b.discarded_at::timestamptz AS discarded_at,
       b.jobs_finished_at::timestamptz AS jobs_finished_at, -- if jobs_finished_at
       -- unless jobs_finished_at: b.finished_at::timestamptz AS jobs_finished_at,
       b.finished_at::timestamptz AS finished_at,
       jobs.number AS jobs, jobs.open AS open_jobs, jobs.discarded AS discarded_jobs,
       callbacks.number AS callbacks, callbacks.open AS open_callbacks
FROM shown b
CROSS JOIN LATERAL (
  SELECT count(*) AS number, count(*) FILTER (WHERE j.finished_at IS NULL) AS open,
         count(*) FILTER (WHERE j.finished_at IS NOT NULL AND j.error IS NOT NULL) AS discarded
  FROM good_jobs j WHERE j.batch_id = b.id) AS jobs
CROSS JOIN LATERAL (
  SELECT count(*) AS number, count(*) FILTER (WHERE j.finished_at IS NULL) AS open
  FROM good_jobs j WHERE j.batch_callback_id = b.id) AS callbacks
ORDER BY b.created_at DESC, b.id DESC;
