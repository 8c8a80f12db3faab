-- Tail of the count of attempts that stand before one (`$2` its job, `$3` its start): the gem's query (wire
-- contract 10.3) lets the first ones by their start begin. A claim that commits late may be the first by its
-- start and see others that have begun already, which that query lets through. So an attempt that has begun
-- stands before all that have not, and is known by `locked_at`: the claim writes it equal to `performed_at`,
-- and limit_admit.sql later. Rows of the gem go by either.
SELECT count(*) FROM scope j
WHERE j.performed_at IS NOT NULL AND j.finished_at IS NULL AND j.id <> $2::uuid
  AND (j.locked_at IS DISTINCT FROM j.performed_at OR (j.performed_at, j.id) < ($3::timestamptz, $2::uuid));
