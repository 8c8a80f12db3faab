//! Looks for what would make a worker fail or jobs late, before it does.

use std::time::Duration;

use goodjob_core::ProcessId;
use serde::Serialize;
use sqlx::{Connection, PgConnection};

use crate::error::ConnectError;
use crate::fleet::Fleet;
use crate::options::PgOptions;
use crate::store::{PgStore, ServerRow};
use crate::tables::HashFunction;
use crate::{migrate, sql};

/// The oldest server that is supported.
const OLDEST_SERVER: i32 = 120_000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, with a cost or a risk.
    Warn,
    /// A worker cannot work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub check: &'static str,
    /// What was found.
    pub message: String,
    /// What to do about it; nothing when it is as it should be.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Ok, check, message: message.into(), remedy: None }
    }

    fn bad(level: Level, check: &'static str, message: impl Into<String>, remedy: &str) -> Self {
        Self { level, check, message: message.into(), remedy: Some(remedy.to_owned()) }
    }
}

/// Examines the server, the sessions that a worker would hold, and the tables.
pub async fn examine(options: &PgOptions) -> Vec<Finding> {
    let server = match ServerRow::read(options).await {
        Ok(server) => server,
        Err(error) => {
            let error = ConnectError::from_sqlx(&error, options.target());
            let remedy = "check the address, the password and whether the server runs";
            return vec![Finding::bad(Level::Fail, "server", error.to_string(), remedy)];
        }
    };
    let mut findings = vec![
        version(&server),
        writable(&server),
        durability(&server),
        connections(&server, options),
        locks(&server),
        notices(&server),
        session(options).await,
    ];
    findings.extend(tables(options).await);
    findings
}

fn version(server: &ServerRow) -> Finding {
    let (major, minor) = (server.version / 10_000, server.version % 10_000);
    let found = format!("PostgreSQL {major}.{minor}");
    if server.version < OLDEST_SERVER {
        return Finding::bad(Level::Fail, "version", found, "goodjob needs PostgreSQL 12 or later");
    }
    Finding::ok("version", found)
}

fn writable(server: &ServerRow) -> Finding {
    match server.read_only {
        true => Finding::bad(
            Level::Fail,
            "writes",
            "the server is read-only",
            "point the URL at the primary, or lift default_transaction_read_only",
        ),
        false => Finding::ok("writes", "the server takes writes"),
    }
}

fn durability(server: &ServerRow) -> Finding {
    let found = format!("synchronous_commit is {}", server.synchronous_commit);
    match server.synchronous_commit.as_str() {
        "off" => Finding::bad(
            Level::Warn,
            "durability",
            found,
            "a crash of the server loses jobs whose enqueue was acknowledged; set it to on",
        ),
        _ => Finding::ok("durability", found),
    }
}

fn connections(server: &ServerRow, options: &PgOptions) -> Finding {
    let needed = i64::from(options.most_connections());
    let free = i64::from(server.max_connections) - server.connections;
    let found = format!("a worker uses up to {needed} connections, {free} are free");
    if free < needed {
        let remedy = "raise max_connections, or lower --pool-size";
        return Finding::bad(Level::Warn, "connections", found, remedy);
    }
    Finding::ok("connections", found)
}

fn locks(server: &ServerRow) -> Finding {
    // Half of the lock table is the most that one kind of client should ever take (failure model 4.5).
    let found = format!("the lock table has room for about {} locks", server.max_locks);
    if server.max_locks < 2_000 {
        let remedy = "each running job takes one; raise max_locks_per_transaction";
        return Finding::bad(Level::Warn, "locks", found, remedy);
    }
    Finding::ok("locks", found)
}

fn notices(server: &ServerRow) -> Finding {
    let found = format!("the NOTIFY queue is {:.0} % full", server.notify_queue_usage * 100.0);
    if server.notify_queue_usage > 0.5 {
        let remedy =
            "a session that listens is idle in a transaction: end it, or enqueues will fail";
        return Finding::bad(Level::Warn, "notices", found, remedy);
    }
    Finding::ok("notices", found)
}

/// Whether a session keeps its settings from one transaction to the next, as locks need.
async fn session(options: &PgOptions) -> Finding {
    const CHECK: &str = "session";
    let probe = async || -> sqlx::Result<bool> {
        let mut connection = PgConnection::connect_with(&options.connect).await?;
        let secret = uuid::Uuid::new_v4().to_string();
        sqlx::query(sql::SESSION).bind(&secret).execute(&mut connection).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (same, _): (bool, bool) =
            sqlx::query_as(sql::SESSION_CHECK).bind(&secret).fetch_one(&mut connection).await?;
        let _ = connection.close().await;
        Ok(same)
    };
    match probe().await {
        Ok(true) => Finding::ok(CHECK, "sessions keep their locks"),
        Ok(false) => Finding::bad(
            Level::Fail,
            CHECK,
            "the session changed between two transactions: there is a transaction pooler",
            "give goodjob a URL that reaches Postgres itself, or the pooler in session mode",
        ),
        Err(error) => Finding::bad(Level::Fail, CHECK, error.to_string(), "see the server's log"),
    }
}

