//! Log lines on stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::args::Global;
use crate::environment::Environment;
use crate::settings::LogFormat;

/// Starts logging, unless the application has done so already.
pub(crate) fn start(format: LogFormat, global: &Global, environment: &Environment) {
    let filter = filter(global, environment);
    let colour = io::stderr().is_terminal() && environment.get("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colour)
        .with_target(false);
    let lines = match format {
        LogFormat::Auto => lines.boxed(),
        LogFormat::Pretty => lines.pretty().boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = Registry::default().with(lines);
    #[cfg(feature = "otel")]
    let subscriber = subscriber.with(crate::traces::layer(environment));
    let started = subscriber.with(filter).try_init();
    // An error says that the application brought its own subscriber, which then has the say.
    drop(started);
}

fn filter(global: &Global, environment: &Environment) -> EnvFilter {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "warn",
        (false, 0) => "info",
        (false, 1) => {
            "info,goodjob=debug,goodjob_cli=debug,goodjob_core=debug,goodjob_postgres=debug"
        }
        (false, _) => "trace",
    };
    let wanted = environment.get("RUST_LOG").and_then(|wanted| EnvFilter::try_new(wanted).ok());
    wanted.unwrap_or_else(|| EnvFilter::new(level))
}
