//! Figures, their medians, and the ratio of goodjob's to the limit's.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::output;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    JobsPerSecond,
    Milliseconds,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::JobsPerSecond => "jobs_per_s",
            Self::Milliseconds => "ms",
        }
    }

    fn round(self, value: f64) -> f64 {
        match self {
            Self::JobsPerSecond => value.round(),
            Self::Milliseconds => (value * 1000.0).round() / 1000.0,
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            // Speeds are positive, and far below what a float counts exactly.
            Self::JobsPerSecond => format!("{} jobs/s", grouped(value.round() as u64)),
            Self::Milliseconds => format!("{value:.2} ms"),
        }
    }
}

/// One measurement: goodjob's figures, and the limit's that were measured in turns with them.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) what: String,
    pub(super) unit: Unit,
    pub(super) runs: Vec<f64>,
    /// Pages that a job made the server look at.
    pub(super) pages: Vec<f64>,
    /// What raw SQL did, by its name.
    pub(super) limits: Vec<(String, Vec<f64>)>,
    /// The ratio to a line before, where that is of interest.
    pub(super) to_first: Option<f64>,
}

impl Line {
    pub(super) fn new(what: impl Into<String>, unit: Unit) -> Self {
        let (runs, pages, limits) = (Vec::new(), Vec::new(), Vec::new());
        Self { what: what.into(), unit, runs, pages, limits, to_first: None }
    }

    /// Adds a run of the limit.
    pub(super) fn add_limit(&mut self, what: &str, value: f64) {
        match self.limits.iter_mut().find(|(name, _)| name == what) {
            Some((_, runs)) => runs.push(value),
            None => self.limits.push((what.to_owned(), vec![value])),
        }
    }

    pub(super) fn median(&self) -> f64 {
        median(&self.runs)
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("what", &self.what)?;
        map.serialize_entry(self.unit.name(), &self.unit.round(self.median()))?;
        let runs: Vec<f64> = self.runs.iter().map(|run| self.unit.round(*run)).collect();
        map.serialize_entry("runs", &runs)?;
        if !self.pages.is_empty() {
            map.serialize_entry("pages_per_job", &hundredths(median(&self.pages)))?;
        }
        if let Some(ratio) = self.to_first {
            map.serialize_entry("to_first", &hundredths(ratio))?;
        }
        let limits: Vec<_> = self
            .limits
            .iter()
            .map(|(what, runs)| {
                let limit = median(runs);
                serde_json::json!({
                    "what": what, self.unit.name(): self.unit.round(limit),
                    "ratio": hundredths(self.median() / limit),
                })
            })
            .collect();
        if !limits.is_empty() {
            map.serialize_entry("limits", &limits)?;
        }
        map.end()
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The lines for a person; under each the limit's, with the ratio of goodjob's figure to it.
pub(super) fn table(lines: &[Line]) -> String {
    let ratio = |ratio: f64| format!("{ratio:.2}");
    let rows = lines.iter().flat_map(|line| {
        let text = |value| line.unit.text(value);
        let range = match line.runs.len() {
            0 | 1 => String::new(),
            _ => format!("{} … {}", text(least(&line.runs)), text(most(&line.runs))),
        };
        let pages = match line.pages.is_empty() {
            true => String::new(),
            false => format!("{:.1}", median(&line.pages)),
        };
        let to_first = line.to_first.map(ratio).unwrap_or_default();
        let own = [line.what.clone(), text(line.median()), range, pages, to_first];
        let limits = line.limits.iter().map(move |(what, runs)| {
            let limit = median(runs);
            let range = format!("{} … {}", text(least(runs)), text(most(runs)));
            [format!("  {what}"), text(limit), range, String::new(), ratio(line.median() / limit)]
        });
        std::iter::once(own).chain(limits).collect::<Vec<_>>()
    });
    output::table(["WHAT", "MEDIAN", "RUNS", "PAGES/JOB", "RATIO"], rows)
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The value in the middle, of two the mean of both; of none 0.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(upper), 1) => *upper,
        (Some(upper), _) => (sorted[middle - 1] + upper) / 2.0,
    }
}

/// The value that so many percent do not exceed, by nearest rank: one that there was.
pub(super) fn quantile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or(0.0)
}

/// `1,204`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let mut line = Line::new("10 slots", Unit::JobsPerSecond);
        line.runs = vec![9_000.0, 30_000.4, 20_000.0];
        line.pages = vec![31.04, 32.0, 31.0];
        for speed in [39_000.0, 41_000.0, 40_000.0] {
            line.add_limit("raw SQL, 2 connections", speed);
        }
        line
    }

    #[test]
    fn medians_and_quantiles_are_figures_that_there_were() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[1.0, 3.0]), median(&[])), (2.0, 2.0, 0.0));
        let waits: Vec<f64> = (1..=300).map(f64::from).collect();
        assert_eq!((quantile(&waits, 50), quantile(&waits, 99)), (150.0, 297.0));
        assert_eq!((quantile(&[7.0], 50), quantile(&[], 99)), (7.0, 0.0));
    }

    #[test]
    fn a_line_stands_above_its_limits_and_their_ratio() {
        let table = table(&[line()]);
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|t| !t.is_empty()).collect())
            .collect();
        assert_eq!(rows[1], ["10 slots", "20,000 jobs/s", "9,000 jobs/s … 30,000 jobs/s", "31.0"]);
        assert_eq!(
            rows[2],
            ["raw SQL, 2 connections", "40,000 jobs/s", "39,000 jobs/s … 41,000 jobs/s", "0.50"]
        );
    }

    #[test]
    fn a_machine_reads_the_same_as_a_person() {
        let json = serde_json::to_value(line()).unwrap();
        let expected = serde_json::json!({
            "what": "10 slots", "jobs_per_s": 20_000.0, "runs": [9_000.0, 30_000.0, 20_000.0],
            "pages_per_job": 31.04,
            "limits": [{"what": "raw SQL, 2 connections", "jobs_per_s": 40_000.0, "ratio": 0.5}],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn long_numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
