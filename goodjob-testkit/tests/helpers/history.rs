//! A day of history is the same to the byte, and is read and worked on like any other rows.

use std::collections::BTreeMap;
use std::time::Instant;

use goodjob_core::{
    Cleanup, Context, Inspect, Job, JobResult, JobState, Perform, Registry, Timestamp,
};
use goodjob_testkit::{Database, Harness, History, Rows, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const TABLES: [&str; 5] = [
    "good_jobs",
    "good_job_executions",
    "good_job_batches",
    "good_job_processes",
    "good_job_settings",
];

fn noon() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn day() -> Rows {
    History::ending(noon()).jobs(600).rows()
}

/// Every row of every table, by id.
async fn dump(database: &Database) -> BTreeMap<&'static str, Vec<(String, Value)>> {
    let pool = database.pool().await;
    let mut tables = BTreeMap::new();
    for table in TABLES {
        let statement = match table {
            "good_jobs" => "SELECT t::text, to_jsonb(t) FROM good_jobs t ORDER BY id",
            "good_job_executions" => {
                "SELECT t::text, to_jsonb(t) FROM good_job_executions t ORDER BY id"
            }
            "good_job_batches" => "SELECT t::text, to_jsonb(t) FROM good_job_batches t ORDER BY id",
            "good_job_processes" => {
                "SELECT t::text, to_jsonb(t) FROM good_job_processes t ORDER BY id"
            }
            _ => "SELECT t::text, to_jsonb(t) FROM good_job_settings t ORDER BY id",
        };
        tables.insert(table, sqlx::query_as(statement).fetch_all(&pool).await.unwrap());
    }
    pool.close().await;
    tables
}

async fn stored(schema: Schema) -> BTreeMap<&'static str, Vec<(String, Value)>> {
    let database = Database::with_schema(schema).await;
    let store = database.store().await;
    day().store_in(&store).await;
    store.close().await;
    dump(&database).await
}

#[tokio::test]
async fn two_databases_have_the_same_bytes_on_whatever_tables() {
    let mut seen = Vec::new();
    let schemas = [
        Schema::LEAN,
        Schema::GEM,
        Schema::GEM_V4_0,
        Schema::GEM.timestamptz().time_zone("Asia/Tokyo"),
    ];
    for schema in schemas {
        let (one, other) = (stored(schema).await, stored(schema).await);
        assert!(one == other, "{schema:?}");
        for (table, rows) in &one {
            assert!(rows.len() >= 3, "{table}: {}", rows.len());
        }
        seen.push(one);
    }
    assert!(seen[0] == seen[1], "ours and the gem's have the same rows");
    // The oldest lack two columns, and nothing else.
    for (table, rows) in &seen[2] {
        for ((_, old), (_, new)) in rows.iter().zip(&seen[0][table]) {
            let missing = new.as_object().unwrap().iter();
            let missing: Vec<_> =
                missing.filter(|(key, value)| old.get(key) != Some(value)).collect();
            let known = |key: &str| key == "lock_type" || key == "jobs_finished_at";
            assert!(missing.iter().all(|(key, _)| known(key)), "{table}: {missing:?}");
        }
    }
}

#[test]
fn seed_end_and_size_each_make_another_day() {
    let day = day();
    assert_eq!(day, self::day());
    let ids = |rows: &Rows| rows.jobs.iter().map(|job| job.id).collect::<Vec<_>>();
    let other = History::ending(noon()).jobs(600).seed(2).rows();
    assert_eq!(ids(&other).iter().filter(|id| ids(&day).contains(id)).count(), 0);
    let later = History::ending(noon() + chrono::TimeDelta::hours(1)).jobs(600).rows();
    assert_ne!(later, day);
    // A longer day has the shorter one's jobs: each follows from its own number.
    let longer = History::ending(noon()).jobs(700).rows();
    let kept = ids(&day).iter().filter(|id| ids(&longer).contains(id)).count();
    assert!(kept > 550, "{kept}");
}

/// A change here is a change of what users see in their pictures: it belongs into the changelog.
#[test]
fn it_is_this_day_in_every_run_and_on_every_platform() {
    let day = day();
    let text = serde_json::to_string(&(&day.jobs, &day.executions, &day.batches)).unwrap();
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    assert_eq!(text.bytes().fold(0xcbf2_9ce4_8422_2325, step), 3_207_117_841_137_928_228);
}

