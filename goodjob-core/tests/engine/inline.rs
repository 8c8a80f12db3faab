//! Jobs that are done while their caller waits.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use goodjob_core::{
    Backoff, Batch, BatchCallback, Clock, Config, Context, Cron, CronEntry, EnqueueError,
    ErrorEvent, ExecutionMode, Inspect, Job, JobResult, JobState, MemoryStore, Perform, Policy,
    QueueSelector, Registry, Retry, Role, Setup, Shutdown, Timestamp,
};
use serde::{Deserialize, Serialize};

/// Fails at its first attempts, so many times; waits a minute before the second retry.
#[derive(Serialize, Deserialize)]
struct Flaky {
    failures: u32,
}

impl Job for Flaky {
    const CLASS: &'static str = "FlakyJob";
}

impl Perform for Flaky {
    fn policy() -> Policy {
        let waits = |failures: u32| Duration::from_secs(if failures > 1 { 60 } else { 0 });
        Policy::new().retry_on::<std::fmt::Error>(Retry::attempts(3).wait(Backoff::Custom(waits)))
    }

    async fn perform(self, cx: Context) -> JobResult {
        if cx.attempt() <= self.failures { Err(std::fmt::Error.into()) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn retries_that_are_due_follow_at_once_and_those_that_wait_are_left_to_others() {
    let clock = Clock::starting_at(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    let memory = Arc::new(MemoryStore::new(clock.clone()));
    let jobs = Registry::default().register::<Flaky>();
    let setup = Setup::new(ExecutionMode::Inline, Config::default(), jobs, Arc::clone(&memory));
    assert!(setup.start(Role::Server).await.unwrap().is_none());
    let adapter = setup.adapter();

    let once = adapter.enqueue(Flaky { failures: 1 }).await.unwrap();
    let job = memory.job(once).await.unwrap().unwrap();
    assert_eq!((job.state(Timestamp::MAX_UTC), job.executions_count), (JobState::Succeeded, 2));

    let often = adapter.enqueue(Flaky { failures: 9 }).await.unwrap();
    let job = memory.job(often).await.unwrap().unwrap();
    assert_eq!((job.state(clock.now()), job.executions_count), (JobState::Retried, 2));
    tokio::time::advance(Duration::from_secs(61)).await;
    let error = setup.inline().perform_inline(&QueueSelector::All, None).await.unwrap_err();
    assert!(error.to_string().contains("FlakyJob"), "{error}");
    let job = memory.job(often).await.unwrap().unwrap();
    assert_eq!(job.error_event, Some(ErrorEvent::RetryStopped));
    let error: EnqueueError = error.into();
    assert!(matches!(error, EnqueueError::Failed(failed) if failed.job == often));
    setup.shutdown(Shutdown::Forever).await;
}

/// Enqueues one that enqueues the next, as deep as it says.
#[derive(Serialize, Deserialize)]
struct Nested {
    depth: u32,
}

impl Job for Nested {
    const CLASS: &'static str = "NestedJob";
}

impl Perform<Arc<MemoryStore>> for Nested {
    async fn perform(self, cx: Context<Arc<MemoryStore>>) -> JobResult {
        if self.depth > 0 {
            let id = cx.adapter().enqueue(Nested { depth: self.depth - 1 }).await?;
            let job = cx.state().job(id).await?.ok_or("there is no row")?;
            job.finished_at.ok_or("it is not done inside")?;
        }
        Ok(())
    }
}

/// Is called back.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Over(BatchCallback);

impl Job for Over {
    const CLASS: &'static str = "OverJob";
}

impl Perform<Arc<MemoryStore>> for Over {
    async fn perform(self, _: Context<Arc<MemoryStore>>) -> JobResult {
        Ok(())
    }
}

fn nested() -> Setup {
    let memory = Arc::new(MemoryStore::new(Clock::system()));
    let jobs = Registry::new(Arc::clone(&memory)).register::<Nested>().register::<Over>();
    let entries =
        vec![CronEntry::new("often", "* * * * * *", Nested { depth: 0 }).expect("an entry")];
    let config = Config { cron: Cron { entries, ..Cron::default() }, ..Config::default() };
    Setup::new(ExecutionMode::Inline, config, jobs, memory)
}

/// Nobody in this process would do its jobs.
#[tokio::test(start_paused = true)]
async fn who_does_jobs_inline_has_no_cron() {
    let setup = nested();
    setup.adapter().enqueue(Nested { depth: 0 }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let done = setup.inline().perform_inline(&QueueSelector::All, None).await.unwrap();
    assert_eq!(done, 0, "ticks");
    setup.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_time_that_has_passed_is_now() {
    let setup = nested();
    let adapter = setup.adapter();
    let job = adapter.enqueue(Nested { depth: 0 }).wait_until(Timestamp::UNIX_EPOCH);
    let id = job.await.unwrap();
    let memory: &dyn std::any::Any = &**setup.inline().backend().store();
    let job = memory.downcast_ref::<MemoryStore>().unwrap().job(id).await.unwrap().unwrap();
    assert!(job.finished_at.is_some());
    setup.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_inline_job_enqueues_is_inline_too() {
    let setup = nested();
    setup.adapter().enqueue(Nested { depth: 3 }).await.unwrap();
    setup.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn the_jobs_of_a_batch_are_done_when_it_is_enqueued_and_its_callbacks_by_hand() {
    let setup = nested();
    let adapter = setup.adapter();
    let batch = Batch::new().add([Nested { depth: 0 }, Nested { depth: 1 }]).on_finish::<Over>();
    let batch = batch.enqueue(&adapter).await.unwrap().id;
    let state = async || adapter.batch(batch).await.unwrap().unwrap().record().clone();
    assert!(state().await.are_jobs_finished() && !state().await.is_finished());
    let done = setup.inline().perform_inline(&QueueSelector::All, None).await.unwrap();
    assert_eq!(done, 1, "the callback");
    assert!(state().await.is_finished());
    setup.shutdown(Shutdown::Forever).await;
}
