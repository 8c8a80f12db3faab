//! Limits: how many jobs of a key or label wait, run, and start in a while; with the gem's rows beside ours.

use std::num::NonZeroUsize;
use std::time::Duration;

use goodjob_core::{
    Admission, Bound, Context, CronEntry, EnqueueError, ErrorEvent, Inserted, Job, JobId,
    JobRecord, JobResult, LimitStore, Limits, NewJob, Perform, Pools, ProcessRecord, QueueSelector,
    Registry, Rule, Shutdown, Store, Timestamp, Wanted,
};
use goodjob_postgres::jobs::Why;
use goodjob_postgres::{CompleteIn, EnqueueIn, PgStore, advisory_key};
use goodjob_testkit::{Database, Harness, Runs, eventually};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);
const EXCEEDED: &str = "GoodJob::ActiveJobExtensions::Concurrency::ConcurrencyExceededError";
const THROTTLED: &str = "GoodJob::ActiveJobExtensions::Concurrency::ThrottleExceededError";

/// Logs in for a session of one shop, as the rules of the test have it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Visit {
    shop: String,
    millis: u64,
    rules: String,
}

impl Job for Visit {
    const CLASS: &'static str = "VisitJob";

    fn limits(&self) -> Limits {
        let key = || Rule::by_key(&self.shop);
        let label = || Rule::by_label(&self.shop);
        let hour = Duration::from_secs(60 * 60);
        let second = Duration::from_secs(1);
        match self.rules.as_str() {
            "total" => key().total(3).into(),
            "strict" => key().total(5).strict().into(),
            "strict label" => label().total(5).strict().into(),
            "waiting" => key().enqueue(2).into(),
            "rare" => key().enqueue_throttle(2, hour).into(),
            "one" => key().perform(1).into(),
            "one by label" => label().perform(1).into(),
            "slow" => key().perform_throttle(3, second).into(),
            "slow by label" => label().perform_throttle(3, second).into(),
            _ => Limits::new(),
        }
    }
}

impl Perform<Runs> for Visit {
    async fn perform(self, cx: Context<Runs>) -> JobResult {
        let work = tokio::time::sleep(Duration::from_millis(self.millis));
        Ok(cx.state().log_as(&cx, work).await?)
    }
}

fn visit(shop: &str, rules: &str) -> Visit {
    Visit { shop: shop.into(), millis: 0, rules: rules.into() }
}

fn new(shop: &str, rules: &str) -> NewJob {
    NewJob::new(&visit(shop, rules)).unwrap()
}

/// A database, the log of runs and workers.
struct Shop {
    runs: Runs,
    workers: Vec<Harness>,
    database: Database,
}

impl Shop {
    async fn with_workers(number: usize) -> Self {
        let database = crate::database().await;
        let runs = Runs::at(&database.url()).await;
        let mut shop = Self { runs, workers: Vec::new(), database };
        for _ in 0..number {
            let worker = shop.worker().await;
            shop.workers.push(worker);
        }
        shop
    }

    async fn worker(&self) -> Harness {
        let jobs = Registry::new(self.runs.clone()).register::<Visit>();
        Harness::start_with(&self.database, jobs, |config, _| {
            config.poll_interval = Some(Duration::from_secs(1));
        })
        .await
    }

    fn pool(&self) -> &PgPool {
        self.runs.pool()
    }

    async fn number(&self, question: &'static str) -> i64 {
        sqlx::query_scalar(question).fetch_one(self.pool()).await.unwrap()
    }

    /// Waits until a count is reached.
    async fn until(&self, question: &'static str, expected: i64) {
        eventually(question, PATIENCE, async || {
            let found = self.number(question).await;
            if found == expected { Ok(()) } else { Err(found) }
        })
        .await;
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) {
        self.workers[0].adapter().enqueue_all(jobs).await.unwrap();
    }

    async fn end(self) {
        for worker in self.workers {
            worker.stop().await;
        }
        self.runs.close().await;
    }
}

