//! A database of its own for each test, cloned from a migrated template in milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use goodjob_postgres::{PgOptions, PgStore, TableNames};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::cluster::{Cluster, url_from_environment};
use crate::leaks;
use crate::schema::Schema;

/// Serialises the making of templates over all test processes. Any number that is ours will do.
const TEMPLATE_LOCK: i64 = 7_301_482_003_912;

/// A database that exists as long as this value does.
///
/// When it is dropped it checks that nothing was left behind (no advisory lock, no open
/// transaction, waiting a moment for sessions that are just closing) and panics otherwise, naming
/// who holds what. Declare it before everything that uses it, so that it is dropped last.
#[derive(Debug)]
pub struct Database {
    server: Server,
    name: String,
    tables: TableNames,
}

/// Where databases are made: the server of `DATABASE_URL`, or one of our own.
#[derive(Clone, Debug)]
enum Server {
    Given(String),
    Own(Arc<Cluster>),
}

impl Server {
    /// # Panics
    /// When there is no server to be had; the text says what was tried.
    async fn any() -> Self {
        match url_from_environment() {
            Some(url) => Self::Given(url),
            None => {
                let started = tokio::task::spawn_blocking(Cluster::shared).await;
                let started = started.expect("starting a server does not panic");
                Self::Own(Arc::new(started.unwrap_or_else(|error| panic!("{error}"))))
            }
        }
    }

    fn url(&self, database: &str) -> String {
        match self {
            Self::Given(url) => with_database(url, database),
            Self::Own(cluster) => cluster.url(database),
        }
    }

    /// The database from which others are made and dropped.
    fn home(&self) -> String {
        match self {
            Self::Given(url) => url.clone(),
            Self::Own(cluster) => cluster.url("postgres"),
        }
    }
}

impl Database {
    /// A database with goodjob's tables and lean indexes.
    ///
    /// # Panics
    /// When there is no server, or the database cannot be made: a test cannot go on without.
    pub async fn fresh() -> Self {
        Self::with_schema(Schema::LEAN).await
    }

    /// A database with these tables and indexes.
    ///
    /// # Panics
    /// As [`fresh`](Self::fresh).
    pub async fn with_schema(schema: Schema) -> Self {
        let server = Server::any().await;
        let template = template(&server, schema).await;
        let mut database = Self::create(server, Some(&template)).await;
        database.set_up(schema).await;
        database
    }

    /// A database without tables.
    ///
    /// # Panics
    /// As [`fresh`](Self::fresh).
    pub async fn empty() -> Self {
        Self::create(Server::any().await, None).await
    }

    /// A database on a server of one's own, to be restarted and ill-treated.
    ///
    /// # Panics
    /// As [`fresh`](Self::fresh).
    pub async fn on(cluster: Arc<Cluster>, schema: Schema) -> Self {
        let mut database = Self::create(Server::Own(cluster), None).await;
        let pool = database.pool().await;
        schema.make(&pool, database.options()).await.expect("the tables can be made");
        pool.close().await;
        database.set_up(schema).await;
        database
    }

    /// The URL to connect to.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Options for a store here, with the names of the tables.
    ///
    /// # Panics
    /// Never: the URL is our own.
    #[must_use]
    pub fn options(&self) -> PgOptions {
        let mut options = PgOptions::from_url(&self.url()).expect("our own URL can be read");
        options.tables = self.tables.clone();
        options
    }

    /// A store here.
    ///
    /// # Panics
    /// When it cannot connect.
    pub async fn store(&self) -> PgStore {
        PgStore::connect(self.options()).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A plain pool, as an application has one beside goodjob.
    ///
    /// # Panics
    /// When it cannot connect.
    pub async fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(4)
            .connect(&self.url())
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    async fn create(server: Server, template: Option<&str>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("goodjob_test_{}_{number}", std::process::id());
        let mut home = connect(&server.home()).await;
        let clause = template.map(|name| format!(" TEMPLATE {name}")).unwrap_or_default();
        // A killed test process may have left one of the same name.
        execute(&mut home, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        execute(&mut home, format!("CREATE DATABASE {name}{clause}")).await;
        home.close().await.ok();
        Self { server, name, tables: TableNames::default() }
    }

    /// A template does not hand on the settings of its database.
    async fn set_up(&mut self, schema: Schema) {
        self.tables = schema.table_names();
        if let Some(zone) = schema.zone() {
            let mut home = connect(&self.server.home()).await;
            let statement = format!("ALTER DATABASE {} SET timezone TO '{zone}'", self.name);
            execute(&mut home, statement).await;
            home.close().await.ok();
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (home, name) = (self.server.home(), self.name.clone());
        // A runtime of its own, since the test's may be the one that is dropping this.
        let checking = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let mut home = connect(&home).await;
                let leaks = leaks::wait_for_none(&mut home, &name).await;
                execute(&mut home, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
                home.close().await.ok();
                leaks
            })
        });
        match checking.join() {
            _ if std::thread::panicking() => {}
            Ok(leaks) => assert!(leaks.is_empty(), "the test left behind:\n{}", leaks.join("\n")),
            Err(_) => panic!("the check for what the test left behind failed"),
        }
    }
}

/// Makes the template once per server and state of what makes the tables.
async fn template(server: &Server, schema: Schema) -> String {
    let name = schema.template();
    let mut home = connect(&server.home()).await;
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK);
    lock.execute(&mut home).await.expect("the template can be locked");
    let made: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(&name)
            .fetch_one(&mut home)
            .await
            .expect("databases can be listed");
    if !made {
        // Under another name until it is complete, so that a killed process leaves no half template.
        let draft = format!("{name}_draft");
        execute(&mut home, format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)")).await;
        execute(&mut home, format!("CREATE DATABASE {draft}")).await;
        let pool = PgPoolOptions::new().connect(&server.url(&draft)).await;
        let pool = pool.unwrap_or_else(|error| panic!("{error}"));
        let options = PgOptions::from_url(&server.url(&draft)).expect("our own URL can be read");
        schema.make(&pool, options).await.expect("the tables can be made");
        pool.close().await;
        execute(&mut home, format!("ALTER DATABASE {draft} RENAME TO {name}")).await;
    }
    home.close().await.ok();
    name
}

async fn connect(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().unwrap_or_else(|error| panic!("{error}"));
    PgConnection::connect_with(&options).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a statement on databases, whose names cannot be parameters; ours are made of plain letters.
async fn execute(connection: &mut PgConnection, statement: String) {
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement.as_str())).execute(connection).await {
        panic!("{statement}: {error}");
    }
}

/// The same server, another database: what stands between the address and the `?` is replaced.
fn with_database(url: &str, database: &str) -> String {
    let (address, options) = url.split_once('?').map_or((url, None), |(a, o)| (a, Some(o)));
    let start = address.find("://").map_or(0, |at| at + 3);
    let end = address[start..].find('/').map_or(address.len(), |at| start + at);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{}/{database}{options}", &address[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server_is_named() {
        for (url, expected) in [
            ("postgres://a:b@h:5432/old", "postgres://a:b@h:5432/new"),
            ("postgres://h", "postgres://h/new"),
            ("postgres://h/old?host=/tmp/x", "postgres://h/new?host=/tmp/x"),
        ] {
            assert_eq!(with_database(url, "new"), expected);
        }
    }
}
