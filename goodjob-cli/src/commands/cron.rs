//! `goodjob cron`: shows the entries, switches them, and runs one now.

use std::collections::BTreeMap;

use chrono::Utc;
use goodjob_core::{
    Adapter, CronEntry, CronStore, EnqueueError, Inserted, JobId, JobRecord, JobState, Timestamp,
    Zone,
};
use goodjob_postgres::PgStore;
use serde::Serialize;
use serde_json::json;

use super::Workplace;
use super::workplace::all_entries;
use crate::args::{CronCommand, WorkerSettings};
use crate::error::CliError;
use crate::output::table;
use crate::settings::nearest;

pub(super) async fn cron(
    command: CronCommand,
    workplace: &Workplace,
    entries: Vec<CronEntry>,
) -> Result<(), CliError> {
    let settings = workplace.settings(&WorkerSettings::default())?;
    let entries = all_entries(entries, &settings)?;
    // Before connecting: a mistyped key is no fault of the database.
    if let CronCommand::Enable { key } | CronCommand::Disable { key } | CronCommand::Run { key } =
        &command
    {
        find(&entries, key)?;
    }
    let zone = settings.cron_zone.unwrap_or_default();
    let store = PgStore::connect(settings.database.ok_or(CliError::NoDatabase)?).await?;
    let done = match &command {
        CronCommand::List => list(&entries, zone, &store, workplace).await,
        CronCommand::Enable { key } => {
            store.enable_cron(key).await?;
            say(workplace, key, true);
            Ok(())
        }
        CronCommand::Disable { key } => {
            store.disable_cron(key).await?;
            say(workplace, key, false);
            Ok(())
        }
        CronCommand::Run { key } => run(find(&entries, key)?, &store, workplace).await,
    };
    store.close().await;
    done
}

fn say(workplace: &Workplace, key: &str, enabled: bool) {
    workplace.output().result(&json!({ "key": key, "enabled": enabled }), || {
        format!("{key} is switched {}", if enabled { "on" } else { "off" })
    });
}

fn find<'a>(entries: &'a [CronEntry], key: &str) -> Result<&'a CronEntry, CliError> {
    let keys = || entries.iter().map(CronEntry::key);
    entries.iter().find(|entry| entry.key() == key).ok_or_else(|| {
        let hint = match nearest(key, keys(), 4) {
            Some(right) => format!("did you mean {right}?"),
            None if entries.is_empty() => "there are none; see docs/cron.md".to_owned(),
            None => format!("there are {}", keys().collect::<Vec<_>>().join(", ")),
        };
        CliError::Usage(format!("no cron entry has the key {key:?}; {hint}"))
    })
}

/// As the gem's dashboard does: the time of the tick is now, to the microsecond, and so no tick of the
/// schedule.
async fn run(entry: &CronEntry, store: &PgStore, workplace: &Workplace) -> Result<(), CliError> {
    let now = Timestamp::from_timestamp_micros(Utc::now().timestamp_micros()).unwrap_or_default();
    let job = entry.job(now).map_err(|error| CliError::Failed(error.to_string()))?;
    let job = job.ok_or_else(|| CliError::Failed("the entry makes no job now".to_owned()))?;
    let id = job.id;
    let stored = Adapter::new(store).enqueue_all([job]).await?;
    if let Some(Inserted::Stopped { by, .. }) = stored.into_iter().next() {
        return Err(EnqueueError::LimitExceeded(by).into());
    }
    workplace.output().result(&json!({ "id": id }), || id.to_string());
    Ok(())
}

/// An entry as it is listed.
#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    schedule: String,
    /// The fields that are counted by.
    line: Option<String>,
    zone: String,
    class: Option<&'a str>,
    next_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    last_job: Option<JobId>,
    last_state: Option<JobState>,
    enabled: bool,
    enabled_by_default: bool,
    description: Option<&'a str>,
}

async fn list(
    entries: &[CronEntry],
    zone: Zone,
    store: &PgStore,
    workplace: &Workplace,
) -> Result<(), CliError> {
    let keys: Vec<String> = entries.iter().map(|entry| entry.key().to_owned()).collect();
    let switches = store.cron_switches().await?;
    let last = store.last_ticks(&keys).await?;
    let last: BTreeMap<&str, &JobRecord> =
        last.iter().filter_map(|job| Some((job.ties.tick.as_ref()?.key.as_str(), job))).collect();
    let now = Utc::now();
    let rows: Vec<Row<'_>> = entries
        .iter()
        .map(|entry| {
            let enabled = switches.is_enabled(entry);
            row(entry, last.get(entry.key()).copied(), enabled, zone, now)
        })
        .collect();
    workplace.output().list(&rows, || text(&rows));
    Ok(())
}

fn row<'a>(
    entry: &'a CronEntry,
    last: Option<&JobRecord>,
    enabled: bool,
    zone: Zone,
    now: Timestamp,
) -> Row<'a> {
    let schedule = entry.schedule();
    let last_at = last.and_then(|job| job.ties.tick.as_ref()?.at);
    Row {
        key: entry.key(),
        schedule: schedule.to_string(),
        line: schedule.line(),
        zone: schedule.zone().unwrap_or(zone).to_string(),
        class: entry.class(),
        next_at: schedule.next(now, last_at, zone).map(|next| next.max(now)),
        last_at,
        last_job: last.map(|job| job.id),
        last_state: last.map(|job| job.state(now)),
        enabled,
        enabled_by_default: entry.is_enabled_by_default(),
        description: entry.describes(),
    }
}

fn text(rows: &[Row<'_>]) -> String {
    if rows.is_empty() {
        return "no cron entries".to_owned();
    }
    let headers =
        ["key", "schedule", "zone", "class", "next", "last", "last job", "enabled", "description"];
    let time = |at: Option<Timestamp>| {
        at.map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
    };
    table(
        headers,
        rows.iter().map(|row| {
            let job = row.last_job.zip(row.last_state);
            [
                row.key.to_owned(),
                row.schedule.clone(),
                row.zone.clone(),
                row.class.unwrap_or("(made)").to_owned(),
                time(row.next_at),
                time(row.last_at),
                job.map(|(id, state)| format!("{id} {state}")).unwrap_or_default(),
                if row.enabled { "yes" } else { "no" }.to_owned(),
                row.description.unwrap_or_default().to_owned(),
            ]
        }),
    )
}
