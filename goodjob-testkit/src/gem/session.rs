//! A connection of the gem: claims, and the release of what was claimed.

use goodjob_core::{JobId, ProcessId};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use super::job::GemJob;
use super::now;
use super::options::{GemOptions, GemStrategy};

const HAS_LOCK_TYPE: &str = include_str!("../sql/gem_has_lock_type.sql");
const CLAIM_ADVISORY: &str = include_str!("../sql/gem_claim_advisory.sql");
const RELOAD: &str = include_str!("../sql/gem_reload.sql");
const CLAIM_SKIPLOCKED: &str = include_str!("../sql/gem_claim_skiplocked.sql");
const CLAIM_HYBRID: &str = include_str!("../sql/gem_claim_hybrid.sql");
const HOLDS_LOCK: &str = include_str!("../sql/gem_holds_lock.sql");
const UNLOCK: &str = include_str!("../sql/gem_unlock.sql");
const FREE_JOB: &str = include_str!("../sql/gem_free_job.sql");

/// One connection of a Ruby process, as each of its threads has one: the steps of a run, to be taken one
/// by one. Dropping it in the middle is the crash of its process.
///
/// The steps are [`claim`](Self::claim), [`start`](Self::start), [`retry`](Self::retry) if there is one,
/// [`finish`](Self::finish) and [`release`](Self::release); [`run`](Self::run) takes all but the first.
#[derive(Debug)]
pub struct GemSession {
    connect: PgConnectOptions,
    pub(super) connection: PgConnection,
    pub(super) process: ProcessId,
    pub(super) options: GemOptions,
    pub(super) has_lock_type: bool,
}

impl GemSession {
    /// A connection of the process `process`, which need not be registered. Its name is that of
    /// [`application_name`](Self::application_name).
    ///
    /// # Errors
    /// When it cannot connect, or there are no tables.
    pub async fn open(url: &str, process: ProcessId, options: GemOptions) -> sqlx::Result<Self> {
        let connect: PgConnectOptions = url.parse()?;
        let connect = connect
            .application_name(&Self::application_name(process))
            // As Rails sets it in every session.
            .options([("TimeZone", "UTC")]);
        let mut connection = PgConnection::connect_with(&connect).await?;
        let has_lock_type = sqlx::query_scalar(HAS_LOCK_TYPE).fetch_one(&mut connection).await?;
        Ok(Self { connect, connection, process, options, has_lock_type })
    }

    /// What `pg_stat_activity` calls the connections of a process.
    #[must_use]
    pub fn application_name(process: ProcessId) -> String {
        format!("gem {process}")
    }

    /// The strategy that is in effect: `advisory` on tables without `lock_type`, whatever was asked for.
    #[must_use]
    pub fn strategy(&self) -> GemStrategy {
        if self.has_lock_type { self.options.strategy } else { GemStrategy::Advisory }
    }

    /// Connects again if the connection has died since the last statement, as Rails does without a word:
    /// locks that the old one held are gone, and nobody is told (H5).
    pub(super) async fn revive(&mut self) -> sqlx::Result<()> {
        if self.connection.ping().await.is_err() {
            self.connection = PgConnection::connect_with(&self.connect).await?;
        }
        Ok(())
    }

    /// Claims the next job (wire contract 3.4 to 3.6). With the strategies `skiplocked` and `hybrid`
    /// the row is then owned; with `advisory` it is locked, and not stamped before
    /// [`start`](Self::start).
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn claim(&mut self) -> sqlx::Result<Option<GemJob>> {
        self.revive().await?;
        let claimed_at = Some(Instant::now());
        let job = self.find_and_lock().await?;
        Ok(job.map(|job| GemJob { claimed_at, ..job }))
    }

    async fn find_and_lock(&mut self) -> sqlx::Result<Option<GemJob>> {
        let (kind, queues) = self.options.selector();
        let statement = match self.strategy() {
            GemStrategy::Advisory => CLAIM_ADVISORY,
            GemStrategy::SkipLocked => CLAIM_SKIPLOCKED,
            GemStrategy::Hybrid => CLAIM_HYBRID,
        };
        let claim = sqlx::query_as(statement).bind(now()).bind(kind).bind(queues);
        if self.strategy() != GemStrategy::Advisory {
            let claim = claim.bind(self.process.as_uuid());
            return claim.fetch_optional(&mut self.connection).await;
        }
        let claim = claim.bind(i64::from(self.options.queue_select_limit));
        let locked: Option<GemJob> = claim.fetch_optional(&mut self.connection).await?;
        let Some(GemJob { id, .. }) = locked else { return Ok(None) };
        let job: Option<GemJob> =
            sqlx::query_as(RELOAD).bind(id.as_uuid()).fetch_optional(&mut self.connection).await?;
        match job.filter(|job| job.finished_at.is_none()) {
            Some(job) => Ok(Some(job)),
            None => {
                self.unlock(id).await?;
                Ok(None)
            }
        }
    }

    /// Lets go of a job after its run: its lock, and its row if the run `raised` out of the worker and
    /// the strategy is one that owns rows.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn release(&mut self, job: JobId, raised: bool) -> sqlx::Result<()> {
        self.revive().await?;
        if self.strategy() != GemStrategy::SkipLocked {
            self.unlock(job).await?;
        }
        if raised && self.strategy() != GemStrategy::Advisory {
            sqlx::query(FREE_JOB).bind(job.as_uuid()).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    async fn unlock(&mut self, job: JobId) -> sqlx::Result<()> {
        while sqlx::query_scalar(HOLDS_LOCK)
            .bind(job.as_uuid())
            .fetch_one(&mut self.connection)
            .await?
        {
            sqlx::query(UNLOCK).bind(job.as_uuid()).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    /// Ends the connection in order.
    ///
    /// # Errors
    /// When it was not to be ended in order.
    pub async fn close(self) -> sqlx::Result<()> {
        self.connection.close().await
    }
}
