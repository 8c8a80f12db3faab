-- Which batches still have a job that is not over, so that the end of another one changes nothing: most ends,
-- and they take no lock. A job that is found open is a witness, and asked for again by its key the next time:
-- else each end would read all jobs of the batch. It is the one that will be claimed last, so that it lasts.
--
-- No lock is needed to see an open job: whoever ends it looks after its own commit. That a batch is not
-- enqueued yet does not count here: who enqueues it may just be looking, too.
SELECT e.batch, COALESCE(known.id, found.id) AS witness
FROM unnest($1::uuid[], $2::uuid[]) AS e(batch, witness)
LEFT JOIN LATERAL (
  SELECT j.id FROM good_jobs j
  WHERE j.id = e.witness AND j.batch_id = e.batch AND j.finished_at IS NULL OFFSET 0) AS known ON true
LEFT JOIN LATERAL (
  SELECT m.id FROM (
    SELECT j.id, j.priority, j.scheduled_at, j.finished_at FROM good_jobs j
    WHERE known.id IS NULL AND j.batch_id = e.batch OFFSET 0) AS m
  WHERE m.finished_at IS NULL
  ORDER BY m.priority DESC NULLS FIRST, m.scheduled_at DESC, m.id DESC LIMIT 1) AS found ON true
WHERE known.id IS NOT NULL OR found.id IS NOT NULL;
