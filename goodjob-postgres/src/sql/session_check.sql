-- Whether this is still the session that was set up, on a server that accepts writes: a pooler that
-- swaps sessions between transactions loses the variable, and with it every lock.
SELECT current_setting('goodjob.session', true) IS NOT DISTINCT FROM $1::text
         AND current_setting('TimeZone') = 'UTC' AS same,
       pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS read_only;
