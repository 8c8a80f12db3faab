//! Sentences such as `every day at noon`, as lines of cron.
//!
//! A strict grammar: what it does not know is an error and never another time. The parsers that exist
//! guess, `every weekday at noon` as every day for one.
//!
//! ```text
//! sentence = "every" what ["on" days] ["at" times] | "at" times
//! what     = [number] ("second" | "minute" | "hour" ["at minute" number])
//!          | "day" | "weekday" | "week" | "month" | "year" | weekdays | monthdays "of the month"
//! ```

use std::iter::Peekable;
use std::vec::IntoIter;

const EXAMPLES: &str = "expected a sentence such as \"every 15 minutes\", \"every weekday at 9:30\" or \
                        \"every month on the 1st at noon\"";

const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// Whether a text is meant as a sentence. It is in lower case.
pub(super) fn speaks(text: &str) -> bool {
    ["every ", "at "].iter().any(|word| text.starts_with(word))
}

/// The line of a sentence in lower case, or what is wrong with it.
pub(super) fn compile(text: &str) -> Result<String, String> {
    let spaced = text.replace(',', " , ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut sentence = Sentence { words: words.into_iter().peekable(), fields: Fields::default() };
    sentence.read().ok_or_else(|| EXAMPLES.to_owned())??;
    Ok(sentence.fields.line())
}

/// `None` is a word that does not belong there; an error says more.
type Read<T = ()> = Option<Result<T, String>>;

struct Sentence<'a> {
    words: Peekable<IntoIter<&'a str>>,
    fields: Fields,
}

/// What is left out is the first: midnight, the first of the month.
#[derive(Default)]
struct Fields {
    second: Option<String>,
    minute: Option<String>,
    hour: Option<String>,
    day: Option<String>,
    month: Option<String>,
    weekday: Option<String>,
}

impl Fields {
    fn line(self) -> String {
        let or = |field: Option<String>, other: &str| field.unwrap_or_else(|| other.to_owned());
        let second = self.second.map(|second| second + " ").unwrap_or_default();
        format!(
            "{second}{} {} {} {} {}",
            or(self.minute, "0"),
            or(self.hour, "0"),
            or(self.day, "*"),
            or(self.month, "*"),
            or(self.weekday, "*")
        )
    }
}

/// What `every` was followed by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Interval,
    Hours,
    Day,
    Week,
    Month,
}

impl<'a> Sentence<'a> {
    fn read(&mut self) -> Read {
        let what = match self.words.next()? {
            "every" => self.what()?,
            "at" => {
                return match self.times()? {
                    Ok(()) => self.end(),
                    wrong => Some(wrong),
                };
            }
            _ => return None,
        };
        let what = match what {
            Ok(what) => what,
            Err(wrong) => return Some(Err(wrong)),
        };
        let (mut on, mut at) = (false, false);
        while let Some(word) = self.words.next() {
            let read = match word {
                "on" if !on && what == What::Month => {
                    on = true;
                    self.monthdays().map(Ok)
                }
                "on" if !on && what == What::Week => {
                    on = true;
                    self.fields.weekday = None;
                    self.weekdays().map(Ok)
                }
                "at" if !at && what == What::Hours => {
                    at = true;
                    self.minute().map(Ok)
                }
                "at" if !at && what != What::Interval => {
                    at = true;
                    self.times()
                }
                // "every day at noon in Europe/Paris": the zone was taken off the end.
                "in" if self.words.peek().is_none() => Some(Ok(())),
                _ => None,
            };
            match read? {
                Ok(()) => {}
                wrong => return Some(wrong),
            }
        }
        Some(Ok(()))
    }

    fn end(&mut self) -> Read {
        match (self.words.next(), self.words.next()) {
            (None | Some("in"), None) => Some(Ok(())),
            _ => None,
        }
    }

    fn what(&mut self) -> Read<What> {
        let word = *self.words.peek()?;
        if let Ok(number) = word.parse::<u32>() {
            self.words.next();
            let unit = self.words.next()?;
            return self.interval(number, unit);
        }
        if weekday(word.split('-').next()?).is_some() {
            self.weekdays()?;
            return Some(Ok(What::Day));
        }
        if monthday(word).is_some() {
            self.monthdays()?;
            let of = [self.words.next()?, self.words.next()?, self.words.next()?];
            return (of == ["of", "the", "month"]).then_some(Ok(What::Day));
        }
        self.words.next();
        match word {
            "day" => {}
            "weekday" => self.fields.weekday = Some("1-5".to_owned()),
            "week" => {
                self.fields.weekday = Some("0".to_owned());
                return Some(Ok(What::Week));
            }
            "month" => {
                self.fields.day = Some("1".to_owned());
                return Some(Ok(What::Month));
            }
            "year" => {
                self.fields.day = Some("1".to_owned());
                self.fields.month = Some("1".to_owned());
            }
            unit => return self.interval(1, unit),
        }
        Some(Ok(What::Day))
    }

