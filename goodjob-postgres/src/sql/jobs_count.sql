-- How many there are, how many of them were enqueued by now, and when that is: the set that a bulk
-- action works through.
SELECT count(*) AS jobs, count(*) FILTER (WHERE created_at <= now()) AS enqueued, now() AS now
FROM matching;
