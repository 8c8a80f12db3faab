//! What the demo shows while it runs: bars on a terminal, lines elsewhere, JSON for a machine.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use super::load::{Count, Load, Stage};
use crate::output;

/// How often the picture is renewed: bars, and lines.
const FRAME: Duration = Duration::from_millis(80);
const LINE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    Bars,
    Lines,
    Json,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        match (json, std::io::stderr().is_terminal()) {
            (true, _) => Self::Json,
            (false, true) => Self::Bars,
            (false, false) => Self::Lines,
        }
    }

    pub(super) fn say(self, text: &str) {
        output::tell("demo", &text);
    }

    /// Shows the jobs until it is dropped.
    pub(super) async fn follow(self, pools: &str, load: &Load, stage: &Arc<Stage>) {
        match self {
            Self::Bars => follow_with_bars(load, stage).await,
            Self::Lines => {
                every(LINE, || {
                    let (mice, elephants) = (&stage.mice, &stage.elephants);
                    self.say(&format!(
                        "{pools}: {}, {}",
                        line("mice", mice, load.mice),
                        line("elephants", elephants, load.elephants)
                    ));
                })
                .await;
            }
            Self::Json => {
                every(LINE, || {
                    let count =
                        |count: &Count| json!({"running": count.running(), "done": count.ended()});
                    let (mice, elephants) = (count(&stage.mice), count(&stage.elephants));
                    let progress = json!({"pools": pools, "mice": mice, "elephants": elephants});
                    output::print(&json!({ "progress": progress }).to_string());
                })
                .await;
            }
        }
    }
}

fn line(kind: &str, count: &Count, of: usize) -> String {
    format!("{} of {of} {kind} done, {} running", count.ended(), count.running())
}

async fn follow_with_bars(load: &Load, stage: &Stage) {
    let bars = MultiProgress::new();
    let mice = bars.add(bar("mice", load.mice));
    let elephants = bars.add(bar("elephants", load.elephants));
    every(FRAME, || {
        for (bar, count) in [(&mice, &stage.mice), (&elephants, &stage.elephants)] {
            bar.set_position(count.ended() as u64);
            bar.set_message(format!("{} running", count.running()));
        }
    })
    .await;
}

fn bar(kind: &'static str, jobs: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>10} {bar:40} {pos:>4}/{len} {msg}");
    let bar = ProgressBar::new(jobs as u64).with_prefix(kind);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

async fn every(pause: Duration, mut show: impl FnMut()) {
    let mut rhythm = tokio::time::interval(pause);
    loop {
        rhythm.tick().await;
        show();
    }
}