#[test]
fn it_is_believable() {
    let rows = day();
    let mut states: BTreeMap<JobState, usize> = BTreeMap::new();
    for job in &rows.jobs {
        *states.entry(job.state(noon())).or_default() += 1;
    }
    let of = |state| states.get(&state).copied().unwrap_or(0);
    assert!(of(JobState::Succeeded) > 500, "{states:?}");
    for (state, least) in [
        (JobState::Discarded, 5),
        (JobState::Running, 3),
        (JobState::Queued, 5),
        (JobState::Scheduled, 10),
        (JobState::Retried, 3),
    ] {
        assert!(of(state) >= least, "{state}: {states:?}");
    }
    let ids: std::collections::BTreeSet<_> = rows.jobs.iter().map(|job| job.id).collect();
    assert_eq!(ids.len(), rows.jobs.len(), "no id twice");
    let classes: std::collections::BTreeSet<_> = rows.jobs.iter().map(|job| &job.class).collect();
    let queues: std::collections::BTreeSet<_> = rows.jobs.iter().map(|job| &job.queue).collect();
    assert!(classes.len() >= 12 && queues.len() >= 6, "{classes:?} {queues:?}");
    assert!(rows.jobs.iter().filter(|job| job.ties.tick.is_some()).count() >= 24 + 96);
    assert!(rows.jobs.iter().any(|job| job.ties.batch_callback.is_some()));
    assert!(rows.batches.iter().any(|batch| batch.is_succeeded()));
    assert!(rows.batches.iter().any(|batch| !batch.is_finished()));
    let interruptions = |rows: &Rows| {
        let events = rows.executions.iter().filter_map(|attempt| attempt.error_event);
        events.filter(|event| event.code() == 0).count()
    };
    assert!(interruptions(&History::ending(noon()).rows()) >= 1);

    for job in &rows.jobs {
        let times = [Some(job.created_at), job.performed_at, job.finished_at];
        let times: Vec<_> = times.into_iter().flatten().collect();
        assert!(times.is_sorted() && times.iter().all(|at| *at <= noon()), "{job:?}");
        let attempts = rows.executions.iter().filter(|attempt| attempt.job == job.id).count();
        assert_eq!(usize::try_from(job.executions_count).unwrap(), attempts, "{job:?}");
    }
    // Afternoons are busier than nights.
    let between = |from: i64, to: i64| {
        let start = noon() - chrono::TimeDelta::hours(24);
        let range = start + chrono::TimeDelta::hours(from)..start + chrono::TimeDelta::hours(to);
        rows.jobs.iter().filter(|job| range.contains(&job.created_at)).count()
    };
    assert!(between(0, 6) > 2 * between(12, 18), "{} {}", between(0, 6), between(12, 18));
}

#[derive(Serialize, Deserialize)]
struct SyncContact {
    contact_id: i64,
}

impl Job for SyncContact {
    const CLASS: &'static str = "SyncContactJob";
}

impl Perform for SyncContact {
    async fn perform(self, _: Context) -> JobResult {
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct LegacyExport {
    export_id: i64,
}

impl Job for LegacyExport {
    const CLASS: &'static str = "LegacyExportJob";
}

impl Perform for LegacyExport {
    async fn perform(self, _: Context) -> JobResult {
        Ok(())
    }
}

#[tokio::test]
async fn it_is_read_back_as_it_was_and_a_worker_goes_on_with_it() {
    for schema in [Schema::LEAN, Schema::GEM_V4_0.prefixed("acme_").in_schema("jobs")] {
        let database = Database::with_schema(schema).await;
        let store = database.store().await;
        let rows = day();
        let start = Instant::now();
        rows.store_in(&store).await;
        let count = rows.jobs.len() + rows.executions.len();
        println!("{count} jobs and attempts stored in {:?}", start.elapsed());
        assert_eq!(store.all_jobs().await.unwrap(), rows.jobs);
        for job in rows.jobs.iter().step_by(17) {
            let expected: Vec<_> =
                rows.executions.iter().filter(|attempt| attempt.job == job.id).cloned().collect();
            assert_eq!(store.executions(job.id).await.unwrap(), expected);
            assert!(store.show(job.id).await.unwrap().is_some());
        }
        store.close().await;

        let due: Vec<_> = rows.jobs.iter().filter(|job| job.finished_at.is_none()).collect();
        let of = |class: &str| {
            due.iter().filter(|job| job.class == class).map(|job| job.id).collect::<Vec<_>>()
        };
        let jobs = Registry::default().register::<SyncContact>().register::<LegacyExport>();
        let worker = Harness::start_with(&database, jobs, |config, _| {
            config.cleanup = Cleanup::OFF;
        })
        .await;
        let waiting = of("SyncContactJob");
        assert!(waiting.len() >= 3, "{waiting:?}");
        for job in worker.all_finished(&waiting).await {
            assert_eq!(job.state(Timestamp::MAX_UTC), JobState::Succeeded);
        }
        worker.capsule().drained().await;
        for paused in of("LegacyExportJob") {
            assert_eq!(worker.job(paused).await.performed_at, None, "its class is paused");
        }
        worker.stop().await;
    }
}
