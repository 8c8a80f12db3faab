-- Rows from one JSON array. The table's own type reads them, so that each column gets its type, times with
-- and without a zone alike, and a key for which older tables have no column is passed over.
INSERT INTO good_jobs SELECT * FROM jsonb_populate_recordset(NULL::good_jobs, $1::jsonb);