async fn tables(options: &PgOptions) -> Vec<Finding> {
    let store = match PgStore::connect(options.clone()).await {
        Ok(store) => store,
        Err(error) => {
            return vec![Finding::bad(Level::Fail, "tables", error.to_string(), "goodjob migrate")];
        }
    };
    let findings = vec![
        columns(&store),
        indexes(&store).await,
        hash_function(options),
        fleet(&store).await,
        pauses(&store).await,
        callbacks(&store).await,
    ];
    store.close().await;
    findings
}

fn columns(store: &PgStore) -> Finding {
    match store.columns().lock_type {
        true => Finding::ok("tables", "the tables are complete"),
        false => Finding::bad(
            Level::Warn,
            "tables",
            "good_jobs.lock_type is missing, as before GoodJob 4.15: Ruby's workers lock by advisory alone",
            "run the gem's update migrations",
        ),
    }
}

fn hash_function(options: &PgOptions) -> Finding {
    const CHECK: &str = "lock keys";
    let found = format!("locks have the keys of {}", options.hash_function);
    match options.hash_function {
        HashFunction::Md5 => Finding::ok(CHECK, found),
        _ => Finding::bad(
            Level::Warn,
            CHECK,
            found,
            "Ruby's hybrid workers use md5 all the same and do not exclude its advisory ones; use md5",
        ),
    }
}

/// Whether the processes that are at work exclude each other, and a worker with these options too.
async fn fleet(store: &PgStore) -> Finding {
    const CHECK: &str = "fleet";
    let strategy = store.options().lock_strategy;
    let fleet = match Fleet::read(store.pool(), &store.dialect(), ProcessId::generate()).await {
        Ok(fleet) => fleet,
        Err(error) => {
            return Finding::bad(Level::Fail, CHECK, error.to_string(), "see the server's log");
        }
    };
    if let Some(conflict) = fleet.conflict_with(strategy) {
        return Finding::bad(Level::Fail, CHECK, conflict, "set lock_strategy to hybrid");
    }
    match fleet.conflict_of_others() {
        Some(conflict) => Finding::bad(
            Level::Warn,
            CHECK,
            conflict,
            "never let Ruby's advisory and skiplocked workers meet; hybrid stands between them",
        ),
        None => Finding::ok(
            CHECK,
            format!("a worker that locks by {strategy} is excluded by all others"),
        ),
    }
}

async fn pauses(store: &PgStore) -> Finding {
    const CHECK: &str = "pauses";
    let query = sqlx::query_scalar::<_, String>(store.sql(sql::PAUSES));
    match query.fetch_optional(store.pool()).await {
        Ok(None) => Finding::ok(CHECK, "what is paused can be read"),
        Ok(Some(value)) => Finding::bad(
            Level::Warn,
            CHECK,
            format!("the setting \"pauses\" is {value}"),
            "expected an object of lists of texts: what is no list pauses nothing here, and stops \
             Ruby's workers that heed pauses",
        ),
        Err(error) => Finding::bad(Level::Fail, CHECK, error.to_string(), "see the server's log"),
    }
}

/// Whether somebody can do the callbacks that batches wait for. As long as no worker lives nothing is amiss yet.
async fn callbacks(store: &PgStore) -> Finding {
    const CHECK: &str = "callbacks";
    match store.unknown_callbacks().await {
        Ok(unknown) if unknown.is_empty() => {
            Finding::ok(CHECK, "the callbacks of open batches have a process that knows them")
        }
        Ok(unknown) => Finding::bad(
            Level::Warn,
            CHECK,
            format!("batches call back what no live process knows: {}", unknown.join(", ")),
            "start a worker that knows the class, or correct it in the batch; its jobs stay queued until then",
        ),
        Err(error) => Finding::bad(Level::Fail, CHECK, error.to_string(), "see the server's log"),
    }
}

async fn indexes(store: &PgStore) -> Finding {
    const CHECK: &str = "indexes";
    let tables = &store.options().tables;
    let wanted = migrate::recommended();
    let missing =
        match migrate::missing_indexes(store.pool(), &store.dialect(), tables, &wanted).await {
            Ok(missing) => missing,
            Err(error) => {
                return Finding::bad(Level::Fail, CHECK, error.to_string(), "see the server's log");
            }
        };
    if missing.is_empty() {
        return Finding::ok(CHECK, "every index that claims use is there");
    }
    Finding::bad(
        Level::Warn,
        CHECK,
        format!("missing or invalid: {}", missing.join(", ")),
        "goodjob migrate adds them without locking writers out (drop an invalid one first)",
    )
}
