//! A run, from its start to its end, in the gem's three transactions (wire contract 4).

use goodjob_core::Timestamp;
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio::time::Instant;

use super::job::{GemJob, GemRun, Performed, RubyError};
use super::notice::GemNotice;
use super::now;
use super::options::GemStrategy;
use super::session::GemSession;

const INTERRUPT: &str = include_str!("../sql/gem_interrupt.sql");
const START_EXECUTION: &str = include_str!("../sql/gem_start_execution.sql");
const START: &str = include_str!("../sql/gem_start.sql");
const START_ADVISORY: &str = include_str!("../sql/gem_start_advisory.sql");
const START_ADVISORY_V4_0: &str = include_str!("../sql/gem_start_advisory_v4_0.sql");
const RETRY: &str = include_str!("../sql/gem_retry.sql");
const NOTIFY: &str = include_str!("../sql/gem_notify.sql");
const END_EXECUTION: &str = include_str!("../sql/gem_end_execution.sql");
const END_JOB: &str = include_str!("../sql/gem_end_job.sql");
const END_JOB_V4_0: &str = include_str!("../sql/gem_end_job_v4_0.sql");
const DELETE_EXECUTIONS: &str = include_str!("../sql/gem_delete_executions.sql");
const DELETE_JOB: &str = include_str!("../sql/gem_delete_job.sql");

/// What T3 writes about a run.
struct End {
    error: Option<String>,
    event: Option<i16>,
    /// The job is over.
    finished: bool,
    /// The job is claimable again.
    reset: bool,
}

impl GemSession {
    /// Starts a claimed job: closes what a vanished run left open (4.5), then T1 (4.1).
    ///
    /// # Errors
    /// When the database refuses; nothing is started then.
    pub async fn start(&mut self, job: GemJob) -> sqlx::Result<GemRun> {
        self.revive().await?;
        let (started_at, begun) = (now(), Instant::now());
        let (id, interruption) = (job.id.as_uuid(), job.interruption());
        if let Some(text) = &interruption {
            let close = sqlx::query(INTERRUPT).bind(id).bind(text).bind(started_at);
            close.execute(&mut self.connection).await?;
        }
        let process = self.process.as_uuid();
        let update = match (self.strategy(), self.has_lock_type) {
            (GemStrategy::Advisory, true) => START_ADVISORY,
            (GemStrategy::Advisory, false) => START_ADVISORY_V4_0,
            _ => START,
        };
        let update = sqlx::query(update)
            .bind(id)
            .bind(started_at)
            .bind(job.executions_count.unwrap_or(0) + 1)
            .bind(&interruption);
        let update =
            if self.strategy() == GemStrategy::Advisory { update.bind(process) } else { update };
        let mut t1 = self.connection.begin().await?;
        let execution = sqlx::query_scalar(START_EXECUTION)
            .bind(id)
            .bind(started_at)
            .bind(&job.job_class)
            .bind(&job.queue_name)
            .bind(&job.serialized_params)
            .bind(job.scheduled_at.unwrap_or(job.created_at))
            .bind(process)
            .fetch_one(&mut *t1)
            .await?;
        update.execute(&mut *t1).await?;
        t1.commit().await?;
        let loaded_error = interruption.or_else(|| job.error.clone());
        Ok(GemRun { job, execution, started_at, begun, loaded_error })
    }

    /// The job enqueues itself again while it runs: T2 and its NOTIFY (4.3).
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn retry(
        &mut self,
        run: &GemRun,
        error: &RubyError,
        wait: Duration,
    ) -> sqlx::Result<()> {
        self.revive().await?;
        let at = now() + wait;
        let mut t2 = self.connection.begin().await?;
        sqlx::query(RETRY)
            .bind(run.job.id.as_uuid())
            .bind(run.job.retried(&error.class, at))
            .bind(at)
            .bind(now())
            .execute(&mut *t2)
            .await?;
        let notice =
            GemNotice { queue_name: run.job.queue_name.clone(), scheduled_at: Some(at), count: 1 };
        sqlx::query(NOTIFY).bind(notice.payload()).execute(&mut *t2).await?;
        t2.commit().await
    }

