//! `[cron.KEY]` of `goodjob.toml` and the JSON of `GOOD_JOB_CRON`, entry by entry, with every problem noted.

use std::time::Duration;

use config::Value;
use goodjob_core::{Arguments, CronEntry, Schedule};
use serde_json::{Map, Value as Json};

use super::nearest::nearest;
use super::problem::{Place, Problem};
use super::seconds::{self, Seconds};

const KEYS: [&str; 7] =
    ["cron", "class", "args", "kwargs", "set", "description", "enabled_by_default"];
/// Options of Active Job, and of the gem, by the names that it has for them.
const OPTIONS: [&str; 7] =
    ["queue", "priority", "wait", "labels", "good_job_labels", "notify", "good_job_notify"];

/// The entries that are well, and what is wrong with the others.
pub(super) fn entries(value: &Value, place: &Place) -> (Vec<CronEntry>, Vec<Problem>) {
    let mut problems = Problems { place, found: Vec::new() };
    let all = match place {
        Place::File { .. } => value.clone().try_deserialize::<Json>().map_err(|e| e.to_string()),
        _ => {
            let text = value.clone().into_string().unwrap_or_default();
            serde_json::from_str(&text).map_err(|error| error.to_string())
        }
    };
    let entries = match all {
        Ok(Json::Object(all)) => {
            let mut entries: Vec<(&String, &Json)> = all.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            entries
                .into_iter()
                .filter_map(|(key, table)| entry(key, table, &mut problems))
                .collect()
        }
        Ok(other) => {
            problems.add(&[], format!("found {}, {}", kind(&other), example(place)));
            Vec::new()
        }
        Err(error) => {
            problems.add(&[], format!("{}: {error}", example(place)));
            Vec::new()
        }
    };
    (entries, problems.found)
}

fn example(place: &Place) -> &'static str {
    match place {
        Place::File { .. } => "expected tables such as [cron.nightly]",
        _ => {
            "expected JSON such as {\"nightly\": {\"cron\": \"0 3 * * *\", \"class\": \"NightlyJob\"}}"
        }
    }
}

/// What is wrong, each under its key.
struct Problems<'a> {
    place: &'a Place,
    found: Vec<Problem>,
}

impl Problems<'_> {
    fn add(&mut self, path: &[&str], message: String) {
        let dotted = path.iter().map(|part| bare(part)).collect::<Vec<_>>().join(".");
        self.found.push(match self.place {
            Place::File { path: file, .. } => {
                let key =
                    if path.is_empty() { "cron".to_owned() } else { format!("cron.{dotted}") };
                Problem { place: Place::File { path: file.clone(), key }, message }
            }
            place if path.is_empty() => Problem { place: place.clone(), message },
            place => Problem { place: place.clone(), message: format!("{dotted}: {message}") },
        });
    }

    fn expected(&mut self, path: &[&str], found: &Json, expected: &str) {
        self.add(path, format!("found {}, expected {expected}", kind(found)));
    }
}

/// A part of a key as TOML wants it.
fn bare(part: &str) -> String {
    let is_bare =
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if is_bare { part.to_owned() } else { format!("{part:?}") }
}

/// A value as a message shows it.
fn kind(value: &Json) -> String {
    match value {
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "a table".to_owned(),
        value => value.to_string(),
    }
}

/// One entry. Every key is read before the first `?` can end this.
fn entry(key: &str, table: &Json, problems: &mut Problems<'_>) -> Option<CronEntry> {
    let Json::Object(table) = table else {
        problems.expected(&[key], table, "a table with cron and class");
        return None;
    };
    let before = problems.found.len();
    unknown(&[key], table, &KEYS, problems);
    let schedule = schedule(key, table, problems);
    let class = text(key, table, "class", problems);
    if table.get("class").is_none_or(Json::is_null) {
        problems.add(&[key, "class"], "found none, expected the class of the jobs".to_owned());
    }
    let arguments = arguments(key, table, problems);
    let options = options(key, table, problems);
    let description = text(key, table, "description", problems);
    let enabled = boolean(&[key, "enabled_by_default"], table, problems);

    let made = CronEntry::of_class(key, schedule?, class?, arguments?);
    let mut entry = match made {
        Ok(entry) => entry,
        Err(error) => {
            problems.add(&[key], error.to_string());
            return None;
        }
    };
    entry = options.into_iter().fold(entry, |entry, option| option(entry));
    if let Some(description) = description {
        entry = entry.description(description);
    }
    if enabled == Some(false) {
        entry = entry.disabled_by_default();
    }
    if let Err(error) = entry.job(goodjob_core::Timestamp::UNIX_EPOCH) {
        problems.add(&[key, "set"], error.to_string());
    }
    (problems.found.len() == before).then_some(entry)
}

