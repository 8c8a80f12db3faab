-- Wire contract 4.4, in T3, of a job that is not kept.
DELETE FROM good_jobs WHERE id = $1::uuid;