    /// Ends a run: T3 (4.4), by id alone. A retry needs [`retry`](Self::retry) before; of an abandoned
    /// run nothing is written.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn finish(&mut self, run: GemRun, performed: &Performed) -> sqlx::Result<()> {
        let again = self.options.retry_on_unhandled_error;
        let end = match performed {
            Performed::Done => End { error: None, event: None, finished: true, reset: false },
            Performed::Retry { error, .. } => {
                End { error: Some(error.text()), event: Some(3), finished: false, reset: false }
            }
            Performed::Discard(error) => {
                End { error: Some(error.text()), event: Some(5), finished: true, reset: false }
            }
            Performed::Raise(error) => {
                End { error: Some(error.text()), event: Some(1), finished: !again, reset: again }
            }
            Performed::Abandon => return Ok(()),
        };
        self.revive().await?;
        let at = now();
        let kept = self.options.preserve_job_records || run.job.cron_key.is_some();
        let mut t3 = self.connection.begin().await?;
        if end.finished && !kept {
            for statement in [DELETE_EXECUTIONS, DELETE_JOB] {
                sqlx::query(statement).bind(run.job.id.as_uuid()).execute(&mut *t3).await?;
            }
        } else {
            let end_job = if self.has_lock_type { END_JOB } else { END_JOB_V4_0 };
            write_end(&mut t3, &run, &end, at, end_job).await?;
        }
        t3.commit().await
    }

    /// Starts a claimed job, performs it, and ends and releases it, whatever happens.
    ///
    /// # Errors
    /// What raised out of the worker.
    pub async fn run<F>(
        &mut self,
        job: GemJob,
        perform: impl FnOnce(GemJob) -> F,
    ) -> sqlx::Result<()>
    where
        F: Future<Output = Performed>,
    {
        let id = job.id;
        let ended = self.start_to_end(job, perform).await;
        let raised = !matches!(&ended, Ok(performed) if *performed != Performed::Abandon);
        self.release(id, raised).await?;
        ended.map(drop)
    }

    async fn start_to_end<F>(
        &mut self,
        job: GemJob,
        perform: impl FnOnce(GemJob) -> F,
    ) -> sqlx::Result<Performed>
    where
        F: Future<Output = Performed>,
    {
        let run = self.start(job).await?;
        let class = run.job.job_class.as_deref();
        let performed = if self.options.knows(class) {
            perform(run.job.clone()).await
        } else {
            // The class is looked up before any handler of the job could be asked (point 11).
            let message = format!("uninitialized constant {}", class.unwrap_or("nil"));
            Performed::Raise(RubyError { class: "NameError".to_owned(), message })
        };
        if let Performed::Retry { error, wait } = &performed {
            self.retry(&run, error, *wait).await?;
        }
        self.finish(run, &performed).await?;
        Ok(performed)
    }
}

async fn write_end(
    connection: &mut PgConnection,
    run: &GemRun,
    end: &End,
    at: Timestamp,
    end_job: &'static str,
) -> sqlx::Result<()> {
    let backtrace = end.error.as_ref().map(|_| vec!["app/jobs/job.rb:1:in 'perform'".to_owned()]);
    sqlx::query(END_EXECUTION)
        .bind(run.execution)
        .bind(at)
        .bind(run.begun.elapsed().as_secs_f64())
        .bind(&end.error)
        .bind(end.event)
        .bind(backtrace)
        .execute(&mut *connection)
        .await?;
    sqlx::query(end_job)
        .bind(run.job.id.as_uuid())
        .bind(at)
        .bind(end.finished.then_some(at))
        .bind(end.reset)
        // A success says nothing about an error that it has not loaded, such as a discard meanwhile.
        .bind(end.error != run.loaded_error)
        .bind(&end.error)
        .bind(end.event)
        .execute(connection)
        .await?;
    Ok(())
}
