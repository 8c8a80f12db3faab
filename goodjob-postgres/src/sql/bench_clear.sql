-- Removes rows of these classes (`$3`), with their attempts, in the order of their ids: `$4` at most, above
-- `$1` and below `$2`, and answers with how many they were and the last id, from where the next call goes on.
-- Ids are ordered by the time at which they were made: only what came since then is read, in a table of
-- whatever size. A call takes a moment, so that nobody waits long for the rows.
WITH chosen AS MATERIALIZED (
  SELECT id FROM good_jobs
  WHERE id > $1::uuid AND id < $2::uuid AND job_class = ANY($3::text[])
  ORDER BY id LIMIT $4::bigint
), gone AS (
  DELETE FROM good_jobs WHERE id = ANY(ARRAY(SELECT id FROM chosen))
), attempts AS (
  DELETE FROM good_job_executions WHERE active_job_id = ANY(ARRAY(SELECT id FROM chosen))
)
SELECT count(*) AS gone, (array_agg(id ORDER BY id DESC))[1] AS last FROM chosen;
