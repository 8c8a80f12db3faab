-- One look of the sweep: batches that are not finished, by id, and whether what they wait for is over. An
-- index holds just these (0005_open_batches); without it the primary key is read, and finished ones skipped.
WITH page AS MATERIALIZED (
  SELECT b.id, b.updated_at, b.enqueued_at,
         b.jobs_finished_at -- if jobs_finished_at
         -- unless jobs_finished_at: b.finished_at AS jobs_finished_at
  FROM good_job_batches b
  WHERE b.finished_at IS NULL AND b.id > COALESCE($1::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
  ORDER BY b.id LIMIT $2::bigint
)
SELECT p.id, p.updated_at::timestamptz AS updated_at,
       CASE WHEN p.jobs_finished_at IS NOT NULL THEN NOT EXISTS (SELECT FROM (
              SELECT j.finished_at FROM good_jobs j WHERE j.batch_callback_id = p.id OFFSET 0) AS c
              WHERE c.finished_at IS NULL)
            WHEN p.enqueued_at IS NULL THEN false
            ELSE NOT EXISTS (SELECT FROM (
              SELECT j.finished_at FROM good_jobs j WHERE j.batch_id = p.id OFFSET 0) AS m
              WHERE m.finished_at IS NULL) END AS stuck
FROM page p ORDER BY p.id;
