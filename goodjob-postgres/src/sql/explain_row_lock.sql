-- The session whose open transaction has the job's row: claims pass such a row over without waiting. A row's
-- xmax names the transaction that wrote or locked it last, and pg_locks who has that open. Nothing is locked
-- to find out. Where several share the row, xmax names their group, and none of them is found.
SELECT l.pid, a.application_name AS application, host(a.client_addr) AS client, true AS held
FROM good_jobs g
JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = g.xmax AND l.granted
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE g.id = $1::uuid AND l.pid <> pg_backend_pid();
