//! `goodjob bench`: how fast jobs are stored, found and done here, in turns with raw SQL of the same work.
//!
//! `bench/site.rs` is where it takes place and what has to be removed again, `bench/tally.rs` the jobs,
//! `bench/limit.rs` the raw SQL, `bench/report.rs` the figures; the rest is a measurement a file.

mod backlog;
mod drain;
mod enqueue;
mod latency;
mod limit;
mod report;
mod screen;
mod site;
mod sustained;
mod tally;

use goodjob_testkit::cluster::Settings as ServerSettings;

use super::Workplace;
use super::place::Place;
use crate::args::{BenchCommand, WorkerSettings};
use crate::error::CliError;
use crate::signals::Signals;
use report::Line;
use screen::Screen;
use site::Site;

pub(super) async fn bench(command: &BenchCommand, workplace: &Workplace) -> Result<(), CliError> {
    let settings = workplace.settings(&WorkerSettings::default())?;
    if settings.database.is_some() && command.common().gem_indexes {
        let reason =
            "--gem-indexes: a database that is set is measured with the indexes that it has";
        return Err(CliError::Usage(reason.to_owned()));
    }
    let mut signals = Signals::catch().map_err(|error| CliError::Failed(error.to_string()))?;
    let opening = async {
        let place = Place::find(settings.database, server()).await?;
        Site::open(place, command.common().gem_indexes, Screen::new(workplace.output().json)).await
    };
    let site = tokio::select! {
        site = opening => site?,
        signal = signals.next() => return Err(CliError::Stopped(signal)),
    };
    let measured = tokio::select! {
        lines = measure(command, &site) => lines,
        signal = signals.next() => Err(CliError::Stopped(signal)),
    };
    let removed = tokio::select! {
        removed = site.close(measured.is_ok()) => removed,
        signal = signals.next() => Err(CliError::Failed(format!(
            "{signal} before all rows were removed: some are left in queues {}…", site.name()
        ))),
    };
    let lines = measured.and_then(|lines| removed.map(|()| lines))?;
    workplace.output().list(&lines, || report::table(&lines));
    Ok(())
}

async fn measure(command: &BenchCommand, site: &Site) -> Result<Vec<Line>, CliError> {
    match command {
        BenchCommand::Drain(args) => drain::drain(args, site).await,
        BenchCommand::Latency(args) => latency::latency(args, site).await,
        BenchCommand::Enqueue(args) => enqueue::enqueue(args, site).await,
        BenchCommand::Sustained(args) => sustained::sustained(args, site).await,
        BenchCommand::Backlog(args) => backlog::backlog(args, site).await,
    }
}

/// A throwaway server that is as safe as one in use: what a commit costs is a part of every figure. Vacuum
/// runs between measurements, and not at a moment of its own.
fn server() -> ServerSettings {
    [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("shared_buffers", "1GB"),
        ("max_wal_size", "4GB"),
        ("autovacuum", "off"),
    ]
    .into_iter()
    .fold(ServerSettings::new(), |settings, (name, value)| settings.set(name, value))
}