const UNFINISHED: &str = "SELECT count(*) FROM good_jobs WHERE finished_at IS NULL";
/// Pairs of runs that went on at the same time, whatever their jobs.
const TOGETHER: &str = "SELECT count(*) FROM runs a JOIN runs b ON b.id > a.id
                        AND b.started_at < COALESCE(a.ended_at, 'infinity')
                        AND a.started_at < COALESCE(b.ended_at, 'infinity')";

async fn stored(store: &PgStore) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM good_jobs").fetch_one(store.pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_enqueues_never_exceed_a_strict_limit() {
    for rules in ["strict", "strict label"] {
        let database = crate::database().await;
        let stores = [database.store().await, database.store().await];
        let enqueues = (0..40).map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move {
                let adapter = store.adapter();
                if n % 3 > 0 {
                    return adapter.enqueue(visit("a", rules)).await.is_ok();
                }
                let mut tx = store.pool().begin().await.unwrap();
                let stored = adapter.enqueue(visit("a", rules)).enqueue_in(&mut *tx).await;
                tx.commit().await.unwrap();
                match stored {
                    Ok(_) => true,
                    Err(EnqueueError::LimitExceeded(by)) => {
                        assert_eq!((by.scope.name(), by.bound), ("a", Bound::Limit(5)));
                        false
                    }
                    Err(error) => panic!("{error}"),
                }
            })
        });
        let mut accepted = 0;
        for enqueue in enqueues.collect::<Vec<_>>() {
            accepted += i64::from(enqueue.await.unwrap());
        }
        assert_eq!((accepted, stored(&stores[0]).await), (5, 5), "{rules}");
        for store in stores {
            store.close().await;
        }
    }
}

