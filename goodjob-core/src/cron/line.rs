//! A line of cron: what fugit, the gem's parser, understands in it is rewritten for croner, which counts.

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Year};

use super::english;
use super::zone::Zone;
use crate::clock::Timestamp;

/// The fields, and what may stand in each.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31, or L for the last one"),
    ("month", "1 to 12, or jan to dec"),
    ("day of the week", "0 to 7, or sun to sat, also as in mon#2 or fri#L"),
];

const DAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const EXPECTED: &str =
    "expected 5 or 6 fields such as \"0 3 * * *\", a word such as @daily, or \"every day at noon\"";

/// When something is due, by the clock on the wall of a zone.
#[derive(Clone, Debug)]
pub(super) struct Line {
    cron: Cron,
    /// Seconds to days of the week.
    fields: [String; 6],
    pub(super) zone: Option<Zone>,
}

impl Line {
    /// Reads a line, or tells what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with("@reboot") {
            return Err("starts of a process are no ticks; enqueue at the start instead".to_owned());
        }
        let (spoken, zone) = split_zone(text)?;
        let written = match spoken.to_ascii_lowercase() {
            english if english::speaks(&english) => english::compile(&english)?,
            word => named(&word).map_or(word, str::to_owned),
        };
        let mut words: Vec<String> = written.split_whitespace().map(str::to_owned).collect();
        if words.len() == 5 {
            words.insert(0, "0".to_owned());
        }
        let fields = <[String; 6]>::try_from(words).map_err(|_| EXPECTED.to_owned())?;
        let fields = rewritten(fields)?;
        let cron = parsed(&fields.join(" ")).map_err(|_| blame(&fields))?;
        let line = Self { cron, fields, zone };
        // A leap day may be eight years away, and "0 0 30 2 *" is never.
        match line.next_after(Utc::now(), Zone::UTC) {
            Some(_) => Ok(line),
            None => Err("expected a time that comes at least once".to_owned()),
        }
    }

    /// The first tick strictly after `after`, in whole seconds.
    pub(super) fn next_after(&self, after: Timestamp, zone: Zone) -> Option<Timestamp> {
        let after: DateTime<_> = after.with_timezone(&self.zone.unwrap_or(zone).tz());
        let next = self.cron.find_next_occurrence(&after, false).ok()?;
        Some(next.with_timezone(&Utc))
    }

    /// Whether it has no zone of its own, and would be due at other times in another one.
    pub(super) fn depends_on_zone(&self) -> bool {
        self.zone.is_none() && self.fields[2..].iter().any(|field| field != "*")
    }

    /// The line as it is counted, with five fields where five are enough.
    pub(super) fn written(&self) -> String {
        match self.fields[0].as_str() {
            "0" => self.fields[1..].join(" "),
            _ => self.fields.join(" "),
        }
    }
}

fn parsed(line: &str) -> Result<Cron, croner::errors::CronError> {
    // As fugit has it, `0/15` is `0-59/15`, and there is no field for the year.
    CronParser::builder().sloppy_ranges(true).year(Year::Disallowed).build().parse(line)
}

/// Takes a zone off the end.
fn split_zone(text: &str) -> Result<(&str, Option<Zone>), String> {
    let Some((rest, last)) = text.rsplit_once(char::is_whitespace) else {
        return Ok((text, None));
    };
    match last.parse() {
        Ok(zone) => Ok((rest.trim_end(), Some(zone))),
        Err(error) if looks_like_a_zone(last) => Err(error.to_string()),
        Err(_) => Ok((text, None)),
    }
}

/// `Europe/Pariss` and `Paris`, but not `mon/2`, `mon`, `Monday`, `fri,sat` or `noon`.
fn looks_like_a_zone(word: &str) -> bool {
    let parts: Vec<&str> = word.split('/').collect();
    let named = parts.iter().all(|part| part.starts_with(|c: char| c.is_ascii_alphabetic()));
    let capital = word.starts_with(|c: char| c.is_ascii_uppercase());
    let letters = word.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    let day = DAYS.iter().any(|day| day[..3].eq_ignore_ascii_case(&word[..word.len().min(3)]));
    let offset = word.starts_with(['+', '-']) && word.contains(':');
    (named && parts.len() > 1) || (capital && letters && word.len() > 4 && !day) || offset
}

/// The lines that have names.
fn named(word: &str) -> Option<&'static str> {
    Some(match word {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@noon" => "0 12 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

/// What fugit takes and croner writes otherwise. The fields are in lower case.
fn rewritten(mut fields: [String; 6]) -> Result<[String; 6], String> {
    if fields[5].contains('%') {
        return Err(
            "a modulo such as mon%2 is not understood; use a function of the last run".into()
        );
    }
    for day in DAYS {
        fields[5] = fields[5].replace(day, &day[..3]);
    }
    fields[5] = fields[5].replace("#last", "#l").replace("#-1", "#l");
    let days = fields[3].replace("last", "l");
    let days = days.split(',').map(|day| if day == "-1" { "l" } else { day });
    fields[3] = days.collect::<Vec<_>>().join(",");
    // Both days have to fit, not either: `&` at the end of one of them.
    if fields[3].ends_with('&') || fields[5].ends_with('&') {
        fields[3] = fields[3].trim_end_matches('&').to_owned();
        fields[5] = format!("+{}", fields[5].trim_end_matches('&'));
    }
    Ok(fields)
}

/// Names the field that is wrong: the first that cannot be read even among stars.
fn blame(fields: &[String; 6]) -> String {
    for (n, (name, range)) in FIELDS.iter().enumerate() {
        let mut alone = ["*"; 6];
        alone[n] = &fields[n];
        if parsed(&alone.join(" ")).is_err() {
            return format!("the {name} is {:?}, expected {range}", fields[n]);
        }
    }
    EXPECTED.to_owned()
}
