-- How an explanation reads: by indexes even where the planner's picture of a queue is old, since the tables
-- may hold millions; and not for long, since it must not be what keeps vacuum from its work.
SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
       set_config('statement_timeout', '10s', true);