#[tokio::test]
async fn a_strict_limit_holds_from_the_enqueue_to_the_end_of_the_callers_transaction() {
    let database = crate::database().await;
    let store = database.store().await;
    let adapter = store.adapter();
    for commits in [false, true] {
        let mut tx = store.pool().begin().await.unwrap();
        for _ in 0..5 {
            adapter.enqueue(visit("a", "strict")).enqueue_in(&mut *tx).await.unwrap();
        }
        let sixth = adapter.enqueue(visit("a", "strict")).enqueue_in(&mut *tx).await;
        assert!(matches!(sixth, Err(EnqueueError::LimitExceeded(_))), "{sixth:?}");
        // What a limit stops aborts nothing.
        sqlx::query("SELECT 1").execute(&mut *tx).await.unwrap();
        if commits {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
    }
    assert_eq!(stored(&store).await, 5);
    store.close().await;
}

/// Each would keep a connection of the store, of which there are few.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enqueues_that_wait_for_a_callers_transaction_stop_no_others() {
    let database = crate::database().await;
    let store = database.store().await;
    let pool = database.pool().await;
    let mut tx = pool.begin().await.unwrap();
    store.enqueue_in(&mut *tx, &[new("a", "strict")]).await.unwrap();
    let waiting: Vec<_> = (0..2 * store.options().pool_size)
        .map(|_| {
            let adapter = store.adapter();
            tokio::spawn(async move { adapter.enqueue(visit("a", "strict")).await.is_ok() })
        })
        .collect();
    for _ in 0..20 {
        store.adapter().enqueue(visit("b", "strict")).await.ok();
        store.adapter().enqueue(visit("c", "")).await.unwrap();
    }
    assert!(waiting.iter().all(|enqueue| !enqueue.is_finished()), "they wait for the transaction");
    tx.commit().await.unwrap();
    let mut accepted = 1;
    for enqueue in waiting {
        accepted += i64::from(enqueue.await.unwrap());
    }
    assert_eq!(accepted, 5);
    assert_eq!(stored(&store).await, 5 + 5 + 20);
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn an_enqueue_that_a_limit_stops_is_an_answer_and_no_row() {
    let database = crate::database().await;
    let store = database.store().await;
    let adapter = store.adapter();
    for _ in 0..3 {
        adapter.enqueue(visit("a", "total")).await.unwrap();
    }
    let error = adapter.enqueue(visit("a", "total")).await.unwrap_err();
    assert_eq!(error.to_string(), "not enqueued: the limit of 3 for the key \"a\" is reached");
    adapter.enqueue(visit("b", "total")).await.unwrap();
    for _ in 0..2 {
        adapter.enqueue(visit("r", "rare")).await.unwrap();
    }
    let error = adapter.enqueue(visit("r", "rare")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "not enqueued: the throttle of 2 in 3600s for the key \"r\" is reached"
    );
    assert_eq!(stored(&store).await, 6);
    store.close().await;
}

#[tokio::test]
async fn each_job_of_many_gets_its_own_answer_and_a_repeated_call_the_same() {
    let database = crate::database().await;
    let store = database.store().await;
    let mut jobs: Vec<NewJob> = (0..5).map(|_| new("a", "total")).collect();
    jobs.push(new("b", "total"));
    jobs.push(new("c", "none"));
    let answers = store.adapter().enqueue_all(jobs.clone()).await.unwrap();
    let stopped: Vec<bool> =
        answers.iter().map(|answer| matches!(answer, Inserted::Stopped { .. })).collect();
    assert_eq!(stopped, [false, false, false, true, true, false, false]);
    let again = store.enqueue_in(store.pool(), &jobs).await.unwrap();
    let already = |n: usize| Inserted::AlreadyThere(jobs[n].id);
    assert_eq!([0, 1, 2, 5, 6].map(|n| again[n].clone()), [0, 1, 2, 5, 6].map(already));
    assert_eq!(store.adapter().enqueue_all(jobs.clone()).await.unwrap(), again);
    assert_eq!(stored(&store).await, 5);
    store.close().await;
}

/// Jobs that somebody has locked, in either way, do not count where waiting ones are limited (wire contract 10.2).
#[tokio::test]
async fn a_limit_of_waiting_jobs_counts_no_locked_ones() {
    let database = crate::database().await;
    let store = database.store().await;
    let adapter = store.adapter();
    let one = adapter.enqueue(visit("a", "waiting")).await.unwrap();
    let two = adapter.enqueue(visit("a", "waiting")).await.unwrap();
    assert!(adapter.enqueue(visit("a", "waiting")).await.is_err());
    let mut holder = store.pool().acquire().await.unwrap();
    let key = advisory_key(&format!("good_jobs-{one}"));
    sqlx::query("SELECT pg_advisory_lock($1)").bind(key).execute(&mut *holder).await.unwrap();
    adapter.enqueue(visit("a", "waiting")).await.unwrap();
    assert!(adapter.enqueue(visit("a", "waiting")).await.is_err());
    sqlx::query("UPDATE good_jobs SET locked_by_id = gen_random_uuid() WHERE id = $1")
        .bind(two.as_uuid())
        .execute(store.pool())
        .await
        .unwrap();
    adapter.enqueue(visit("a", "waiting")).await.unwrap();
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(key).execute(&mut *holder).await.unwrap();
    drop(holder);
    store.close().await;
}

/// The same credentials are never used by two sessions at once, whoever runs them (S-65).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_at_a_time_over_four_workers_and_a_thousand_jobs_and_none_starves() {
    let shop = Shop::with_workers(4).await;
    shop.enqueue((0..1_000).map(|_| new("a", "one")).collect()).await;
    shop.until(UNFINISHED, 0).await;
    assert_eq!(shop.number(TOGETHER).await, 0);
    assert_eq!(shop.number("SELECT count(DISTINCT job) FROM runs").await, 1_000);
    let attempts = shop.number("SELECT count(*) FROM good_job_executions").await;
    assert!(attempts < 1_500, "{attempts} attempts for 1,000 jobs");
    shop.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_keys_go_on_beside_each_other_and_labels_are_limited_too() {
    let shop = Shop::with_workers(3).await;
    let jobs = (0..60).map(|n| new(&format!("shop-{}", n % 6), "one by label"));
    shop.enqueue(jobs.collect()).await;
    shop.until(UNFINISHED, 0).await;
    let together = "SELECT count(*) FROM runs a JOIN runs b ON b.id > a.id
                      AND b.started_at < a.ended_at AND a.started_at < b.ended_at
                    JOIN good_jobs j ON j.id = a.job JOIN good_jobs k ON k.id = b.job AND k.labels = j.labels";
    assert_eq!(shop.number(together).await, 0);
    shop.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_start_in_a_while_than_a_throttle_lets_through() {
    for rules in ["slow", "slow by label"] {
        let shop = Shop::with_workers(2).await;
        shop.enqueue((0..12).map(|_| new("a", rules)).collect()).await;
        shop.until(UNFINISHED, 0).await;
        // The start that is throttled is that of the attempt.
        let most = "SELECT max(n) FROM (
          SELECT (SELECT count(*) FROM good_job_executions y
                  WHERE y.error IS NULL AND y.created_at >= x.created_at
                    AND y.created_at < x.created_at + interval '1 s') AS n
          FROM good_job_executions x WHERE x.error IS NULL) AS windows";
        assert_eq!(shop.number(most).await, 3, "{rules}");
        let others = "SELECT count(*) FROM good_job_executions WHERE error IS NOT NULL
                      AND error <> 'GoodJob::ActiveJobExtensions::Concurrency::ThrottleExceededError: GoodJob::ActiveJobExtensions::Concurrency::ThrottleExceededError'";
        assert_eq!(shop.number(others).await, 0, "{THROTTLED}");
        shop.end().await;
    }
}

/// A row of the gem's that one of its workers runs: started, owned, and not ours.
async fn run_by_ruby(pool: &PgPool, job: JobId) {
    sqlx::query(
        "UPDATE good_jobs SET performed_at = now() - interval '1 s', locked_at = now() - interval '1 s',
                              locked_by_id = gen_random_uuid(), executions_count = 1,
                              job_class = 'RubysJob' WHERE id = $1",
    )
    .bind(job.as_uuid())
    .execute(pool)
    .await
    .unwrap();
}

/// What the gem's check lets begin (wire contract 10.3).
async fn allowed_by_ruby(pool: &PgPool, limit: i64) -> Vec<Uuid> {
    sqlx::query_scalar(
        "SELECT active_job_id FROM good_jobs WHERE concurrency_key = 'a'
         AND performed_at IS NOT NULL AND finished_at IS NULL
         ORDER BY COALESCE(performed_at, scheduled_at, created_at) ASC LIMIT $1",
    )
    .bind(limit)
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_behind_rubys_is_put_off_as_the_gem_does_and_runs_when_that_is_over() {
    let mut shop = Shop::with_workers(0).await;
    let store = shop.database.store().await;
    let rubys = store.adapter().enqueue(visit("a", "none")).await.unwrap();
    sqlx::query("UPDATE good_jobs SET concurrency_key = 'a' WHERE id = $1")
        .bind(rubys.as_uuid())
        .execute(store.pool())
        .await
        .unwrap();
    run_by_ruby(store.pool(), rubys).await;
    let worker = shop.worker().await;
    let ours = worker.enqueue(visit("a", "one")).await;
    let put_off: JobRecord = eventually("the first attempt", PATIENCE, async || {
        let job = worker.job(ours).await;
        job.error.is_some().then_some(job)
    })
    .await;
    assert_eq!(put_off.error, Some(format!("{EXCEEDED}: {EXCEEDED}")));
    assert_eq!(put_off.error_event, Some(ErrorEvent::Retried));
    assert_eq!((put_off.performed_at, put_off.finished_at), (None, None));
    assert_eq!(put_off.payload.executions(), 1);
    assert_eq!(put_off.payload.exception_executions(&format!("[{EXCEEDED}]")), 1);
    let wait = put_off.scheduled_at.unwrap() - put_off.created_at;
    assert!((2..8).contains(&wait.num_seconds()), "{wait}");
    let attempts = worker.attempts(ours).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].error, put_off.error);
    assert!(attempts[0].backtrace.is_empty() && attempts[0].finished_at.is_some());
    assert_eq!(allowed_by_ruby(store.pool(), 2).await, [rubys.as_uuid()]);
    // Ruby tells nobody that it has ended: the job looks by itself.
    sqlx::query("UPDATE good_jobs SET finished_at = now(), locked_by_id = NULL WHERE id = $1")
        .bind(rubys.as_uuid())
        .execute(store.pool())
        .await
        .unwrap();
    let over = worker.finished(ours).await;
    assert_eq!((over.error, shop.runs.of(ours).await), (None, 1));
    store.close().await;
    shop.workers.push(worker);
    shop.end().await;
}

