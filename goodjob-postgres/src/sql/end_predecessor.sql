-- Ends the former session of the same name, which the server may not have noticed to be dead and which
-- would hold the locks that are to be taken again. A role may end its own sessions. Ending is a signal
-- and takes a moment: asked again, the statement tells how many are left, whose locks go before they do.
SELECT count(pg_terminate_backend(pid)) AS remaining
FROM pg_stat_activity
WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()
  AND usename = current_user AND datname = current_database();
