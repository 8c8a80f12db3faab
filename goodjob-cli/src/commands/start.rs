//! `goodjob start`: runs jobs until a signal, an idle timeout, or with `--once` until none is due.

use std::net::SocketAddr;

use goodjob_core::{Backend, Callbacks, Capsule, Config, CronEntry, Drained, Handlers};
use goodjob_postgres::{LockStrategy, PgOptions, PgStore};
use tracing::{info, warn};

use super::Workplace;
use super::workplace::{all_entries, all_jobs};
use crate::args::StartArgs;
use crate::error::CliError;
use crate::pidfile::Pidfile;
use crate::probe::{Probe, ProbeServer};
use crate::settings::{Problems, Settings};
use crate::signals::{Interrupt, Signals};
use crate::systemd;

pub(super) async fn start(
    args: &StartArgs,
    workplace: &Workplace,
    handlers: Handlers,
    entries: Vec<CronEntry>,
) -> Result<(), CliError> {
    let settings = workplace.settings(&args.settings)?;
    let (handlers, entries) = both(all_jobs(handlers, &settings), all_entries(entries, &settings))?;
    let database = settings.database.as_ref().ok_or(CliError::NoDatabase)?;
    // Before connecting, so that a signal from here on ends the worker in order.
    let mut signals = Signals::catch().map_err(|error| CliError::Failed(error.to_string()))?;
    let _pidfile = settings.pidfile.as_deref().map(Pidfile::write).transpose()?;
    // Before the capsule, which counts only for a recorder that is there when it starts.
    let probes = settings.probe.map(answer_probes).transpose()?;

    let mut config = settings.config();
    // A worker that ends when nothing is due waits for no tick.
    config.cron.entries = if settings.enable_cron && !args.once { entries } else { Vec::new() };
    let (capsule, store) = tokio::select! {
        connected = connect(database, &config, &settings.callbacks, &handlers) => connected?,
        signal = signals.next() => return interrupted_early(signal),
    };
    if let Some((probe, _)) = &probes {
        probe.watch(&capsule, &store);
    }
    announce(&capsule, &config, &settings, database, &handlers);
    systemd::ready();
    let _watchdog = systemd::watchdog(&capsule);
    announce_callbacks(&store).await;

    let reason = until_the_end(&capsule, args.once, &settings, &mut signals).await;
    info!("{reason}: taking no new jobs");
    systemd::stopping();
    shut_down(&capsule, &settings, &mut signals).await
}

/// Both, or the problems of both.
fn both<A, B>(one: Result<A, Problems>, other: Result<B, Problems>) -> Result<(A, B), Problems> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(one), Err(other)) => Err(Problems([one.0, other.0].concat())),
        (Err(problems), _) | (_, Err(problems)) => Err(problems),
    }
}

async fn connect(
    database: &PgOptions,
    config: &Config,
    callbacks: &Callbacks,
    handlers: &Handlers,
) -> Result<(Capsule, PgStore), CliError> {
    let store = PgStore::connect(database.clone()).await?;
    let backend = Backend::from(&store).with_callbacks(callbacks.clone());
    Ok((Capsule::start(config.clone(), handlers.clone(), backend).await?, store))
}

fn answer_probes(address: SocketAddr) -> Result<(Probe, ProbeServer), CliError> {
    let probe = Probe::new();
    let server = ProbeServer::start(address, &probe)
        .map_err(|reason| CliError::Probe { address, reason })?;
    info!("probes are answered at http://{}", server.address());
    Ok((probe, server))
}

/// Nothing was claimed yet, so there is nothing to wait for.
fn interrupted_early(signal: Interrupt) -> Result<(), CliError> {
    info!("{signal} before the worker had started");
    Ok(())
}

