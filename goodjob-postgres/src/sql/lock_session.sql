-- How the lock session runs its few statements. One plan for each, made once: planning a claim takes longer
-- than running it. Always by the indexes and from the small side, which is the parameters or a handful of
-- rows: what the planner knows about a queue is old by the time that it is used.
SELECT set_config('plan_cache_mode', 'force_generic_plan', false), set_config('jit', 'off', false),
       set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),
       set_config('enable_mergejoin', 'off', false);