fn unknown(path: &[&str], table: &Map<String, Json>, known: &[&str], problems: &mut Problems<'_>) {
    for name in table.keys().filter(|name| !known.contains(&name.as_str())) {
        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        problems.add(
            &path,
            match nearest(name, known.iter().copied(), 4) {
                Some(right) => format!("no such key; did you mean {right}?"),
                None => format!("no such key, expected {}", known.join(", ")),
            },
        );
    }
}

fn schedule(key: &str, table: &Map<String, Json>, problems: &mut Problems<'_>) -> Option<Schedule> {
    match table.get("cron") {
        Some(Json::String(line)) => match line.parse() {
            Ok(schedule) => return Some(schedule),
            Err(error) => problems.add(&[key, "cron"], format!("{error}")),
        },
        None | Some(Json::Null) => {
            let message = "found none, expected a line such as \"0 3 * * *\"";
            problems.add(&[key, "cron"], message.to_owned());
        }
        Some(other) => problems.expected(&[key, "cron"], other, "a line such as \"0 3 * * *\""),
    }
    None
}

fn text(
    key: &str,
    table: &Map<String, Json>,
    name: &str,
    problems: &mut Problems<'_>,
) -> Option<String> {
    match table.get(name)? {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => {
            problems.expected(&[key, name], other, "a text");
            None
        }
    }
}

fn boolean(path: &[&str], table: &Map<String, Json>, problems: &mut Problems<'_>) -> Option<bool> {
    match table.get(*path.last()?)? {
        Json::Null => None,
        Json::Bool(value) => Some(*value),
        other => {
            problems.expected(path, other, "true or false");
            None
        }
    }
}

/// Positions, and keywords after them.
fn arguments(
    key: &str,
    table: &Map<String, Json>,
    problems: &mut Problems<'_>,
) -> Option<Arguments> {
    let before = problems.found.len();
    let mut values = match table.get("args") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(values)) => values.clone(),
        Some(other) => {
            problems.expected(&[key, "args"], other, "a list");
            Vec::new()
        }
    };
    match table.get("kwargs") {
        None | Some(Json::Null) => {}
        Some(Json::Object(keywords)) => match Arguments::keywords(keywords.clone()) {
            Ok(keywords) => values.extend(keywords.as_stored().iter().cloned()),
            Err(error) => problems.add(&[key, "kwargs"], error.to_string()),
        },
        Some(other) => problems.expected(&[key, "kwargs"], other, "a table"),
    }
    match Arguments::positional(values) {
        Ok(arguments) => (problems.found.len() == before).then_some(arguments),
        Err(error) => {
            problems.add(&[key, "args"], error.to_string());
            None
        }
    }
}

type Change = Box<dyn FnOnce(CronEntry) -> CronEntry>;

/// What `set` asks for.
fn options(key: &str, table: &Map<String, Json>, problems: &mut Problems<'_>) -> Vec<Change> {
    let set = match table.get("set") {
        None | Some(Json::Null) => return Vec::new(),
        Some(Json::Object(set)) => set,
        Some(other) => {
            problems.expected(&[key, "set"], other, "a table");
            return Vec::new();
        }
    };
    unknown(&[key, "set"], set, &OPTIONS, problems);
    let mut options: Vec<Change> = Vec::new();
    for (name, value) in set.iter().filter(|(_, value)| !value.is_null()) {
        match option(name, value) {
            Ok(Some(option)) => options.push(option),
            Ok(None) => {}
            Err(expected) => problems.expected(&[key, "set", name], value, expected),
        }
    }
    options
}

/// One option; `None` for a name that is none, and the error is what was expected.
fn option(name: &str, value: &Json) -> Result<Option<Change>, &'static str> {
    Ok(Some(match name {
        "queue" => {
            let queue = value.as_str().ok_or("a text")?.to_owned();
            Box::new(|entry: CronEntry| entry.queue(queue))
        }
        "priority" => {
            let priority = value.as_i64().and_then(|number| i32::try_from(number).ok());
            let priority = priority.ok_or("a whole number")?;
            Box::new(move |entry: CronEntry| entry.priority(priority))
        }
        "wait" => {
            let wait = span(value).ok_or("a time such as 90, \"90s\" or \"5m\"")?;
            Box::new(move |entry: CronEntry| entry.wait(wait))
        }
        "labels" | "good_job_labels" => {
            const EXPECTED: &str = "a list of texts";
            let labels = value.as_array().ok_or(EXPECTED)?.iter();
            let labels: Option<Vec<String>> =
                labels.map(|label| Some(label.as_str()?.to_owned())).collect();
            let labels = labels.ok_or(EXPECTED)?;
            Box::new(|entry: CronEntry| labels.into_iter().fold(entry, CronEntry::label))
        }
        "notify" | "good_job_notify" => {
            let notify = value.as_bool().ok_or("true or false")?;
            Box::new(move |entry: CronEntry| entry.notify(notify))
        }
        _ => return Ok(None),
    }))
}

