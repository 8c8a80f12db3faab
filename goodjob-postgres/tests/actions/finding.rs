//! Which jobs a filter finds, and in which order.

use std::collections::BTreeMap;
use std::time::Duration;

use goodjob_core::{Inspect, JobId, JobState, Timestamp};
use goodjob_postgres::jobs::{Filter, Page, STATES};
use goodjob_postgres::{PgStore, STATEMENTS};
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::plant::{EACH_STATE, plant, plant_with};

async fn found(store: &PgStore, filter: &Filter) -> Vec<JobId> {
    let page = store.jobs(filter, Page::first(100)).await.unwrap();
    assert_eq!(page.next, None);
    assert_eq!(store.count(filter).await.unwrap(), page.jobs.len() as u64);
    let mut ids: Vec<_> = page.jobs.iter().map(|job| job.id).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn every_row_is_in_one_state_which_is_that_of_its_record() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let mut planted = BTreeMap::new();
    for (state, change) in EACH_STATE {
        planted.insert(plant(&pool, change).await, state);
    }
    let later = "scheduled_at = now() + interval '1 hour'";
    for (state, change) in [
        // Its first retry: the gem counts it under scheduled.
        (
            JobState::Scheduled,
            format!("{later}, serialized_params = '{{\"executions\": 1}}', error = 'E: x'"),
        ),
        (
            JobState::Scheduled,
            format!("{later}, serialized_params = '{{\"executions\": \"many\"}}'"),
        ),
        (JobState::Scheduled, format!("{later}, serialized_params = '{{\"executions\": null}}'")),
        (JobState::Retried, format!("{later}, serialized_params = '{{\"executions\": 99999999}}'")),
        (JobState::Scheduled, format!("{later}, serialized_params = NULL")),
        (JobState::Scheduled, format!("{later}, serialized_params = '[2]'")),
        (JobState::Scheduled, "scheduled_at = NULL".to_owned()),
        (JobState::Scheduled, "scheduled_at = 'infinity'".to_owned()),
        (JobState::Queued, "scheduled_at = '-infinity'".to_owned()),
        (JobState::Running, format!("performed_at = now(), {later}")),
    ] {
        planted.insert(plant(&pool, &change).await, state);
    }
    for state in STATES {
        let expected: Vec<_> =
            planted.iter().filter(|(_, of)| **of == state).map(|(id, _)| *id).collect();
        assert_eq!(found(&store, &Filter::new().states([state])).await, expected, "{state}");
    }
    let page = store.jobs(&Filter::new(), Page::first(100)).await.unwrap();
    assert_eq!(page.jobs.len(), planted.len());
    for job in page.jobs {
        assert_eq!(job.state, planted[&job.id]);
        let record = store.job(job.id).await.unwrap().unwrap();
        assert_eq!(job.state, record.state(page.now), "{record:?}");
        assert_eq!(store.show(job.id).await.unwrap().unwrap().state, job.state);
    }
    assert_eq!(found(&store, &Filter::new().states([])).await, []);
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn all_conditions_have_to_hold() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let mail = plant(&pool, "queue_name = 'mail', labels = '{a,b}'").await;
    let none = plant(&pool, "queue_name = NULL, labels = '{b,NULL}'").await;
    let old = plant(&pool, "job_class = 'OldJob', created_at = now() - interval '2 days'").await;
    let new = Filter::new;
    let cases = [
        (new(), vec![mail, none, old]),
        (new().queue("mail").unwrap(), vec![mail]),
        (new().queue("Mail").unwrap(), vec![]),
        (new().without_queue(), vec![none]),
        (new().class("OldJob").unwrap(), vec![old]),
        (new().label("b").unwrap(), vec![mail, none]),
        (new().label("b").unwrap().label("a").unwrap(), vec![mail]),
        (new().ids([old, mail]), vec![mail, old]),
        (new().ids([]), vec![]),
        (new().older_than(Duration::from_secs(86_400)), vec![old]),
        (new().newer_than(Duration::from_secs(86_400)), vec![mail, none]),
        (new().label("b").unwrap().queue("mail").unwrap(), vec![mail]),
        (new().class("OldJob").unwrap().without_queue(), vec![]),
    ];
    for (filter, mut expected) in cases {
        expected.sort();
        assert_eq!(found(&store, &filter).await, expected, "{filter:?}");
    }
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn a_text_is_looked_for_as_it_is() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let percent = plant_with(&pool, json!(["100%", {"file": "a_b"}]), "priority = 0").await;
    let quoted =
        plant_with(&pool, json!([{"say": "\"Hi\", it's C:\\x\nnext"}]), "priority = 0").await;
    let failed =
        plant(&pool, "error = 'Net::OpenTimeout: to Mail-Server', finished_at = now()").await;
    let scalar = plant(&pool, "serialized_params = '\"only text\"'").await;
    let deep =
        plant_with(&pool, json!([format!("{}needle", "x".repeat(300_000))]), "priority = 0").await;
    let id = failed.to_string().to_uppercase();
    for (text, expected) in [
        ("0%", vec![percent]),
        ("1%0", vec![]),
        ("a_b", vec![percent]),
        ("aXb", vec![]),
        ("FILE", vec![percent]),
        ("\"hi\"", vec![quoted]),
        ("it's", vec![quoted]),
        ("'; DROP TABLE good_jobs; --", vec![]),
        ("c:\\x\nNEXT", vec![quoted]),
        ("opentimeout", vec![failed]),
        ("mail-server", vec![failed]),
        (id.as_str(), vec![failed]),
        ("only text", vec![]),
        ("needle", vec![]),
    ] {
        assert_eq!(found(&store, &Filter::new().text(text).unwrap()).await, expected, "{text:?}");
    }
    let all = store.count(&Filter::new()).await.unwrap();
    assert_eq!(all, 5, "{scalar} and {deep} are there");
    assert!(Filter::new().text("a\0b").unwrap_err().to_string().contains("NUL"));
    store.close().await;
    pool.close().await;
}

