//! Every statement, from its file. Files are the only place where SQL stands.

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $($file:literal)+;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = concat!($(include_str!(concat!("sql/", $file, ".sql"))),+);)*
        /// Name and text of each.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

statements! {
    INSERT_JOBS = "insert_jobs";
    INSERT_JOB = "insert_job";
    INSERT_MANY = "insert_many";
    HERALD = "herald";
    CLAIM_ANY = "claim_paused" "claim_candidates_any" "claim_start";
    CLAIM_ONLY = "claim_paused" "claim_candidates_only" "claim_start";
    CLAIM_EXCEPT = "claim_paused" "claim_candidates_except" "claim_start";
    CLAIM_IN_ORDER = "claim_paused" "claim_candidates_in_order" "claim_start";
    CLAIM_ADVISORY = "claim_paused" "claim_candidates_advisory" "claim_start";
    CLAIM_LANES = "claim_paused" "claim_candidates_lanes" "claim_start";
    LANES_ANY = "lanes_any" "lanes_list";
    LANES_ONLY = "lanes_only" "lanes_list";
    HAS_LANES = "has_lanes";
    SETTLE = "settle";
    SETTLE_SUCCEEDED = "settle_succeeded";
    SETTLE_UNKEPT = "settle_unkept";
    EXECUTIONS_OPEN = "executions_open";
    RELEASE = "release";
    UNLOCK = "unlock";
    READOPT = "readopt";
    RESTAMP = "restamp";
    SWEEP = "sweep";
    SURPLUS_KEYS = "surplus_keys";
    UNLOCK_KEYS = "unlock_keys";
    END_PREDECESSOR = "end_predecessor";
    SESSION = "session";
    SESSION_CHECK = "session_check";
    LOCK_KEY = "lock_key";
    UPCOMING = "upcoming";
    UPCOMING_ANY = "lanes_any" "lanes_upcoming";
    UPCOMING_ONLY = "lanes_only" "lanes_upcoming";
    BEAT = "beat";
    PROCESS_LOCK = "process_lock";
    PEERS = "peers";
    REAP = "reap";
    FLEET = "fleet";
    PAUSED = "claim_paused" "paused";
    PAUSES = "pauses";
    FREE_GHOSTS = "free_ghosts";
    LEAVE = "leave";
    JOB = "job";
    EXECUTIONS = "executions";
    DELETE_FINISHED = "delete_finished";
    CLEAN_UP_JOBS = "clean_up_jobs";
    CLEAN_UP_BATCHES = "clean_up_batches";
    COUNT_OLD = "count_old";
    JOBS_LIST = "jobs_matching" "jobs_list";
    JOBS_COUNT = "jobs_matching" "jobs_count";
    JOBS_NEXT = "jobs_matching" "jobs_next";
    JOBS_SHOW = "jobs_matching" "jobs_show";
    JOB_LOCKS = "job_locks";
    RETRY_JOBS = "act_on" "act_retry" "act_notify";
    RESCHEDULE_JOBS = "act_on" "act_reschedule" "act_notify";
    DISCARD_JOBS = "act_on" "act_discard" "act_report";
    DELETE_JOBS = "act_on" "act_delete" "act_report";
    COLUMNS = "columns";
    QUEUES = "queues";
    FINISHED = "finished";
    PROCESSES = "processes";
    DUE_CLASSES = "due_classes";
    SERVER = "server";
    INDEXES = "indexes";
    MISSING_SCHEMA = "missing_schema";
    MISSING = "missing";
    LEDGER_EXISTS = "ledger_exists";
    LEDGER_TABLE = "ledger_table";
    LEDGER = "ledger";
    LEDGER_ADD = "ledger_add";
    JOBS_EXIST = "jobs_exist";
    MIGRATION_LOCK = "migration_lock";
    INVALID_INDEXES = "invalid_indexes";
    MIGRATION_UNLOCK = "migration_unlock";
    LIMIT_LOCK = "limit_lock";
    LIMIT_TRY_LOCK = "limit_try_lock";
    LIMIT_KNOWN = "limit_known";
    LIMIT_COUNT_KEY = "limit_key" "limit_count";
    LIMIT_COUNT_LABEL = "limit_label" "limit_count";
    LIMIT_SINCE_KEY = "limit_key" "limit_since";
    LIMIT_SINCE_LABEL = "limit_label" "limit_since";
    LIMIT_RUNNING_KEY = "limit_key" "limit_running";
    LIMIT_RUNNING_LABEL = "limit_label" "limit_running";
    LIMIT_STARTED_KEY = "limit_key" "limit_started";
    LIMIT_STARTED_LABEL = "limit_label" "limit_started";
    LIMIT_NEXT_KEY = "limit_key" "limit_next";
    LIMIT_NEXT_LABEL = "limit_label" "limit_next";
    LIMIT_ADMIT = "limit_admit";
    LIMIT_PARK = "limit_park";
    PAUSE = "pause";
    UNPAUSE = "unpause";
    PAUSED_NAMES = "claim_paused" "paused_names";
}
