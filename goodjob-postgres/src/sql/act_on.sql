-- Head of every action of a person on jobs: takes the jobs that may be acted on, and waits for nobody.
--
-- The rows are locked first, in id order; from then on nobody can start, end or change one of them, and
-- the precondition (`$2`, wire contract 6) was judged on the newest version of the row. Then comes the
-- advisory lock, which the gem's default strategy holds while a job runs, and an owner, who may have no
-- lock (`skiplocked`). The try-lock stands in a materialised CTE over rows that are locked already, as
-- in claim_start.sql, and in a CASE, so that a forced discard (`$3`), which goes by neither lock nor
-- owner as in the gem, leaves it alone.
--
-- FOR UPDATE, which a deletion needs: one that had to raise a weaker lock could wait for a foreign key of
-- the application's.
--
-- A lock of the transaction is enough here: no job runs under it, so nothing has to outlive the commit.
-- It excludes session locks and is excluded by them; the server releases it just after the commit has
-- become visible, which is the order that wire contract 0.20 asks for; and it cannot leak into a pool.
WITH seen AS MATERIALIZED (
  SELECT id, CASE $2::text WHEN 'unfinished' THEN finished_at IS NULL
                           WHEN 'finished' THEN finished_at IS NOT NULL
                           ELSE finished_at IS NOT NULL AND error IS NOT NULL END AS fits
  FROM good_jobs WHERE id = ANY($1::uuid[])
), present AS MATERIALIZED (
  SELECT id FROM good_jobs
  WHERE id = ANY($1::uuid[])
    AND CASE $2::text WHEN 'unfinished' THEN finished_at IS NULL
                      WHEN 'finished' THEN finished_at IS NOT NULL
                      ELSE finished_at IS NOT NULL AND error IS NOT NULL END
    AND ($3::boolean OR locked_by_id IS NULL)
  ORDER BY id
  FOR UPDATE SKIP LOCKED
), locked AS MATERIALIZED (
  SELECT id FROM present
  WHERE CASE WHEN $3::boolean THEN true
     ELSE pg_try_advisory_xact_lock(('x' || substr(md5('good_jobs-' || id::text), 1, 16))::bit(64)::bigint) END
)
