-- What the attempts at a job have said. Not a part of jobs_show.sql: the table need not be there.
SELECT done, total, text, result, attempt, noted_at FROM goodjob_notes WHERE job_id = $1::uuid;
