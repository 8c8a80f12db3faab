-- Settles a session that holds locks: it must neither be closed for being idle nor outlive its client.
-- Joined with pg_settings because older servers do not know every one of these.
SELECT set_config(name, value, false)
FROM (VALUES ('idle_session_timeout', '0'),
             ('idle_in_transaction_session_timeout', '0'),
             ('statement_timeout', '5000'),
             ('lock_timeout', '0'),
             ('TimeZone', 'UTC'),
             ('client_connection_check_interval', '2000'),
             ('tcp_keepalives_idle', '5'),
             ('tcp_keepalives_interval', '5'),
             ('tcp_keepalives_count', '3'),
             ('tcp_user_timeout', '15000')) AS wanted(name, value)
JOIN pg_settings USING (name)
UNION ALL
SELECT set_config('goodjob.session', $1::text, false);
