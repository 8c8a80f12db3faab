//! The rows of a job, with what differs from run to run masked, as lines that can be compared.

use chrono::{DateTime, NaiveDateTime};
use goodjob_core::JobId;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::ruby::Rails;

/// The jobs that the gem v4.19.2 ran, as it left them: times, ids, intervals and backtraces are masked,
/// and the null columns are there.
const GEM: &str = include_str!("../fixtures/gem_outcomes.json");

/// The jobs of the page.
pub(crate) fn gem_outcomes() -> Vec<Value> {
    serde_json::from_str(GEM).unwrap()
}

/// The job of the page with this name.
pub(crate) fn gem_outcome(name: &str) -> Value {
    let found = gem_outcomes().into_iter().find(|outcome| outcome["name"] == name);
    found.unwrap_or_else(|| panic!("the page has no {name:?}"))
}

/// What the gem would have left of a job of Rails 7.1: `scheduled_at` in every envelope, null until the
/// first retry (wire contract 2.2).
pub(crate) fn in_the_form_of(rails: Rails, mut outcome: Value) -> Value {
    if rails == Rails::V7_1 {
        let add = |row: &mut Value| {
            let envelope = &mut row["serialized_params"];
            let retried = !envelope["provider_job_id"].is_null();
            envelope["scheduled_at"] = if retried { json!("<time>") } else { Value::Null };
        };
        add(&mut outcome["job"]);
        outcome["executions"].as_array_mut().unwrap().iter_mut().for_each(add);
    }
    outcome
}

/// An outcome with other values at some places, each a JSON pointer.
pub(crate) fn changed(mut outcome: Value, changes: &[(&str, Value)]) -> Value {
    for (place, value) in changes {
        let found = outcome.pointer_mut(place);
        *found.unwrap_or_else(|| panic!("there is no {place}")) = value.clone();
    }
    outcome
}

/// A job and its attempts as they are stored.
pub(crate) async fn stored(pool: &PgPool, id: JobId) -> Value {
    sqlx::query_scalar(
        "SELECT jsonb_build_object('job', to_jsonb(j), 'executions', COALESCE(
           (SELECT jsonb_agg(x ORDER BY x.created_at) FROM good_job_executions x WHERE x.active_job_id = j.id),
           '[]'))
         FROM good_jobs j WHERE j.id = $1",
    )
    .bind(id.as_uuid())
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Columns that the gem has not written since v4.1: they are not on the page, and have to be null.
const LEGACY: [&str; 2] = ["job.is_discrete", "job.retried_good_job_id"];

/// One line for each value, `path = value`.
pub(crate) fn lines(rows: &Value, rails: Rails) -> Vec<String> {
    let mut lines = Vec::new();
    for part in ["job", "executions"] {
        walk(&rows[part], part, rails, &mut lines);
    }
    lines.sort();
    lines
}

fn walk(value: &Value, path: &str, rails: Rails, lines: &mut Vec<String>) {
    let in_envelope = path.contains("serialized_params.");
    match value {
        Value::Null if LEGACY.contains(&path) => {}
        Value::Array(frames) if path.ends_with(".error_backtrace") && !frames.is_empty() => {
            lines.push(format!("{path} = \"<backtrace>\""));
        }
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                walk(value, &format!("{path}.{key}"), rails, lines);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for (n, value) in values.iter().enumerate() {
                walk(value, &format!("{path}.{n}"), rails, lines);
            }
        }
        Value::String(text) => {
            let text = match path.rsplit('.').next().unwrap() {
                "duration" if !text.is_empty() => "<interval>".to_owned(),
                key if key.ends_with("_at") && in_envelope && is_written_by(rails, text) => {
                    "<time>".to_owned()
                }
                key if key.ends_with("_at") && !in_envelope && is_column(text) => {
                    "<time>".to_owned()
                }
                _ => without_ids(text),
            };
            lines.push(format!("{path} = {}", json!(text)));
        }
        other => lines.push(format!("{path} = {other}")),
    }
}

/// Whether a time is in the form of this Rails, to the digit.
fn is_written_by(rails: Rails, text: &str) -> bool {
    let length = if rails == Rails::V6_1 { 20 } else { 30 };
    text.len() == length && text.ends_with('Z') && DateTime::parse_from_rfc3339(text).is_ok()
}

fn is_column(text: &str) -> bool {
    text.parse::<NaiveDateTime>().is_ok()
}

fn without_ids(text: &str) -> String {
    const LENGTH: usize = 36;
    let start = (0..text.len()).find(|start| {
        text.get(*start..start + LENGTH).is_some_and(|part| part.parse::<Uuid>().is_ok())
    });
    match start {
        Some(start) => {
            format!("{}<uuid>{}", &text[..start], without_ids(&text[start + LENGTH..]))
        }
        None => text.to_owned(),
    }
}
