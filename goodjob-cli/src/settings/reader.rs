//! From merged texts to [`Settings`], with every problem noted on the way.

use std::collections::BTreeMap;

use goodjob_core::{Callbacks, Cleanup, CronEntry, Retention, Zone};
use goodjob_postgres::{PgOptions, TableNames};

use super::callbacks::CallbackSettings;
use super::cron;
use super::decode::{self, Unfit};
use super::layers::Layers;
use super::problem::{Place, Problem, Problems};
use super::{JobSettings, KEYS, Key, Settings, Shown, database};
use crate::environment::Environment;

/// Reads setting after setting and gathers what is wrong.
pub(super) struct Reader<'a> {
    layers: &'a Layers,
    shown: Vec<Shown>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers) -> Self {
        Self { layers, shown: Vec::new(), problems: Vec::new() }
    }

    /// The settings, and each as text in the order of the table.
    pub(super) fn read_all(
        mut self,
        environment: &Environment,
    ) -> Result<(Settings, Vec<Shown>), Problems> {
        let settings = self.settings(environment);
        self.shown.sort_by_key(|shown| KEYS.iter().position(|key| key.name == shown.key.name));
        match settings {
            Some(settings) if self.problems.is_empty() => Ok((settings, self.shown)),
            _ => Err(Problems(self.problems)),
        }
    }

    /// `None` only when there are problems. Every setting is read before the first `?` can end this,
    /// so that all problems are found.
    fn settings(&mut self, environment: &Environment) -> Option<Settings> {
        let tables = self.tables();
        let database = self.database(environment, tables.clone());
        let queues = self.read("queues", decode::queues);
        let max_threads = self.read("max_threads", decode::threads);
        let poll_interval = self.read("poll_interval", decode::poll_interval);
        let max_cache = self.read("max_cache", decode::count);
        let shutdown = self.read("shutdown_timeout", decode::shutdown);
        let idle_timeout = self.read("idle_timeout", decode::idle_timeout);
        let max_interruptions = self.read("max_interruptions", decode::count);
        let unhandled = self.read("retry_on_unhandled_error", decode::unhandled);
        let preserve = self.read("preserve_job_records", decode::preserve);
        let cleanup = self.cleanup();
        let enable_cron = self.read("enable_cron", decode::boolean);
        let (cron, cron_place) = self.cron();
        let cron_zone = self.cron_zone(environment);
        let graceful_restart = self.read("cron_graceful_restart_period", decode::graceful_restart);
        let cancel_grace = self.read("cancel_grace", decode::span);
        let log_format = self.read("log_format", decode::log_format);
        let execution_mode = self.read("execution_mode", decode::execution_mode);
        let probe_port = self.read_if_given("probe_port", decode::port);
        let probe_host = self.read("probe_host", decode::address);
        let pidfile = self.read_if_given("pidfile", decode::path);
        let jobs = self.jobs();
        let callbacks = self.callbacks();
        Some(Settings {
            database,
            tables,
            queues: queues?,
            max_threads: max_threads?,
            poll_interval: poll_interval?,
            max_cache: max_cache?,
            shutdown: shutdown?,
            idle_timeout: idle_timeout?,
            max_interruptions: max_interruptions?,
            unhandled: unhandled?,
            preserve: preserve?,
            cleanup: cleanup?,
            enable_cron: enable_cron?,
            cron,
            cron_place,
            cron_zone,
            graceful_restart: graceful_restart?,
            cancel_grace: cancel_grace?,
            log_format: log_format?,
            execution_mode: execution_mode?,
            probe: probe_host.map(|host| probe_port.map(|port| (host, port).into()))?,
            pidfile,
            jobs,
            callbacks: callbacks?,
            jobs_file: self.layers.path().to_owned(),
        })
    }

    /// When finished jobs are deleted, and which.
    fn cleanup(&mut self) -> Option<Cleanup> {
        let age = self.read("cleanup_preserved_jobs_before_seconds_ago", decode::retention);
        let discarded = self.read("cleanup_discarded_jobs", decode::boolean);
        let interval_jobs = self.read("cleanup_interval_jobs", decode::cleanup_interval_jobs);
        let interval = self.read("cleanup_interval_seconds", decode::cleanup_interval);
        let retention = Retention { age: age?, keep_discarded: !discarded? };
        Some(Cleanup { retention, interval_jobs: interval_jobs?, interval: interval? })
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        decode: impl FnOnce(&str) -> Result<T, Unfit>,
    ) -> Option<T> {
        let found = match self.layers.get(name) {
            Ok(found) => found?,
            Err(problem) => {
                self.problems.push(problem);
                return None;
            }
        };
        match decode(&found.text) {
            Ok(value) => {
                self.show(name, Some(found.text), found.place);
                Some(value)
            }
            Err(unfit) => {
                let message = match unfit {
                    Unfit::Expected(what) => format!("found {:?}, expected {what}", found.text),
                    Unfit::Told(message) => message,
                };
                self.problems.push(Problem { place: found.place, message });
                None
            }
        }
    }

    /// A setting that need not be given. `None` if it is not, or is wrong, which is a problem.
    fn read_if_given<T>(
        &mut self,
        name: &'static str,
        decode: impl FnOnce(&str) -> Result<T, Unfit>,
    ) -> Option<T> {
        let (shown, problems) = (self.shown.len(), self.problems.len());
        let read = self.read(name, decode);
        if self.shown.len() == shown && self.problems.len() == problems {
            self.show(name, None, Place::Default);
        }
        read
    }

    /// How the database is reached and used.
    fn database(&mut self, environment: &Environment, tables: TableNames) -> Option<PgOptions> {
        let address = self.address(environment);
        let pool_size = self.read("pool_size", decode::at_least_one);
        let lock_strategy = self.read("lock_strategy", decode::lock_strategy);
        let hash_function = self.read("hash_function", decode::hash_function);
        let order = self.read("dequeue_query_sort", decode::dequeue_order);
        let listen = self.read("enable_listen_notify", decode::boolean);
        let queue_select_limit = self.read("queue_select_limit", decode::at_least_one);
        let mut options = address?;
        options.pool_size = pool_size?;
        options.tables = tables;
        options.lock_strategy = lock_strategy?;
        options.hash_function = hash_function?;
        options.order = order?;
        options.listen_notify = listen?;
        options.queue_select_limit = queue_select_limit?;
        Some(options)
    }

    /// What the tables are called. A wrong name is a problem, and no name is none.
    fn tables(&mut self) -> TableNames {
        let mut tables = TableNames::default();
        for (name, decode) in [
            ("schema", decode::schema as fn(&str, TableNames) -> _),
            ("table_prefix", decode::table_prefix),
        ] {
            let shown = self.shown.len();
            match self.read(name, |text| decode(text, tables.clone())) {
                Some(named) => tables = named,
                None if self.shown.len() == shown => self.show(name, None, Place::Default),
                None => {}
            }
        }
        tables
    }

    fn address(&mut self, environment: &Environment) -> Option<PgOptions> {
        const NAME: &str = "database_url";
        let problems = self.problems.len();
        if let Some(options) = self.read(NAME, database::of_url) {
            if let Some(shown) = self.shown.last_mut() {
                shown.text = Some(options.target());
            }
            return Some(options);
        }
        let given_but_wrong = self.problems.len() > problems;
        match database::of_libpq(environment).filter(|_| !given_but_wrong) {
            Some((options, variables)) => {
                self.show(NAME, Some(options.target()), Place::Variable(variables));
                Some(options)
            }
            None => {
                self.show(NAME, None, Place::Default);
                None
            }
        }
    }

    /// The cron entries, of the environment if it has any, else of the file.
    fn cron(&mut self) -> (Vec<CronEntry>, Place) {
        let Some((value, place)) = self.layers.cron() else {
            self.show("cron", None, Place::Default);
            return (Vec::new(), Place::Default);
        };
        let (entries, problems) = cron::entries(value, &place);
        self.problems.extend(problems);
        let keys: Vec<&str> = entries.iter().map(CronEntry::key).collect();
        self.show("cron", Some(keys.join(", ")), place.clone());
        (entries, place)
    }

    /// The zone of entries that name none; `None` when nobody said. `TZ` is heeded as far as it is the
    /// name of a zone, as by the gem; it may be much else.
    fn cron_zone(&mut self, environment: &Environment) -> Option<Zone> {
        const NAME: &str = "cron_time_zone";
        let problems = self.problems.len();
        if let Some(zone) = self.read(NAME, decode::zone) {
            return Some(zone);
        }
        let given_but_wrong = self.problems.len() > problems;
        let of_process = environment.get("TZ").and_then(|name| name.parse::<Zone>().ok());
        match of_process.filter(|_| !given_but_wrong) {
            Some(zone) => {
                self.show(NAME, Some(zone.to_string()), Place::Variable("TZ".to_owned()));
                Some(zone)
            }
            None => {
                self.show(NAME, None, Place::Default);
                None
            }
        }
    }

    /// How the callbacks of batches are made.
    fn callbacks(&mut self) -> Option<Callbacks> {
        let callbacks = self.read("globalid_app", decode::globalid_app);
        let tables = match self.layers.classes("callbacks") {
            Ok(tables) => tables,
            Err(problem) => {
                self.problems.push(problem);
                return None;
            }
        };
        let mut callbacks = callbacks?;
        for (class, table) in tables {
            let read = table.try_deserialize::<CallbackSettings>();
            let read = read.map_err(|error| error.to_string());
            match read.and_then(CallbackSettings::options) {
                Ok(options) => callbacks = callbacks.class(class, options),
                Err(message) => {
                    let place = self.layers.in_file(&format!("callbacks.{class:?}"));
                    self.problems.push(Problem { place, message });
                }
            }
        }
        Some(callbacks)
    }

    fn jobs(&mut self) -> BTreeMap<String, JobSettings> {
        let tables = match self.layers.classes("jobs") {
            Ok(tables) => tables,
            Err(problem) => {
                self.problems.push(problem);
                return BTreeMap::new();
            }
        };
        let mut jobs = BTreeMap::new();
        for (class, table) in tables {
            match table.try_deserialize::<JobSettings>() {
                Ok(job) => drop(jobs.insert(class, job)),
                Err(error) => self.problems.push(Problem {
                    place: self.layers.in_file(&format!("jobs.{class:?}")),
                    message: error.to_string(),
                }),
            }
        }
        jobs
    }

    fn show(&mut self, name: &str, text: Option<String>, place: Place) {
        if let Some(key) = Key::named(name) {
            self.shown.push(Shown { key, text, place });
        }
    }
}