    /// `*/7` would start over in each minute, hour or day, which nobody who says "every 7 minutes" means.
    fn interval(&mut self, number: u32, unit: &str) -> Read<What> {
        let (unit, whole, bigger) = match unit.strip_suffix('s').unwrap_or(unit) {
            "second" | "sec" => ("second", 60, "minute"),
            "minute" | "min" => ("minute", 60, "hour"),
            "hour" => ("hour", 24, "day"),
            _ => return None,
        };
        if number == 0 || whole % number != 0 {
            return Some(Err(format!(
                "every {number} {unit}s would not be evenly spaced, since cron starts over each \
                 {bigger}: expected a number that divides {whole}, or a function of the last run"
            )));
        }
        let step = if number == 1 { "*".to_owned() } else { format!("*/{number}") };
        let star = || Some("*".to_owned());
        let fields = &mut self.fields;
        match unit {
            "second" => (fields.second, fields.minute, fields.hour) = (Some(step), star(), star()),
            "minute" => (fields.minute, fields.hour) = (Some(step), star()),
            _ => {
                fields.hour = Some(step);
                return Some(Ok(What::Hours));
            }
        }
        Some(Ok(What::Interval))
    }

    /// `minute 50`, after `every 6 hours at`.
    fn minute(&mut self) -> Option<()> {
        let (word, number) = (self.words.next()?, self.words.next()?);
        let minute: u32 = number.parse().ok().filter(|minute| *minute < 60)?;
        self.fields.minute = (word == "minute").then(|| minute.to_string());
        self.fields.minute.as_ref().map(drop)
    }

    /// `monday`, `mon and fri`, `mon, wed`, `monday to friday`, `sat-sun` as far as it goes forwards.
    fn weekdays(&mut self) -> Option<()> {
        let mut days = Vec::new();
        loop {
            let word = self.words.next()?;
            let (first, last) = match word.split_once('-') {
                Some((first, last)) => (first, Some(last)),
                None if self.words.next_if_eq(&"to").is_some() => (word, Some(self.words.next()?)),
                None => (word, None),
            };
            let first = weekday(first)?;
            match last {
                None => days.push(first),
                // Sunday ends a week as well as it begins one.
                Some(last) => {
                    let last = weekday(last)?;
                    let last = if last < first { last + 7 } else { last };
                    days.extend((first..=last).map(|day| day % 7));
                }
            }
            if !self.and() {
                break;
            }
        }
        self.fields.weekday = Some(list(days));
        Some(())
    }

    /// `the 1st and 15th`, `day 2`, `days 1, 15`, `the last day`.
    fn monthdays(&mut self) -> Option<()> {
        let mut days = Vec::new();
        loop {
            let _ = self.words.next_if_eq(&"the");
            let plain = self.words.next_if(|word| matches!(*word, "day" | "days")).is_some()
                || days.last().is_some_and(|(plain, _)| *plain);
            let word = self.words.next()?;
            let day = if plain { number(word, 1..=31)?.to_string() } else { monthday(word)? };
            let _ = self.words.next_if_eq(&"day");
            days.push((plain, day));
            if !self.and() {
                break;
            }
        }
        let days: Vec<String> = days.into_iter().map(|(_, day)| day).collect();
        self.fields.day = Some(days.join(","));
        Some(())
    }

    fn times(&mut self) -> Read {
        let (mut hours, mut minutes) = (Vec::new(), Vec::new());
        loop {
            let (hour, minute) = self.time()?;
            hours.push(hour);
            minutes.push(minute);
            if !self.and() {
                break;
            }
        }
        minutes.dedup();
        let [minute] = minutes[..] else {
            return Some(Err(
                "found times with different minutes, expected an entry for each".into()
            ));
        };
        self.fields.hour = Some(list(hours));
        self.fields.minute = Some(minute.to_string());
        Some(Ok(()))
    }

    /// `noon`, `midnight`, `17:30`, `5pm`, `5:30 pm`, `9`.
    fn time(&mut self) -> Option<(u32, u32)> {
        let word = self.words.next()?;
        match word {
            "noon" => return Some((12, 0)),
            "midnight" => return Some((0, 0)),
            _ => {}
        }
        let end = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
        let (digits, mut half) = word.split_at(end);
        if half.is_empty() {
            half = self.words.next_if(|word| matches!(*word, "am" | "pm")).unwrap_or_default();
        }
        let (hour, minute) = match digits.split_once(':') {
            Some((hour, minute)) if minute.len() == 2 => (hour, number(minute, 0..=59)?),
            Some(_) => return None,
            None => (digits, 0),
        };
        let hour = match half {
            "" => number(hour, 0..=23)?,
            "am" => number(hour, 1..=12)? % 12,
            "pm" => number(hour, 1..=12)? % 12 + 12,
            _ => return None,
        };
        Some((hour, minute))
    }

