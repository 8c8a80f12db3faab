//! Queue strings such as `mice:2;elephants:1`, and which queues each pool takes.
//!
//! The grammar is the gem's (`lib/good_job/configuration.rb`, `job.rb`): pools are separated by `;`,
//! a pool is a comma list with an optional `:` and number of threads, and the list may begin with
//! `-` (all queues but these) or `+` (these, in this order). A list with `*` in it means every queue.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which queues a pool takes jobs from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QueueSelector {
    /// Every queue, and jobs without one.
    All,
    /// The named queues only.
    Only(Vec<String>),
    /// The named queues only, and an earlier one before a later one whatever the priorities.
    InOrder(Vec<String>),
    /// Every queue except the named ones. A job without a queue is taken.
    Except(Vec<String>),
}

impl QueueSelector {
    /// Whether a job on `queue` is taken; `None` is a row whose queue is NULL.
    ///
    /// ```
    /// use goodjob_core::QueueSelector;
    /// let others = QueueSelector::Except(vec!["elephants".into(), "whales".into()]);
    /// assert!(others.matches(Some("mice")) && others.matches(None));
    /// assert!(!others.matches(Some("whales")));
    /// ```
    #[must_use]
    pub fn matches(&self, queue: Option<&str>) -> bool {
        let named = |names: &[String]| queue.is_some_and(|queue| names.iter().any(|n| n == queue));
        match self {
            Self::All => true,
            Self::Only(names) | Self::InOrder(names) => named(names),
            Self::Except(names) => !named(names),
        }
    }
}

impl fmt::Display for QueueSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Only(names) => f.write_str(&names.join(",")),
            Self::InOrder(names) => write!(f, "+{}", names.join(",")),
            Self::Except(names) => write!(f, "-{}", names.join(",")),
        }
    }
}

/// A group of slots that take jobs from the same queues and share nothing with other pools.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Where its jobs come from.
    pub queues: QueueSelector,
    /// How many jobs it runs at once.
    pub max_threads: NonZeroUsize,
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.queues, self.max_threads)
    }
}

/// A parsed queue string. Its `Display` form parses back to the same value.
///
/// ```
/// use goodjob_core::Pools;
/// let pools: Pools = "-elephants,whales:2; elephants,whales:1".parse()?;
/// assert_eq!(pools.to_string(), "-elephants,whales:2;elephants,whales:1");
/// # Ok::<(), goodjob_core::QueueStringError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pools(Vec<(QueueSelector, Option<NonZeroUsize>)>);

impl Pools {
    /// The pools, with `max_threads` for those that name no number.
    #[must_use]
    pub fn with_default(&self, max_threads: NonZeroUsize) -> Vec<Pool> {
        self.0
            .iter()
            .map(|(queues, threads)| Pool {
                queues: queues.clone(),
                max_threads: threads.unwrap_or(max_threads),
            })
            .collect()
    }
}

impl Default for Pools {
    /// One pool for every queue.
    fn default() -> Self {
        Self(vec![(QueueSelector::All, None)])
    }
}

impl fmt::Display for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (queues, threads)) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { ";" };
            write!(f, "{separator}{queues}")?;
            if let Some(threads) = threads {
                write!(f, ":{threads}")?;
            }
        }
        Ok(())
    }
}

/// What is wrong with a queue string, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("queue string {text:?}, character {position}: found {found}, expected {expected}")]
pub struct QueueStringError {
    /// The whole string as it was given.
    pub text: String,
    /// Where the fault begins, counted in characters from 1.
    pub position: usize,
    /// What stands there.
    pub found: String,
    /// What should have stood there.
    pub expected: &'static str,
}

impl FromStr for Pools {
    type Err = QueueStringError;

    /// Parses a queue string. An empty one means every queue; one `;` may trail. Pools may share queues, as in
    /// `*:2;mice:1`, but two that take the same ones are a mistake: a job is taken by either.
    ///
    /// # Errors
    /// [`QueueStringError`] names the position, what was found and what was expected.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut pools = Vec::new();
        let mut rest = Cursor { text, start: 0, end: text.len() };
        if text.trim_end().ends_with(';') {
            rest.end = text.trim_end().len() - 1;
        }
        for segment in rest.split(';') {
            let pool = parse_pool(segment)?;
            if pools.iter().any(|(queues, _)| is_same(queues, &pool.0)) {
                return Err(segment.trimmed().fault(
                    &format!("the pool {} a second time", pool.0),
                    "other queues, or one pool with more threads",
                ));
            }
            pools.push(pool);
        }
        Ok(Self(pools))
    }
}

