-- What jobs say about themselves while they run: how far they are, and what came of them. A table of our
-- own, made only by name, since the gem's columns have their meaning (adr/0030).
--
-- A note goes with its job, whoever deletes that: a clean-up, a person, Ruby. The key to good_jobs needs a
-- lock on that table for a moment; rather than let every writer queue behind a long transaction, it is
-- given up after 3 seconds and may be tried again.
SET LOCAL lock_timeout = '3s';
CREATE TABLE IF NOT EXISTS goodjob_notes (
  job_id uuid NOT NULL PRIMARY KEY REFERENCES good_jobs (id) ON DELETE CASCADE,
  done bigint,
  total bigint,
  text text,
  result jsonb,
  attempt integer NOT NULL,
  noted_at timestamptz NOT NULL
);
