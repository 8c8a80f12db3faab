-- Which of these jobs are stored already: a call that is repeated is not stopped by what it stored itself.
SELECT id FROM good_jobs WHERE id = ANY($1::uuid[]);
