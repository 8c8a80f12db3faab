-- Rows from one JSON array. The table's own type reads them, so that each column gets its type, times with
-- and without a zone alike, and a key for which older tables have no column is passed over.
INSERT INTO good_job_executions SELECT * FROM jsonb_populate_recordset(NULL::good_job_executions, $1::jsonb);
