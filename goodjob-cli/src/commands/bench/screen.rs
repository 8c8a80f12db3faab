//! What a bench shows while it runs: a bar on a terminal, a line for each run elsewhere.

use std::convert::Infallible;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// How often the bar is renewed. More often would be measured.
const FRAME: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    Bar,
    Lines,
}

impl Screen {
    /// A machine that reads JSON may have a person at its side, but no need of bars.
    pub(super) fn new(json: bool) -> Self {
        if !json && std::io::stderr().is_terminal() { Self::Bar } else { Self::Lines }
    }

    pub(super) fn say(self, text: &str) {
        output::tell("bench", &text);
    }

    /// Shows how far something has come, for as long as `work` takes.
    pub(super) async fn during<T>(
        self,
        what: &str,
        target: u64,
        so_far: impl Fn() -> u64,
        work: impl Future<Output = T>,
    ) -> T {
        tokio::select! {
            done = work => done,
            never = self.follow(what, target, so_far) => match never {},
        }
    }

    async fn follow(self, what: &str, target: u64, so_far: impl Fn() -> u64) -> Infallible {
        if self == Self::Lines {
            return std::future::pending().await;
        }
        let bar = ProgressBar::new(target).with_prefix(what.to_owned());
        let style =
            ProgressStyle::with_template("{prefix} {wide_bar} {human_pos}/{human_len} {elapsed}");
        let bar = match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        let _bar = Cleared(bar.clone());
        let mut rhythm = tokio::time::interval(FRAME);
        loop {
            rhythm.tick().await;
            bar.set_position(so_far());
        }
    }
}

/// Takes its bar off the screen when it is dropped.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
