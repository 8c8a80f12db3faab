-- Finished jobs, counted up to 10,001 each: a table may keep millions, and nobody reads more digits.
SELECT (SELECT count(*) FROM (SELECT FROM good_jobs WHERE finished_at IS NOT NULL AND error IS NULL
                              LIMIT 10001) AS s) AS succeeded,
       (SELECT count(*) FROM (SELECT FROM good_jobs WHERE finished_at IS NOT NULL AND error IS NOT NULL
                              LIMIT 10001) AS d) AS discarded;