/// One line for the process and one per pool: what a person checks first.
fn announce(
    capsule: &Capsule,
    config: &Config,
    settings: &Settings,
    database: &PgOptions,
    handlers: &Handlers,
) {
    let classes = handlers.classes();
    let poll_interval = settings.poll_interval.map(|every| format!("{every:?}"));
    info!(
        process = %capsule.process(),
        database = database.target(),
        lock_strategy = %database.lock_strategy,
        listen = database.listen_notify,
        poll_interval = poll_interval.as_deref().unwrap_or("off"),
        classes = classes.len(),
        "goodjob {} is ready", env!("CARGO_PKG_VERSION"),
    );
    for pool in &config.pools {
        info!("pool {} has slots: {}", pool.queues, pool.max_threads);
    }
    if classes.is_empty() {
        warn!(
            "this worker knows no job class and will run nothing: list some in goodjob.toml, \
             or run your own program built on goodjob-cli"
        );
    }
    announce_cron(config, settings);
    let other = match database.lock_strategy {
        LockStrategy::Hybrid => None,
        LockStrategy::Advisory => Some(LockStrategy::SkipLocked),
        LockStrategy::SkipLocked => Some(LockStrategy::Advisory),
    };
    if let Some(other) = other {
        warn!(
            "this worker locks by {}: a Ruby worker that locks by {other} would run the same jobs at the \
             same time; hybrid is safe beside both",
            database.lock_strategy
        );
    }
    if settings.poll_interval.is_none() && !database.listen_notify {
        warn!("neither polls nor LISTEN: jobs enqueued from now on are found by timers only");
    }
}

/// Callbacks that would wait for ever. Not being able to look is no reason not to work.
async fn announce_callbacks(store: &PgStore) {
    match store.unknown_callbacks().await {
        Ok(unknown) if unknown.is_empty() => {}
        Ok(unknown) => warn!(
            "batches call back classes that neither this worker nor another knows: {}; they stay queued",
            unknown.join(", ")
        ),
        Err(error) => warn!(%error, "cannot look for callbacks that nobody knows"),
    }
}

/// The entries, and what may surprise about them.
fn announce_cron(config: &Config, settings: &Settings) {
    let cron = &config.cron;
    if settings.enable_cron && cron.entries.is_empty() {
        warn!("cron is enabled and has no entries");
        return;
    }
    for entry in &cron.entries {
        info!(key = entry.key(), schedule = %entry.schedule(), "cron entry");
    }
    let homeless: Vec<&str> = cron
        .entries
        .iter()
        .filter(|entry| entry.schedule().depends_on_zone())
        .map(CronEntry::key)
        .collect();
    if settings.cron_zone.is_none() && !homeless.is_empty() {
        warn!(
            "these cron entries name no time zone and are read in UTC, which Ruby processes may not do: {}; \
             set cron_time_zone, or TZ, to the zone of all",
            homeless.join(", ")
        );
    }
    if cron.graceful_restart.is_some_and(|period| period > config.cleanup.retention.age) {
        warn!(
            "cron_graceful_restart_period is longer than finished jobs are kept: a tick whose row is deleted \
             would run again"
        );
    }
}

/// Waits for the first reason to end, and names it.
async fn until_the_end(
    capsule: &Capsule,
    once: bool,
    settings: &Settings,
    signals: &mut Signals,
) -> String {
    let drained = async {
        match once {
            true => capsule.drained().await,
            false => std::future::pending().await,
        }
    };
    let idle = async {
        match settings.idle_timeout {
            Some(quiet) => capsule.idle_for(quiet).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        signal = signals.next() => signal.to_string(),
        () = drained => "nothing is due any more".to_owned(),
        () = idle => "idle".to_owned(),
    }
}

async fn shut_down(
    capsule: &Capsule,
    settings: &Settings,
    signals: &mut Signals,
) -> Result<(), CliError> {
    let ending = capsule.shutdown(settings.shutdown);
    tokio::pin!(ending);
    tokio::select! {
        drained = &mut ending => verdict(&drained),
        signal = signals.next() => {
            warn!("{signal} again: not waiting for running jobs");
            capsule.hurry();
            tokio::select! {
                _ = &mut ending => {}
                // A third one does not even wait for the database.
                _ = signals.next() => {}
            }
            Err(CliError::Interrupted(signal))
        }
    }
}

fn verdict(drained: &Drained) -> Result<(), CliError> {
    match drained.cut_off.len() {
        0 => {
            info!("all jobs have ended");
            Ok(())
        }
        cut_off => Err(CliError::CutOff(cut_off)),
    }
}