fn parse_pool(
    segment: Cursor<'_>,
) -> Result<(QueueSelector, Option<NonZeroUsize>), QueueStringError> {
    let mut parts = segment.split(':');
    let list = parts.next().unwrap_or(segment);
    let threads = parts.next();
    if let Some(extra) = parts.next() {
        return Err(extra.before().fault("a second \":\"", "\";\" or the end of the string"));
    }
    let queues = parse_list(list.trimmed())?;
    let threads = threads.map(|number| parse_threads(number.trimmed())).transpose()?;
    Ok((queues, threads))
}

fn parse_list(list: Cursor<'_>) -> Result<QueueSelector, QueueStringError> {
    let sign = list.as_str().chars().next().filter(|c| matches!(c, '-' | '+'));
    let names = Cursor { start: list.start + sign.map_or(0, char::len_utf8), ..list };
    let mut selected: Vec<String> = Vec::new();
    for name in names.split(',') {
        let name = name.trimmed();
        if name.as_str().is_empty() {
            return Err(name.fault(&name.what_follows(), "a queue name"));
        }
        if !selected.iter().any(|seen| seen == name.as_str()) {
            selected.push(name.as_str().to_owned());
        }
    }
    if selected.iter().any(|name| name == "*") {
        return Ok(QueueSelector::All);
    }
    Ok(match sign {
        Some('-') => QueueSelector::Except(selected),
        Some(_) => QueueSelector::InOrder(selected),
        None => QueueSelector::Only(selected),
    })
}

/// Whether both take the same jobs in the same order.
fn is_same(one: &QueueSelector, other: &QueueSelector) -> bool {
    let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    match (one, other) {
        (QueueSelector::Only(one), QueueSelector::Only(other))
        | (QueueSelector::Except(one), QueueSelector::Except(other)) => {
            sorted(one) == sorted(other)
        }
        (one, other) => one == other,
    }
}

fn parse_threads(number: Cursor<'_>) -> Result<NonZeroUsize, QueueStringError> {
    const EXPECTED: &str = "a number of threads, 1 or more";
    if number.as_str().is_empty() {
        return Err(number.fault(&number.what_follows(), EXPECTED));
    }
    number.as_str().parse().map_err(|_| number.fault(&format!("{:?}", number.as_str()), EXPECTED))
}