    /// Whether a list goes on.
    fn and(&mut self) -> bool {
        let comma = self.words.next_if_eq(&",").is_some();
        let and = self.words.next_if_eq(&"and").is_some();
        comma || and
    }
}

fn number(word: &str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
    word.parse().ok().filter(|number| range.contains(number))
}

fn weekday(word: &str) -> Option<u32> {
    let day = WEEKDAYS.iter().position(|day| *day == word || day[..3] == *word)?;
    u32::try_from(day).ok()
}

/// `1st` to `31st`, `first` and `last`.
fn monthday(word: &str) -> Option<String> {
    match word {
        "first" => return Some("1".to_owned()),
        "last" => return Some("L".to_owned()),
        _ => {}
    }
    let end = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end))?;
    number(end, 1..=31).map(|day| day.to_string())
}

/// In order, and each once.
fn list(mut numbers: Vec<u32>) -> String {
    numbers.sort_unstable();
    numbers.dedup();
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_the_line_that_it_says() {
        for (sentence, line) in [
            ("every second", "* * * * * *"),
            ("every 10 seconds", "*/10 * * * * *"),
            ("every minute", "* * * * *"),
            ("every 5 minutes", "*/5 * * * *"),
            ("every 15 min", "*/15 * * * *"),
            ("every hour", "0 * * * *"),
            ("every 6 hours", "0 */6 * * *"),
            ("every 12 hours at minute 50", "50 */12 * * *"),
            ("every day", "0 0 * * *"),
            ("every day at noon", "0 12 * * *"),
            ("at noon", "0 12 * * *"),
            ("at midnight", "0 0 * * *"),
            ("every day at 5", "0 5 * * *"),
            ("every day at 5pm", "0 17 * * *"),
            ("every day at 5:30 pm", "30 17 * * *"),
            ("every day at 12 am", "0 0 * * *"),
            ("every day at 12:15pm", "15 12 * * *"),
            ("every day at 18:00 and 20:00", "0 18,20 * * *"),
            ("every day at 8:30, 12:30 and 16:30", "30 8,12,16 * * *"),
            ("every weekday at 9:30", "30 9 * * 1-5"),
            ("every monday", "0 0 * * 1"),
            ("every mon and fri at 8am", "0 8 * * 1,5"),
            ("every monday to friday at 18:20", "20 18 * * 1,2,3,4,5"),
            ("every fri-sun at 18:00", "0 18 * * 0,5,6"),
            ("every week", "0 0 * * 0"),
            ("every week on monday at 18:23", "23 18 * * 1"),
            ("every month", "0 0 1 * *"),
            ("every month on the 1st at noon", "0 12 1 * *"),
            ("every month on day 2 at 10:00", "0 10 2 * *"),
            ("every month on days 1, 15 at 10:00", "0 10 1,15 * *"),
            ("every month on the last day at 6pm", "0 18 L * *"),
            ("every month at 6pm on the 2nd and 3rd", "0 18 2,3 * *"),
            ("every 15th of the month", "0 0 15 * *"),
            ("every first of the month at noon", "0 12 1 * *"),
            ("every year", "0 0 1 1 *"),
            ("every day at noon in", "0 12 * * *"),
        ] {
            assert_eq!(compile(sentence).as_deref(), Ok(line), "{sentence}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for sentence in [
            "every",
            "every blue moon",
            "every day at",
            "every day at 25",
            "every day at 5:3",
            "every day at 13pm",
            "every day at five",
            "every day at noon sharp",
            "every day at noon at noon",
            "every weekday on monday",
            "every 3 days",
            "every 2 weeks",
            "every 5 minutes at noon",
            "every 32nd of the month",
            "every 1st",
            "at noon every day",
            "every month on monday",
            "every day in the morning",
        ] {
            assert_eq!(compile(sentence), Err(EXAMPLES.to_owned()), "{sentence}");
        }
    }

    #[test]
    fn what_cron_cannot_say_is_explained() {
        let uneven = compile("every 90 minutes").unwrap_err();
        assert!(uneven.contains("expected a number that divides 60"), "{uneven}");
        assert!(compile("every 5 hours").unwrap_err().contains("divides 24"));
        assert!(compile("every 0 seconds").unwrap_err().contains("divides 60"));
        let many = compile("every day at 18:00 and 19:15").unwrap_err();
        assert!(many.contains("an entry for each"), "{many}");
    }
}