#[tokio::test]
async fn pages_show_every_job_once_newest_first() {
    let database = crate::database().await;
    let (store, pool) = (database.store().await, database.pool().await);
    let empty = store.jobs(&Filter::new(), Page::first(3)).await.unwrap();
    assert_eq!((empty.jobs.len(), empty.next), (0, None));
    assert!(empty.now > "2020-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
    let mut planted = Vec::new();
    for n in 0..10 {
        // Three of the same time each.
        let change = format!("created_at = '2026-01-01'::timestamp + interval '1 s' * {}", n / 3);
        planted.push(plant(&pool, &change).await);
    }
    planted.sort();
    let (mut seen, mut page) = (Vec::new(), Page::first(3));
    loop {
        let found = store.jobs(&Filter::new(), page).await.unwrap();
        seen.extend(found.jobs.iter().map(|job| (job.created_at, job.id)));
        let Some(next) = found.next else { break };
        assert_eq!(found.jobs.len(), 3);
        // What comes or goes meanwhile shifts nothing, not even when the page ended with it.
        plant(&pool, "priority = 0").await;
        sqlx::query("DELETE FROM good_jobs WHERE id = $1")
            .bind(next.id.as_uuid())
            .execute(&pool)
            .await
            .unwrap();
        page.after = Some(next);
    }
    assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    let mut ids: Vec<_> = seen.into_iter().map(|(_, id)| id).collect();
    ids.sort();
    assert_eq!(ids, planted);
    store.close().await;
    pool.close().await;
}

/// With the filter's values known, as the store has them planned.
#[tokio::test]
async fn few_failures_among_many_jobs_are_found_by_an_index() {
    let database = crate::database().await;
    let pool = database.pool().await;
    sqlx::raw_sql(
        "INSERT INTO good_jobs (active_job_id, job_class, queue_name, priority, serialized_params,
                                created_at, updated_at, scheduled_at, finished_at, error)
         SELECT gen_random_uuid(), 'A', 'q', 0, '{}', now(), now(), now(), now(),
                CASE WHEN n % 200 = 0 THEN 'E: x' END FROM generate_series(1, 20000) n;
         INSERT INTO good_job_executions (active_job_id, created_at, updated_at)
         SELECT id, now(), now() FROM good_jobs; ANALYZE;",
    )
    .execute(&pool)
    .await
    .unwrap();
    let text = |name| STATEMENTS.iter().find(|(of, _)| *of == name).map(|(_, text)| *text).unwrap();
    let others = "NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL";
    let discarded = format!("false, false, false, false, false, true, {others}");
    let unfinished = format!("true, true, true, true, false, false, {others}");
    let finished = format!("false, false, false, false, true, true, {others}");
    let me = "'{11111111-2222-4333-8444-555555555555}'";
    let mut connection = pool.acquire().await.unwrap();
    for (name, parameters) in [
        ("JOBS_COUNT", discarded.clone()),
        ("JOBS_COUNT", unfinished.clone()),
        ("JOBS_NEXT", format!("{discarded}, now(), NULL, 500")),
        ("JOBS_NEXT", format!("{finished}, now(), NULL, 500")),
        ("JOBS_LIST", format!("{unfinished}, NULL, NULL, 51")),
        ("RETRY_JOBS", format!("{me}, 'discarded', false")),
        ("DISCARD_JOBS", format!("{me}, 'unfinished', false, 'E: x'")),
        ("RESCHEDULE_JOBS", format!("{me}, 'unfinished', false, NULL, NULL")),
        ("DELETE_JOBS", format!("{me}, 'finished', false")),
    ] {
        let prepare = format!("DEALLOCATE ALL; PREPARE s AS {}", text(name));
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap();
        let plan: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN EXECUTE s({parameters})")))
                .persistent(false)
                .fetch_all(&mut *connection)
                .await
                .unwrap();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan on good_job"), "{name}({parameters})\n{plan}");
        // Many jobs of a bulk action are walked through once, and not sorted for each batch again.
        let many = name == "JOBS_NEXT" && parameters.starts_with(&finished);
        assert!(!many || !plan.contains("Sort"), "{name}({parameters})\n{plan}");
    }
    drop(connection);
    pool.close().await;
}