/// A part of the string that knows where it stands.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    text: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    fn as_str(self) -> &'a str {
        &self.text[self.start..self.end]
    }

    fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut start = self.start;
        self.as_str().split(separator).map(move |part| {
            let piece = Self { start, end: start + part.len(), ..self };
            start = piece.end + separator.len_utf8();
            piece
        })
    }

    fn trimmed(self) -> Self {
        let start = self.end - self.as_str().trim_start().len();
        Self { start, end: start + self.as_str().trim().len(), ..self }
    }

    /// The separator in front of this part.
    fn before(self) -> Self {
        Self { start: self.start.saturating_sub(1), ..self }
    }

    fn what_follows(self) -> String {
        match self.text[self.end..].chars().next() {
            Some(next) => format!("\"{next}\""),
            None => "the end of the string".to_owned(),
        }
    }

    fn fault(self, found: &str, expected: &'static str) -> QueueStringError {
        QueueStringError {
            text: self.text.to_owned(),
            position: self.text[..self.start].chars().count() + 1,
            found: found.to_owned(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pools(text: &str) -> Vec<String> {
        let five = NonZeroUsize::new(5).unwrap();
        let pools: Pools = text.parse().unwrap();
        pools.with_default(five).iter().map(ToString::to_string).collect()
    }

    fn fault(text: &str) -> (usize, String) {
        let error = text.parse::<Pools>().unwrap_err();
        (error.position, format!("{} / {}", error.found, error.expected))
    }

    #[test]
    fn the_announced_strings_become_the_announced_pools() {
        assert_eq!(pools("mice:2;elephants:1"), ["mice:2", "elephants:1"]);
        assert_eq!(pools("*:2;mice,sparrows:1"), ["*:2", "mice,sparrows:1"]);
        assert_eq!(
            pools("-elephants,whales:2;elephants,whales:1"),
            ["-elephants,whales:2", "elephants,whales:1"]
        );
        assert_eq!(pools("mice:2;elephants:4"), ["mice:2", "elephants:4"]);
    }

    #[test]
    fn empty_spaces_stars_and_order_are_read_as_the_gem_reads_them() {
        assert_eq!(pools(""), ["*:5"]);
        assert_eq!(pools("  "), ["*:5"]);
        assert_eq!(pools(" mice , sparrows : 3 ; + a , b "), ["mice,sparrows:3", "+a,b:5"]);
        for all in ["*", "-*", "a,*", "+a,*", "*,a:5"] {
            assert_eq!(pools(all), ["*:5"], "{all}");
        }
        assert_eq!(pools("mice:2;"), ["mice:2"]);
        assert_eq!(pools("a,-b"), ["a,-b:5"], "only the first character of a list is a sign");
    }

    #[test]
    fn a_minus_covers_the_whole_list_and_jobs_without_a_queue_stay_in() {
        let Pools(pools) = "-elephants,whales".parse().unwrap();
        let except = &pools[0].0;
        assert!(except.matches(None) && except.matches(Some("mice")));
        assert!(!except.matches(Some("elephants")) && !except.matches(Some("whales")));
        assert!(!QueueSelector::Only(vec!["mice".into()]).matches(None));
    }

    #[test]
    fn a_wrong_string_says_where_what_and_what_instead() {
        let threads = "a number of threads, 1 or more";
        assert_eq!(fault("mice:0"), (6, format!("\"0\" / {threads}")));
        assert_eq!(fault("mice:x"), (6, format!("\"x\" / {threads}")));
        assert_eq!(fault("mice:"), (6, format!("the end of the string / {threads}")));
        assert_eq!(fault("mice:-1"), (6, format!("\"-1\" / {threads}")));
        assert_eq!(fault(";;"), (1, "\";\" / a queue name".into()));
        assert_eq!(fault(":2"), (1, "\":\" / a queue name".into()));
        assert_eq!(fault("a,,b"), (3, "\",\" / a queue name".into()));
        assert_eq!(fault("-"), (2, "the end of the string / a queue name".into()));
        assert_eq!(
            fault("mice:2:3"),
            (7, "a second \":\" / \";\" or the end of the string".into())
        );
        let other = "other queues, or one pool with more threads";
        assert_eq!(fault("mice:2; mice:1"), (9, format!("the pool mice a second time / {other}")));
        assert_eq!(fault("*;mice:2;-*"), (10, format!("the pool * a second time / {other}")));
        assert_eq!(fault("a,b;b,a").0, 5);
        // Another order is another pool, and a star may stand beside what it covers.
        assert_eq!(pools("+a,b:1;+b,a:1;*:1"), ["+a,b:1", "+b,a:1", "*:1"]);
        let error = "häse:0".parse::<Pools>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("queue string \"häse:0\", character 6: found \"0\", expected {threads}")
        );
    }

    proptest! {
        #[test]
        fn printing_and_parsing_again_changes_nothing(text in "[-+*,;: a-c0-9é]{0,24}") {
            if let Ok(parsed) = text.parse::<Pools>() {
                prop_assert_eq!(&parsed.to_string().parse::<Pools>().unwrap(), &parsed);
            }
        }

        #[test]
        fn no_string_at_all_makes_the_parser_panic(text in any::<String>()) {
            let _ = text.parse::<Pools>();
        }

        #[test]
        fn every_list_of_pools_can_be_written_down(
            lists in prop::collection::vec(
                (0..4u8, prop::collection::btree_set("[a-z_.é][a-z0-9_.-]{0,6}", 1..4), prop::option::of(1usize..99)),
                1..5,
            )
        ) {
            let mut seen = BTreeSet::new();
            let lists = lists.into_iter().filter(|(kind, names, _)| {
                seen.insert((*kind, if *kind == 0 { BTreeSet::new() } else { names.clone() }))
            });
            let pools = Pools(lists.map(|(kind, names, threads)| {
                let names = names.into_iter().collect();
                let queues = match kind {
                    0 => QueueSelector::All,
                    1 => QueueSelector::Only(names),
                    2 => QueueSelector::InOrder(names),
                    _ => QueueSelector::Except(names),
                };
                (queues, threads.and_then(NonZeroUsize::new))
            }).collect());
            prop_assert_eq!(pools.to_string().parse::<Pools>().unwrap(), pools);
        }
    }
}
