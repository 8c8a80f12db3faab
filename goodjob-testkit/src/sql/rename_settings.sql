-- The names that `rename.sql` reads.
SELECT set_config('testkit.prefix', $1::text, false), set_config('testkit.namespace', $2::text, false);