fn span(value: &Json) -> Option<Duration> {
    let text = match value {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.clone(),
        _ => return None,
    };
    match seconds::parse(&text)? {
        Seconds::Of(span) => Some(span),
        Seconds::Off => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_json(all: &Json) -> (Vec<CronEntry>, Vec<String>) {
        let value = Value::new(None, all.to_string());
        let (entries, problems) = entries(&value, &Place::Variable("GOOD_JOB_CRON".to_owned()));
        (entries, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_entry_of_the_gem_is_read_with_all_its_keys() {
        let (entries, problems) = of_json(&json!({
            "nightly": {
                "cron": "0 3 * * * Europe/Paris", "class": "NightlyJob", "args": [1],
                "kwargs": {"a": 2}, "description": "At night", "enabled_by_default": false,
                "set": {"queue": "q", "priority": -10, "wait": 5, "good_job_labels": ["l"],
                        "good_job_notify": false},
            },
            "plain": {"cron": "every 5 minutes", "class": "PlainJob", "args": null, "set": {}},
        }));
        assert_eq!(problems, [""; 0]);
        let [nightly, plain] = &entries[..] else { panic!("{entries:?}") };
        let job = nightly.job(goodjob_core::Timestamp::UNIX_EPOCH).unwrap().unwrap();
        let stored = json!([1, {"a": 2, "_aj_ruby2_keywords": ["a"]}]);
        assert_eq!(json!(job.arguments.as_stored()), stored);
        assert_eq!((job.queue.as_str(), job.priority, job.notify), ("q", Some(-10), false));
        assert_eq!(job.due, goodjob_core::Due::In(Duration::from_secs(5)));
        assert_eq!(job.labels, ["l"]);
        assert_eq!(nightly.describes(), Some("At night"));
        assert!(!nightly.is_enabled_by_default() && plain.is_enabled_by_default());
        assert_eq!(plain.class(), Some("PlainJob"));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let (entries, problems) = of_json(&json!({
            "a": {"cron": "61 * * * *", "clas": "AJob", "args": {"x": 1}, "kwargs": [1]},
            "b c": {"cron": 5, "class": 7, "set": {"queu": "q", "priority": 1.5, "wait": "soon",
                    "labels": "l", "notify": "no", "wait_until": "noon"}},
            "d": "0 3 * * *",
            "e": {"cron": "@daily", "class": " ", "description": [], "enabled_by_default": "yes"},
            "f": {"cron": "@daily", "class": "FJob", "set": {"queue": ""}},
            "g": {"cron": "@daily", "class": "GJob", "schedule": 1},
        }));
        assert_eq!(entries, []);
        let expected = [
            "a.clas: no such key; did you mean class?",
            "a.cron: found \"61 * * * *\": the minute is \"61\", expected 0 to 59",
            "a.class: found none, expected the class of the jobs",
            "a.args: found a table, expected a list",
            "a.kwargs: found a list, expected a table",
            "\"b c\".cron: found 5, expected a line such as \"0 3 * * *\"",
            "\"b c\".class: found 7, expected a text",
            "\"b c\".set.queu: no such key; did you mean queue?",
            "\"b c\".set.wait_until: no such key, expected queue, priority, wait, labels, \
             good_job_labels, notify, good_job_notify",
            "\"b c\".set.labels: found \"l\", expected a list of texts",
            "\"b c\".set.notify: found \"no\", expected true or false",
            "\"b c\".set.priority: found 1.5, expected a whole number",
            "\"b c\".set.wait: found \"soon\", expected a time such as 90, \"90s\" or \"5m\"",
            "d: found \"0 3 * * *\", expected a table with cron and class",
            "e.description: found a list, expected a text",
            "e.enabled_by_default: found \"yes\", expected true or false",
            "e: class: found a blank name, expected a text",
            "f.set: queue: found a blank name, expected a text",
            "g.schedule: no such key, expected cron, class, args, kwargs, set, description, \
             enabled_by_default",
        ];
        let expected: Vec<String> =
            expected.iter().map(|problem| format!("GOOD_JOB_CRON: {problem}")).collect();
        assert_eq!(problems, expected);
    }

    #[test]
    fn what_is_no_object_is_shown_an_example() {
        let place = Place::Variable("GOOD_JOB_CRON".to_owned());
        let problem = |text: &str| {
            let (_, problems) = entries(&Value::new(None, text.to_owned()), &place);
            problems[0].to_string()
        };
        assert!(problem("[1]").starts_with("GOOD_JOB_CRON: found a list, expected JSON such as"));
        assert!(problem("{a").contains("line 1 column 2"), "{}", problem("{a"));
    }
}