/// Ruby's own jobs that wait for room are brought forward by the end of ours; what is scheduled is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_job_makes_the_next_one_due_and_leaves_scheduled_ones_alone() {
    let shop = Shop::with_workers(1).await;
    let adapter = shop.workers[0].adapter();
    let hour = Duration::from_secs(60 * 60);
    let tomorrow = adapter.enqueue(visit("a", "one")).wait(hour).await.unwrap();
    let waits = adapter.enqueue(visit("a", "one")).wait(hour).await.unwrap();
    let mark = sqlx::query("UPDATE good_jobs SET error = $2, error_event = 3 WHERE id = $1")
        .bind(waits.as_uuid())
        .bind(format!("{EXCEEDED}: {EXCEEDED}"));
    mark.execute(shop.pool()).await.unwrap();
    let first = adapter.enqueue(visit("a", "one")).await.unwrap();
    shop.workers[0].all_finished(&[first, waits]).await;
    let job = shop.workers[0].job(tomorrow).await;
    assert_eq!((job.performed_at, job.finished_at, job.error), (None, None, None));
    assert_eq!(shop.runs.of(tomorrow).await, 0);
    shop.end().await;
}

/// What our workers write about a job that has to wait is what an explanation reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_put_off_is_explained_by_the_job_that_holds_the_place() {
    let shop = Shop::with_workers(1).await;
    let worker = &shop.workers[0];
    let long = Visit { millis: 600_000, ..visit("a", "one") };
    let holder = worker.adapter().enqueue(long).await.unwrap();
    shop.until("SELECT count(*) FROM runs", 1).await;
    let waits = worker.adapter().enqueue(visit("a", "one")).await.unwrap();
    let held = eventually("an explanation by the limit", PATIENCE, async || {
        let explanation = worker.store().explain(waits).await.unwrap().unwrap();
        match explanation.reasons.into_iter().map(|reason| reason.why).next() {
            Some(Why::LimitHeld(held)) if held.error.is_some() => Ok(held),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(held.others.iter().map(|other| other.id).collect::<Vec<_>>(), [holder]);
    assert_eq!(held.key.as_deref(), Some("a"));
    for worker in shop.workers {
        worker.stop_with(Shutdown::Now).await;
    }
    shop.runs.close().await;
}

/// A job may write its success in a transaction of its own: its place is free with that commit, and given on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_completes_in_its_own_transaction_gives_its_place_on() {
    let database = crate::database().await;
    let pool = database.pool().await;
    let jobs = Registry::new(pool.clone()).register::<Pay>();
    let worker =
        Harness::start_with(&database, jobs, |config, _| config.poll_interval = None).await;
    let pays = (0..4).map(|_| NewJob::new(&Pay).unwrap());
    let stored = worker.adapter().enqueue_all(pays).await.unwrap();
    let ids: Vec<JobId> = stored.iter().map(|stored| stored.id()).collect();
    worker.all_finished(&ids).await;
    worker.stop().await;
    pool.close().await;
}

#[derive(Serialize, Deserialize)]
struct Pay;

impl Job for Pay {
    const CLASS: &'static str = "PayJob";

    fn limits(&self) -> Limits {
        Rule::by_key("till").perform(1).into()
    }
}

impl Perform<PgPool> for Pay {
    async fn perform(self, cx: Context<PgPool>) -> JobResult {
        let mut tx = cx.state().begin().await?;
        cx.complete_in(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Each tick is judged as any enqueue; one that a limit stops leaves no row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_of_cron_keep_to_the_limits_of_their_jobs() {
    let shop = Shop::with_workers(0).await;
    let entry = |key: &str| CronEntry::new(key, "* * * * * *", visit("a", "strict")).unwrap();
    let jobs = Registry::new(shop.runs.clone()).register::<Visit>();
    let worker = Harness::start_with(&shop.database, jobs, |config, _| {
        config.pools = "elsewhere".parse::<Pools>().unwrap().with_default(NonZeroUsize::MIN);
        config.cron.entries = vec![entry("one"), entry("two")];
    })
    .await;
    // Both tick at the same time: only a strict limit counts them one after the other.
    shop.until("SELECT count(*) FROM good_jobs", 5).await;
    let at = "SELECT extract(epoch FROM now())::bigint";
    let (now, begun) = (shop.number(at).await, "SELECT count(*) FROM good_jobs");
    eventually("three more ticks", PATIENCE, async || {
        (shop.number(at).await > now + 3).then_some(())
    })
    .await;
    assert_eq!(shop.number(begun).await, 5, "no tick beyond the limit is stored");
    worker.stop().await;
    shop.end().await;
}

/// Whoever held the only place is gone: its job runs again, and the others after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_cut_off_strands_nobody() {
    let mut shop = Shop::with_workers(1).await;
    let long = Visit { millis: 60_000, ..visit("a", "one") };
    let first = shop.workers[0].enqueue(long).await;
    shop.until("SELECT count(*) FROM runs", 1).await;
    shop.enqueue((0..20).map(|_| new("a", "one")).collect()).await;
    shop.until("SELECT count(*) FROM good_jobs WHERE error IS NOT NULL", 20).await;
    let other = shop.worker().await;
    let gone = shop.workers.pop().unwrap();
    let arguments = json!([{"shop": "a", "millis": 0, "rules": "one",
                            "_aj_ruby2_keywords": ["shop", "millis", "rules"]}]);
    sqlx::query("UPDATE good_jobs SET serialized_params = jsonb_set(serialized_params, '{arguments}', $2) WHERE id = $1")
        .bind(first.as_uuid())
        .bind(arguments)
        .execute(shop.pool())
        .await
        .unwrap();
    assert_eq!(gone.stop_with(Shutdown::Now).await.cut_off, [first]);
    shop.workers.push(other);
    shop.until(UNFINISHED, 0).await;
    shop.end().await;
}

/// Claims stay flat: what waits behind a limit is put off in groups and met by no claim again. Counted, not
/// timed. On the gem's indexes fewer, since each change of a row costs several times as much there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_blocked_jobs_are_each_touched_about_once() {
    let blocked: i64 =
        if crate::SCHEMA == goodjob_testkit::Schema::LEAN { 100_000 } else { 10_000 };
    let shop = Shop::with_workers(0).await;
    let store = shop.database.store().await;
    let first = store.adapter().enqueue(visit("a", "one")).await.unwrap();
    sqlx::query(
        "INSERT INTO good_jobs (id, active_job_id, job_class, queue_name, priority, serialized_params,
                                concurrency_key, created_at, updated_at, scheduled_at)
         SELECT many.id, many.id, job_class, queue_name, priority, serialized_params, concurrency_key,
                now() + n * interval '1 microsecond', now(), now() + n * interval '1 microsecond' - interval '1 s'
         FROM good_jobs CROSS JOIN LATERAL (SELECT n, gen_random_uuid() AS id FROM generate_series(1, $1) n) AS many
         ORDER BY n",
    )
    .bind(blocked)
    .execute(store.pool())
    .await
    .unwrap();
    run_by_ruby(store.pool(), first).await;
    sqlx::raw_sql("ANALYZE good_jobs").execute(store.pool()).await.unwrap();
    let worker = shop.worker().await;
    let due = "SELECT count(*) FROM good_jobs WHERE finished_at IS NULL AND performed_at IS NULL AND scheduled_at <= now()";
    eventually("all to be put off", Duration::from_secs(300), async || {
        let found = shop.number(due).await;
        if found < 50 { Ok(()) } else { Err(found) }
    })
    .await;
    let attempts = shop.number("SELECT count(*) FROM good_job_executions").await;
    assert!(attempts < 2_000, "{attempts} attempts");
    // A job of another kind, behind all of them in the same lane, starts at once.
    let other = worker.enqueue(visit("b", "none")).await;
    worker.finished(other).await;
    // Room for one: one more runs, and then the next, while the others stay where they are.
    let before = shop.number("SELECT count(*) FROM good_jobs WHERE scheduled_at > now()").await;
    sqlx::query("UPDATE good_jobs SET finished_at = now(), locked_by_id = NULL WHERE id = $1")
        .bind(first.as_uuid())
        .execute(store.pool())
        .await
        .unwrap();
    eventually("a hundred ends", PATIENCE, async || {
        let ended = shop.number("SELECT count(*) FROM runs WHERE ended_at IS NOT NULL").await;
        if ended >= 100 { Ok(()) } else { Err(ended) }
    })
    .await;
    let after = shop.number("SELECT count(*) FROM good_jobs WHERE scheduled_at > now()").await;
    assert!(before - after < 5_000, "{before} waited, then {after}");
    assert_eq!(shop.number(TOGETHER).await, 0);
    store.close().await;
    worker.stop().await;
    shop.end().await;
}

/// A claim that commits late has an early start and was seen by nobody: by the gem's order it would begin beside
/// one that has begun already.
#[tokio::test]
async fn a_claim_that_commits_late_does_not_begin_beside_one_that_has_begun() {
    let database = crate::database().await;
    let store = database.store().await;
    store.beat(&ProcessRecord::new("limits")).await.unwrap();
    store.adapter().enqueue_all([new("a", "one"), new("a", "one")]).await.unwrap();
    let wanted = Wanted { queues: QueueSelector::All, classes: vec![Visit::CLASS.to_owned()] };
    let mut claims = Vec::new();
    for _ in 0..2 {
        claims.extend(goodjob_testkit::claims(&store, &wanted, 1).await.taken);
    }
    let [early, late] = claims.as_slice() else { panic!("{claims:?}") };
    assert!(early.token.performed_at < late.token.performed_at);
    let limits = visit("a", "one").limits();
    // As long as both are seen and neither has begun, the first one goes first.
    assert!(matches!(store.admit(late, &limits).await.unwrap(), Admission::Exceeded { .. }));
    let show = async |started: Option<Timestamp>| {
        let statement = "UPDATE good_jobs SET performed_at = $2::timestamptz, locked_at = $2::timestamptz WHERE id = $1";
        let query = sqlx::query(statement).bind(early.job.id.as_uuid()).bind(started);
        query.execute(store.pool()).await.unwrap();
    };
    show(None).await;
    assert_eq!(store.admit(late, &limits).await.unwrap(), Admission::Granted);
    show(Some(early.token.performed_at)).await;
    assert_eq!(allowed_by_ruby(store.pool(), 1).await, [early.job.id.as_uuid()]);
    assert!(matches!(store.admit(early, &limits).await.unwrap(), Admission::Exceeded { .. }));
    let tokens: Vec<_> = claims.iter().map(|claim| claim.token).collect();
    store.release(&tokens).await.unwrap();
    store.close().await;
}
