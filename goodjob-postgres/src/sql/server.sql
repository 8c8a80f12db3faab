-- What the server is, as far as a worker depends on it.
SELECT current_setting('server_version_num')::int AS version,
       pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS read_only,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('max_locks_per_transaction')::bigint
         * (current_setting('max_connections')::bigint
            + current_setting('max_prepared_transactions')::bigint) AS max_locks,
       current_setting('max_connections')::int AS max_connections,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
       pg_notification_queue_usage() AS notify_queue_usage;
