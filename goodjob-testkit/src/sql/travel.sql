-- Lets $1 seconds pass, by moving back every moment that jobs, attempts and batches know of: due times come
-- nearer, and what happened is longer ago. It is one statement, so that nobody sees half of it.
-- A job that is being done stays, with its open attempt: `performed_at` is the fence of the attempt, which
-- could not be written down any more. `cron_at` stays: it names a tick, for which no second job may be stored.
-- Processes stay, since they live now. The lines that end in a mark are left out where the column is missing.
WITH span AS MATERIALIZED (
  SELECT make_interval(secs => $1::float8) AS passed
), jobs AS (
  UPDATE good_jobs SET
    created_at = created_at - passed,
    scheduled_at = scheduled_at - passed,
    performed_at = performed_at - passed,
    finished_at = finished_at - passed
  FROM span WHERE performed_at IS NULL OR finished_at IS NOT NULL
), executions AS (
  UPDATE good_job_executions SET
    created_at = created_at - passed,
    scheduled_at = scheduled_at - passed,
    finished_at = finished_at - passed
  FROM span WHERE finished_at IS NOT NULL
), batches AS (
  UPDATE good_job_batches SET
    created_at = created_at - passed,
    enqueued_at = enqueued_at - passed,
    discarded_at = discarded_at - passed,
    jobs_finished_at = jobs_finished_at - passed, -- if jobs_finished_at
    finished_at = finished_at - passed
  FROM span
)
-- A notice without a queue is for every worker, which then looks for what is due.
SELECT pg_notify('good_job', '{}');
