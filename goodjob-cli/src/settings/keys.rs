//! Every setting, once: its names, default and meaning. Flags, help, `config show`, the hints for
//! typos and the test of `docs/configuration.md` all come from this table.

/// One setting.
#[derive(Debug)]
pub(crate) struct Key {
    /// In `goodjob.toml`.
    pub(crate) name: &'static str,
    /// On the command line.
    pub(crate) flag: Flag,
    /// In the environment. The first is the name to use; the others are read when it is not set.
    pub(crate) variables: &'static [&'static str],
    /// As it would be typed.
    pub(crate) default: Option<&'static str>,
    /// What a value is called in help.
    pub(crate) value: &'static str,
    /// What it does, with its unit.
    pub(crate) meaning: &'static str,
}

/// Where a setting has a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// At every command.
    Everywhere(&'static str),
    /// At the commands that run jobs.
    Worker(&'static str),
    /// At `cleanup-preserved-jobs`, which words its own help.
    Cleanup(&'static str),
    /// Nowhere: it is for the file and the environment.
    None,
}

impl Key {
    /// The setting with this name in `goodjob.toml`.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The flag without its dashes.
    pub(crate) fn long(&self) -> Option<&'static str> {
        match self.flag {
            Flag::Everywhere(long) | Flag::Worker(long) | Flag::Cleanup(long) => Some(long),
            Flag::None => None,
        }
    }

    /// The text of `--help`.
    pub(crate) fn help(&self) -> String {
        let default = self.default.map(|d| format!(" [default: {d}]")).unwrap_or_default();
        let right = |name: &&str| *name != QUEUS_VARIABLE;
        let variables: Vec<_> = self.variables.iter().copied().filter(right).collect();
        format!("{}{default} [env: {}]", self.meaning, variables.join(", "))
    }
}

/// The announcement's spelling of [`QUEUES_VARIABLE`], copied often enough to be understood.
pub(crate) const QUEUS_VARIABLE: &str = "GOOD_JOB_QUEUS";
/// Its right spelling.
pub(crate) const QUEUES_VARIABLE: &str = "GOOD_JOB_QUEUES";
/// Names the file.
pub(crate) const CONFIG_VARIABLE: &str = "GOOD_JOB_CONFIG";

/// All settings but `jobs`, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "database_url",
        flag: Flag::Everywhere("database-url"),
        variables: &["GOOD_JOB_DATABASE_URL", "DATABASE_URL"],
        default: None,
        value: "URL",
        meaning: "The database; without it PGHOST, PGDATABASE and the like are used",
    },
    Key {
        name: "schema",
        flag: Flag::Everywhere("schema"),
        variables: &["GOOD_JOB_SCHEMA"],
        default: None,
        value: "NAME",
        meaning: "The schema of the tables; without it the search_path leads to them",
    },
    Key {
        name: "table_prefix",
        flag: Flag::Everywhere("table-prefix"),
        variables: &["GOOD_JOB_TABLE_PREFIX"],
        default: None,
        value: "PREFIX",
        meaning: "What the names of the tables begin with, as Rails' table_name_prefix; the locks' \
                  names do, too",
    },
    Key {
        name: "pool_size",
        flag: Flag::Worker("pool-size"),
        variables: &["GOOD_JOB_POOL_SIZE"],
        default: Some("4"),
        value: "NUMBER",
        meaning: "Connections beside the two that a worker keeps for locks and for LISTEN",
    },
    Key {
        name: "queues",
        flag: Flag::Worker("queues"),
        variables: &[QUEUES_VARIABLE, QUEUS_VARIABLE],
        default: Some("*"),
        value: "QUEUES",
        meaning: "Pools separated by \";\", each a list of queues with an optional number of \
                  threads: \"mice:2;elephants:1\", \"-elephants:3\" (all but), \"+a,b\" (in order)",
    },
    Key {
        name: "max_threads",
        flag: Flag::Worker("max-threads"),
        variables: &["GOOD_JOB_MAX_THREADS", "RAILS_MAX_THREADS"],
        default: Some("5"),
        value: "NUMBER",
        meaning: "Jobs that a pool without a number of its own runs at once",
    },
    Key {
        name: "poll_interval",
        flag: Flag::Worker("poll-interval"),
        variables: &["GOOD_JOB_POLL_INTERVAL"],
        default: Some("10"),
        value: "SECONDS",
        meaning: "Seconds between polls; -1 or 0 switches polling off",
    },
    Key {
        name: "max_cache",
        flag: Flag::Worker("max-cache"),
        variables: &["GOOD_JOB_MAX_CACHE"],
        default: Some("10000"),
        value: "NUMBER",
        meaning: "Due times of future jobs that each pool keeps in memory; 0 leaves them to polls",
    },
    Key {
        name: "shutdown_timeout",
        flag: Flag::Worker("shutdown-timeout"),
        variables: &["GOOD_JOB_SHUTDOWN_TIMEOUT"],
        default: Some("-1"),
        value: "SECONDS",
        meaning: "Seconds that a shutdown waits for running jobs; -1 waits for ever, 0 not at all",
    },
    Key {
        name: "idle_timeout",
        flag: Flag::Worker("idle-timeout"),
        variables: &["GOOD_JOB_IDLE_TIMEOUT"],
        default: Some("-1"),
        value: "SECONDS",
        meaning: "Seconds without a job after which the worker exits; -1 never",
    },
    Key {
        name: "queue_select_limit",
        flag: Flag::Worker("queue-select-limit"),
        variables: &["GOOD_JOB_QUEUE_SELECT_LIMIT"],
        default: Some("1000"),
        value: "NUMBER",
        meaning: "Candidates that one claim may look at",
    },
    Key {
        name: "lock_strategy",
        flag: Flag::Worker("lock-strategy"),
        variables: &["GOOD_JOB_LOCK_STRATEGY"],
        default: Some("hybrid"),
        value: "STRATEGY",
        meaning: "How a job is locked: hybrid, advisory or skiplocked. Only hybrid is safe beside \
                  Ruby workers of any strategy",
    },
    Key {
        name: "hash_function",
        flag: Flag::None,
        variables: &["GOOD_JOB_HASH_FUNCTION"],
        default: Some("md5"),
        value: "FUNCTION",
        meaning: "What makes the keys of advisory locks, as the gem's hash_function; every process \
                  needs the same one",
    },
    Key {
        name: "dequeue_query_sort",
        flag: Flag::None,
        variables: &["GOOD_JOB_DEQUEUE_QUERY_SORT"],
        default: Some("scheduled_at"),
        value: "COLUMN",
        meaning: "By what due jobs of one priority are ordered: scheduled_at, or created_at as in \
                  the gem, where a retry then counts as new",
    },
    Key {
        name: "enable_listen_notify",
        flag: Flag::Worker("enable-listen-notify"),
        variables: &["GOOD_JOB_ENABLE_LISTEN_NOTIFY"],
        default: Some("true"),
        value: "BOOLEAN",
        meaning: "Whether new jobs are told and heard of by NOTIFY and LISTEN, not only by polls",
    },
    Key {
        name: "max_interruptions",
        flag: Flag::Worker("max-interruptions"),
        variables: &["GOOD_JOB_MAX_INTERRUPTIONS"],
        default: Some("3"),
        value: "NUMBER",
        meaning: "Attempts in a row that may die with their process before the job is discarded; \
                  0 is no limit",
    },
    Key {
        name: "retry_on_unhandled_error",
        flag: Flag::None,
        variables: &["GOOD_JOB_RETRY_ON_UNHANDLED_ERROR"],
        default: Some("false"),
        value: "BOOLEAN",
        meaning: "Whether a job is run again at once after an error that no rule of its own matches",
    },
    Key {
        name: "preserve_job_records",
        flag: Flag::None,
        variables: &["GOOD_JOB_PRESERVE_JOB_RECORDS"],
        default: Some("true"),
        value: "WHICH",
        meaning: "Which finished jobs keep their rows: true (all), false (none) or on_unhandled_error",
    },
    Key {
        name: "cleanup_preserved_jobs_before_seconds_ago",
        flag: Flag::Cleanup("before-seconds-ago"),
        variables: &["GOOD_JOB_CLEANUP_PRESERVED_JOBS_BEFORE_SECONDS_AGO"],
        default: Some("1209600"),
        value: "SECONDS",
        meaning: "Seconds that the rows of a finished job are kept",
    },
    Key {
        name: "cleanup_discarded_jobs",
        flag: Flag::Cleanup("include-discarded"),
        variables: &["GOOD_JOB_CLEANUP_DISCARDED_JOBS"],
        default: Some("true"),
        value: "BOOLEAN",
        meaning: "Whether jobs that ended with an error are cleaned up too",
    },
    Key {
        name: "cleanup_interval_jobs",
        flag: Flag::None,
        variables: &["GOOD_JOB_CLEANUP_INTERVAL_JOBS"],
        default: Some("1000"),
        value: "NUMBER",
        meaning: "Jobs that a pool runs between clean-ups; 0 or false never cleans up for this \
                  reason, -1 always",
    },
    Key {
        name: "cleanup_interval_seconds",
        flag: Flag::None,
        variables: &["GOOD_JOB_CLEANUP_INTERVAL_SECONDS"],
        default: Some("600"),
        value: "SECONDS",
        meaning: "Seconds between clean-ups, while jobs are run; 0 or false never cleans up for this \
                  reason, -1 always",
    },
    Key {
        name: "enable_cron",
        flag: Flag::Worker("enable-cron"),
        variables: &["GOOD_JOB_ENABLE_CRON"],
        default: Some("false"),
        value: "BOOLEAN",
        meaning: "Whether the worker enqueues the jobs of cron entries when they are due",
    },
    Key {
        name: "cron",
        flag: Flag::None,
        variables: &["GOOD_JOB_CRON"],
        default: None,
        value: "JSON",
        meaning: "The cron entries by key: tables in the file, an object of JSON in the variable",
    },
    Key {
        name: "cron_time_zone",
        flag: Flag::None,
        variables: &["GOOD_JOB_CRON_TIME_ZONE"],
        default: None,
        value: "ZONE",
        meaning: "Where cron entries are at home that name no zone; without it TZ, else UTC",
    },
    Key {
        name: "cron_graceful_restart_period",
        flag: Flag::None,
        variables: &["GOOD_JOB_CRON_GRACEFUL_RESTART_PERIOD"],
        default: Some("-1"),
        value: "SECONDS",
        meaning: "Seconds before the start in which missed ticks are made up for; -1 or 0 is none",
    },
    Key {
        name: "globalid_app",
        flag: Flag::None,
        variables: &["GOOD_JOB_GLOBALID_APP"],
        default: Some("goodjob"),
        value: "NAME",
        meaning: "How the callbacks of batches name the application to Ruby: my-app for a Rails \
                  application MyApp",
    },
    Key {
        name: "cancel_grace",
        flag: Flag::None,
        variables: &["GOOD_JOB_CANCEL_GRACE"],
        default: Some("2"),
        value: "SECONDS",
        meaning: "Seconds that a cancelled job has to wind up before it is dropped",
    },
    Key {
        name: "execution_mode",
        flag: Flag::None,
        variables: &["GOOD_JOB_EXECUTION_MODE"],
        default: Some("external"),
        value: "MODE",
        meaning: "Where an application's own processes do jobs: external, async (in its servers), async_all \
                  or inline. A worker does jobs whatever it says",
    },
    Key {
        name: "probe_port",
        flag: Flag::Worker("probe-port"),
        variables: &["GOOD_JOB_PROBE_PORT"],
        default: None,
        value: "PORT",
        meaning: "Where probes and Prometheus are answered over HTTP: /status, /status/started, \
                  /status/connected, /metrics; without it nowhere",
    },
    Key {
        name: "probe_host",
        flag: Flag::Worker("probe-host"),
        variables: &["GOOD_JOB_PROBE_HOST"],
        default: Some("127.0.0.1"),
        value: "ADDRESS",
        meaning: "The address of that port; 0.0.0.0 lets other machines ask, such as a kubelet",
    },
    Key {
        name: "pidfile",
        flag: Flag::Worker("pidfile"),
        variables: &["GOOD_JOB_PIDFILE"],
        default: None,
        value: "PATH",
        meaning: "A file for the process id, removed at the end; refused while it names a live process",
    },
    Key {
        name: "log_format",
        flag: Flag::Everywhere("log-format"),
        variables: &["GOOD_JOB_LOG_FORMAT"],
        default: Some("auto"),
        value: "FORMAT",
        meaning: "Log lines on stderr: auto (one line each, coloured on a terminal), pretty (many \
                  lines each) or json",
    },
];

/// What the gem reads and this command does not (wire contract 13.1): named in a warning, so that
/// nobody believes them to work.
pub(crate) const GEM_ONLY: &[&str] = &[
    "GOOD_JOB_ADVISORY_LOCK_HEARTBEAT",
    "GOOD_JOB_ENABLE_PAUSES",
    "GOOD_JOB_LOWER_THREAD_PRIORITY",
    "GOOD_JOB_PROBE_HANDLER",
];
