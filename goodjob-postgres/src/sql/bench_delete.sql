-- The limit of ending jobs that are not kept: their rows go, and they have no others.
DELETE FROM good_jobs WHERE id = ANY($1::uuid[]);
