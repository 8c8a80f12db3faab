-- The time by which jobs are due.
SELECT now();
