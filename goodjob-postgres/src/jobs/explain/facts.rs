//! What is read before anything is judged: the job, its locks, the processes, the pauses.

use goodjob_core::{JobId, JobRecord, Timestamp};
use sqlx::{FromRow, PgConnection, Row};

use crate::dialect::Dialect;
use crate::jobs::LockHolder;
use crate::roster::{self, Member};
use crate::rows::{self, Moment};
use crate::sql;

/// What is paused.
#[derive(Debug, Default, FromRow)]
pub(super) struct Pauses {
    pub(super) queues: Vec<String>,
    pub(super) classes: Vec<String>,
    pub(super) labels: Vec<String>,
}

/// What is known of a job and of those who may run it.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) job: JobRecord,
    pub(super) now: Timestamp,
    /// Since when its owner has it, or when its row was last written.
    pub(super) owned_since: Timestamp,
    pub(super) lock_type: Option<i16>,
    /// The sessions at its advisory lock.
    pub(super) advisory: Vec<LockHolder>,
    /// The sessions whose open transaction has its row.
    pub(super) row: Vec<LockHolder>,
    pub(super) members: Vec<Member>,
    pub(super) pauses: Pauses,
}

impl Facts {
    pub(super) async fn read(
        session: &mut PgConnection,
        dialect: &Dialect,
        id: JobId,
    ) -> sqlx::Result<Option<Self>> {
        let query = sqlx::query(dialect.sql(sql::EXPLAIN_JOB)).bind(id.as_uuid());
        let Some(row) = query.fetch_optional(&mut *session).await? else { return Ok(None) };
        let job = rows::job(&row)?;
        let now = row.try_get::<Moment, _>("now")?.0;
        let lockers = sqlx::query_as(dialect.sql(sql::JOB_LOCKS)).bind(id.as_uuid());
        let advisory = lockers.fetch_all(&mut *session).await?;
        let writers = sqlx::query_as(dialect.sql(sql::EXPLAIN_ROW_LOCK)).bind(id.as_uuid());
        Ok(Some(Self {
            now,
            owned_since: rows::moment(&row, "owned_since")?.unwrap_or(now),
            lock_type: row.try_get("lock_type")?,
            advisory,
            row: writers.fetch_all(&mut *session).await?,
            members: roster::read(session, dialect, job.locked_by).await?,
            pauses: sqlx::query_as(dialect.sql(sql::EXPLAIN_PAUSED)).fetch_one(session).await?,
            job,
        }))
    }

    pub(super) fn is_due(&self) -> bool {
        self.job.scheduled_at.is_some_and(|at| at <= self.now)
    }

    /// Whether a session holds the job's advisory lock.
    pub(super) fn is_locked(&self) -> bool {
        self.advisory.iter().any(|session| session.held)
    }

    /// The live processes that take its queue.
    pub(super) fn serving(&self) -> impl Iterator<Item = &Member> {
        let queue = self.job.queue.as_deref();
        self.members.iter().filter(move |member| member.is_at_work() && member.takes(queue))
    }

    /// Those of them that know its class, or do not say what they know.
    pub(super) fn fit(&self) -> impl Iterator<Item = &Member> {
        self.serving().filter(|member| member.knows(&self.job.class) != Some(false))
    }
}
