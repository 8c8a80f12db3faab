//! Lanes: the ranges of one queue and one priority that a claim visits, and how far each is known to be
//! worked off.
//!
//! A claim reads each lane from its *floor*, so that it neither walks over other queues' backlogs nor, under
//! a long transaction that keeps vacuum away, over the dead entries of what was taken before. Rows may
//! appear below a floor all the same: committed late, given back, set to an earlier time by hand. So the
//! lanes are looked for again, each from its true beginning, when their floors yield nothing, and now and
//! then while they yield plenty.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use goodjob_core::{QueueSelector, Timestamp, Wanted};
use sqlx::{FromRow, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use crate::claim::Place;
use crate::dialect::Dialect;
use crate::rows::Moment;
use crate::sql;

/// Lanes that are worked by floors. With more, claims go without.
pub(crate) const MAX_LANES: usize = 4096;
/// Rows that one claim looks at in all lanes together, about.
const MAX_ROWS: usize = 4096;
/// Rows of a lane that a claim looks at in any case.
const MIN_ROWS: usize = 16;
/// Time between looks at the beginnings while the floors yield plenty. A look that costs much is repeated
/// less often: it may take a twentieth of the time.
const RHYTHM: Duration = Duration::from_millis(250);
const SHARE: u32 = 20;
/// What a session's first look costs beyond the others: the plans are made.
const PLANNING: Duration = Duration::from_millis(20);
/// No row stays unseen for longer.
const LONGEST: Duration = Duration::from_millis(900);
/// A look that costs less may be had at any time.
const CHEAP: Duration = Duration::from_millis(5);
/// Looks may be ahead of their share by so much: one that was dear, as the first of a new session is or any on a
/// busy machine, does not make the next job wait.
const CREDIT: Duration = Duration::from_secs(1);
/// How far behind the server's time the floor of a lane stays that was read to its end: rows whose
/// transaction commits a little late lie in between.
const LATE: Duration = Duration::from_secs(2);
/// How soon the beginnings are looked at after a claim that found less than it wanted.
pub(crate) const UNSURE: Duration = Duration::from_millis(100);

/// How long a lane that jobs were taken from is still read after it was found empty, and how many such: the
/// next job comes there, most likely, and is found without looking for the lanes again.
const KEPT: Duration = Duration::from_secs(60);
const MOST_KEPT: usize = 16;

/// How long claims do not expect plain jobs alone after another was met: see `claim_plain.sql`.
const MIXED: Duration = Duration::from_secs(1);

/// A place in a lane, in the order in which its rows are claimed.
pub(crate) type Floor = (Timestamp, Uuid);

/// A range of rows, and from where it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lane {
    pub(crate) queue: Option<String>,
    pub(crate) priority: Option<i32>,
    /// The queue's place in a list that goes by order.
    pub(crate) turn: i32,
    /// `None` is the beginning.
    pub(crate) floor: Option<Floor>,
    /// When a job was last taken from it.
    used: Option<Instant>,
    /// Whether the last claim saw nothing in it.
    is_empty: bool,
}

impl Lane {
    fn name(&self) -> (Option<String>, Option<i32>, i32) {
        (self.queue.clone(), self.priority, self.turn)
    }

    /// Where its jobs stand in the order of a claim.
    fn rank(&self) -> (i32, bool, Option<i32>) {
        (self.turn, self.priority.is_none(), self.priority)
    }
}

/// The one lane of a claim of plain jobs, which has a queue and a priority.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OnlyLane<'a> {
    pub(crate) queue: &'a str,
    pub(crate) priority: i32,
    pub(crate) floor: Option<Floor>,
    /// Rows that are read of it.
    pub(crate) depth: usize,
}

#[derive(FromRow)]
struct LaneRow {
    queue_name: Option<String>,
    priority: Option<i32>,
    scheduled_at: Option<Moment>,
    id: Uuid,
    turn: i32,
}

impl From<LaneRow> for Lane {
    fn from(row: LaneRow) -> Self {
        // A moment before the first that we know, such as -infinity, is no floor.
        let at = row.scheduled_at.filter(|moment| !moment.is_first());
        let floor = at.map(|at| (at.0, row.id)).filter(|_| row.queue_name.is_some());
        Self {
            queue: row.queue_name,
            priority: row.priority,
            turn: row.turn,
            floor,
            used: None,
            is_empty: false,
        }
    }
}

/// What a claim of a pool's lanes came to.
pub(crate) struct Yield<'a> {
    /// Where the jobs were that it took.
    pub(crate) taken: &'a [Place<'a>],
    /// For each lane 2 if nothing was seen in it, 1 if all that there was, else 0.
    pub(crate) exhausted: &'a str,
    /// The server's time.
    pub(crate) at: Timestamp,
    /// Whether as many were found as wanted.
    pub(crate) full: bool,
}

/// The lanes of one pool.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    pub(crate) lanes: Vec<Lane>,
    /// When the beginnings were looked at, and how long that and the claim after it took.
    looked: Option<(Instant, Duration)>,
    /// The time that has to pass from then on until looks have taken no more than their share.
    owed: Duration,
    /// Whether the last claim found as much as it wanted.
    full: bool,
    /// Whether the statements have been used before.
    planned: bool,
    /// When jobs were met that a claim of plain ones cannot take.
    mixed: Option<Instant>,
}

impl Lanes {
    /// Looks where the lanes of these queues begin for these classes.
    pub(crate) async fn look(
        session: &mut PgConnection,
        dialect: &Dialect,
        wanted: &Wanted,
    ) -> sqlx::Result<Vec<Lane>> {
        let (statement, names) = match &wanted.queues {
            QueueSelector::All => (sql::LANES_ANY, None),
            QueueSelector::Except(names) => (sql::LANES_ANY, Some(names)),
            QueueSelector::Only(names) | QueueSelector::InOrder(names) => {
                (sql::LANES_ONLY, Some(names))
            }
        };
        let in_order = matches!(wanted.queues, QueueSelector::InOrder(_));
        let rows: Vec<LaneRow> = sqlx::query_as(dialect.sql(statement))
            .bind(names)
            .bind(i64::try_from(MAX_LANES + 1).unwrap_or(i64::MAX))
            .bind(&wanted.classes)
            .bind(LATE.as_secs_f64())
            .fetch_all(session)
            .await?;
        let lane = |row: LaneRow| Lane { turn: if in_order { row.turn } else { 0 }, ..row.into() };
        Ok(rows.into_iter().map(lane).collect())
    }

    /// Takes note of where the lanes begin. One in which nothing waits any more is kept for a while if it was
    /// used.
    pub(crate) fn begin(&mut self, mut lanes: Vec<Lane>) {
        let is_used = |lane: &Lane| lane.used.is_some_and(|used| used.elapsed() < KEPT);
        let used = self.lanes.drain(..).filter(|lane| is_used(lane) && lane.queue.is_some());
        let mut used: HashMap<_, _> = used.map(|lane| (lane.name(), lane)).collect();
        for lane in &mut lanes {
            lane.used = used.remove(&lane.name()).and_then(|known| known.used);
        }
        let mut kept: Vec<Lane> = used.into_values().collect();
        kept.sort_by_key(|lane| std::cmp::Reverse(lane.used));
        lanes.extend(kept.into_iter().take(MOST_KEPT));
        self.forget();
        (self.lanes, self.looked) = (lanes, Some((Instant::now(), Duration::ZERO)));
    }

    /// Says what a look cost, with the claim after it, which walks from the beginnings.
    pub(crate) fn cost(&mut self, cost: Duration) {
        let planning = if self.planned { Duration::ZERO } else { PLANNING };
        self.planned = true;
        let cost = cost.saturating_sub(planning);
        if let Some((_, known)) = self.looked.as_mut() {
            *known = cost;
        }
        if cost >= CHEAP {
            self.owed = (self.owed + cost * SHARE).min(CREDIT + LONGEST);
        }
    }

    /// Whether there are too many to be worked like this.
    pub(crate) fn are_too_many(&self) -> bool {
        self.lanes.len() > MAX_LANES
    }

    /// Whether the beginnings have to be looked at before the next claim.
    pub(crate) fn are_stale(&self) -> bool {
        match self.looked {
            None => true,
            Some((at, cost)) => self.full && at.elapsed() >= (cost * SHARE).clamp(RHYTHM, LONGEST),
        }
    }

    /// How long the beginnings are not to be looked at, although the floors yielded nothing.
    pub(crate) fn wait(&self) -> Duration {
        let Some((at, _)) = self.looked else { return Duration::ZERO };
        self.owed.saturating_sub(CREDIT).saturating_sub(at.elapsed())
    }

    /// Forgets where the lanes begin: a row was given back.
    pub(crate) fn forget(&mut self) {
        if let Some((at, _)) = self.looked.take() {
            self.owed = self.owed.saturating_sub(at.elapsed());
        }
    }

    /// Rows that a claim of so many reads of each lane. The lanes whose turn is first may give all of them; of
    /// those behind, which it needs only if the first ones have less, it reads half as many at each further
    /// turn. With many lanes of one turn each is read less deep, and a claim may bring less than it wanted.
    pub(crate) fn depths(&self, wanted: usize) -> impl Iterator<Item = usize> {
        let mut turns: BTreeMap<_, usize> = BTreeMap::new();
        for lane in self.lanes.iter().filter(|lane| !lane.is_empty) {
            *turns.entry(lane.rank()).or_default() += 1;
        }
        let depth = move |turn: usize, lanes: usize| {
            let share = wanted.min(MAX_ROWS / lanes.max(1)) >> turn.min(16);
            share.max(MIN_ROWS).min(wanted)
        };
        let depths: BTreeMap<_, usize> = turns
            .into_iter()
            .enumerate()
            .map(|(turn, (rank, lanes))| (rank, depth(turn, lanes)))
            .collect();
        // Nobody expects much of a lane that was empty a moment ago.
        let least = MIN_ROWS.min(wanted);
        let of = move |lane: &Lane| match lane.is_empty {
            true => least,
            false => depths.get(&lane.rank()).copied().unwrap_or(least),
        };
        self.lanes.iter().map(of)
    }

    /// The lane of a claim of so many, if it is all there is and plain jobs are expected in it.
    pub(crate) fn only(&self, wanted: usize) -> Option<OnlyLane<'_>> {
        let [lane] = &self.lanes[..] else { return None };
        let (queue, priority) = (lane.queue.as_deref()?, lane.priority?);
        let is_plain = self.mixed.is_none_or(|met| met.elapsed() >= MIXED);
        let depth = self.depths(wanted).next()?;
        is_plain.then_some(OnlyLane { queue, priority, floor: lane.floor, depth })
    }

    /// Takes note that there are jobs that a claim of plain ones cannot take, or that such are looked for.
    pub(crate) fn meet_others(&mut self) {
        self.mixed = Some(Instant::now());
    }

    /// Moves the floors to what was taken last, and in lanes that were read to their end to the present,
    /// nearly.
    pub(crate) fn advance(&mut self, found: &Yield<'_>) {
        self.full = found.full;
        let mut last: HashMap<(Option<&str>, Option<i32>), Floor> = HashMap::new();
        for place in found.taken {
            let Some(at) = place.at else { continue };
            let here = (at, place.id);
            let floor = last.entry((place.queue, place.priority)).or_insert(here);
            *floor = here.max(*floor);
        }
        let mut exhausted = found.exhausted.bytes();
        for lane in &mut self.lanes {
            let seen = exhausted.next();
            lane.is_empty = seen == Some(b'2');
            let is_exhausted = match seen {
                // What was seen is taken, unless there was no more use for it.
                Some(b'1') => !found.full,
                Some(b'2') => true,
                _ => false,
            };
            if lane.queue.is_none() {
                continue;
            }
            let taken = last.get(&(lane.queue.as_deref(), lane.priority)).copied();
            if taken.is_some() {
                lane.used = Some(Instant::now());
            }
            let end = is_exhausted.then(|| (found.at - LATE, Uuid::nil()));
            lane.floor = lane.floor.max(taken).max(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn lanes(floors: &[Option<i64>]) -> Lanes {
        let lane = |(n, floor): (usize, &Option<i64>)| Lane {
            queue: Some(format!("q{n}")),
            priority: Some(0),
            turn: 0,
            floor: floor.map(|seconds| (at(seconds), Uuid::nil())),
            used: None,
            is_empty: false,
        };
        Lanes { lanes: floors.iter().enumerate().map(lane).collect(), ..Lanes::default() }
    }

    #[test]
    fn floors_rise_to_the_present_where_a_lane_was_read_to_its_end_and_never_sink() {
        let mut lanes = lanes(&[None, Some(50), Some(5_000), Some(7)]);
        for (full, second) in [(true, 50), (false, 998)] {
            lanes.advance(&Yield { taken: &[], exhausted: "2110", at: at(1_000), full });
            let floors: Vec<_> = lanes.lanes.iter().map(|lane| lane.floor.unwrap().0).collect();
            assert_eq!(floors, [at(998), at(second), at(5_000), at(7)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_was_used_is_read_for_a_while_after_it_was_found_empty() {
        let mut lanes = lanes(&[Some(1), Some(1)]);
        let place =
            Place { queue: Some("q1"), priority: Some(0), at: Some(at(5)), id: Uuid::nil() };
        lanes.advance(&Yield { taken: &[place], exhausted: "21", at: at(1), full: false });
        lanes.begin(Vec::new());
        let names = |lanes: &Lanes| {
            lanes.lanes.iter().map(|l| l.queue.clone().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(names(&lanes), ["q1"]);
        assert_eq!(lanes.lanes[0].floor, Some((at(5), Uuid::nil())));
        // Found again, it begins where it is seen to.
        let found = Lane { floor: None, used: None, ..lanes.lanes[0].clone() };
        lanes.begin(vec![found]);
        assert_eq!((names(&lanes), lanes.lanes[0].floor), (vec!["q1".to_owned()], None));
        lanes.begin(Vec::new());
        assert_eq!(names(&lanes), ["q1"]);
        tokio::time::advance(KEPT).await;
        lanes.begin(Vec::new());
        assert!(lanes.lanes.is_empty());
    }

    #[test]
    fn the_rows_read_are_shared_among_the_lanes_of_one_turn() {
        let depth = |lanes: &Lanes, wanted| lanes.depths(wanted).next();
        assert_eq!(depth(&lanes(&[]), 516), None);
        assert_eq!(depth(&lanes(&[None; 4]), 516), Some(516));
        assert_eq!(depth(&lanes(&[None; 64]), 516), Some(64));
        assert_eq!(depth(&lanes(&[None; 1_000]), 516), Some(16));
        assert_eq!(depth(&lanes(&[None; 1_000]), 1), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn plain_jobs_are_expected_in_a_single_lane_until_others_were_met() {
        let mut one = lanes(&[Some(7)]);
        let floor = Some((at(7), Uuid::nil()));
        let lane = OnlyLane { queue: "q0", priority: 0, floor, depth: 500 };
        assert_eq!(one.only(500), Some(lane));
        one.meet_others();
        assert_eq!(one.only(500), None);
        tokio::time::advance(MIXED).await;
        assert!(one.only(500).is_some());
        assert_eq!((lanes(&[]).only(5), lanes(&[None, None]).only(5)), (None, None));
        one.lanes[0].priority = None;
        assert_eq!(one.only(5), None);
        one.lanes[0].priority = Some(0);
        one.lanes[0].queue = None;
        assert_eq!(one.only(5), None);
    }

    #[test]
    fn lanes_of_later_turns_are_read_less_deep_and_empty_ones_are_no_turn() {
        let mut lanes = lanes(&[None; 8]);
        for (lane, priority) in lanes.lanes.iter_mut().zip([0, 0, 1, 2, 3, 4, 5, 6]) {
            lane.priority = Some(priority);
        }
        let depths = |lanes: &Lanes| lanes.depths(500).collect::<Vec<_>>();
        assert_eq!(depths(&lanes), [500, 500, 250, 125, 62, 31, 16, 16]);
        lanes.advance(&Yield { taken: &[], exhausted: "22100000", at: at(1), full: true });
        assert_eq!(depths(&lanes), [16, 16, 500, 250, 125, 62, 31, 16]);
    }

    #[tokio::test(start_paused = true)]
    async fn beginnings_are_looked_at_in_a_rhythm_that_heeds_what_it_costs() {
        let mut lanes = lanes(&[None]);
        assert!(lanes.are_stale());
        lanes.begin(lanes.lanes.clone());
        lanes.cost(Duration::from_millis(21));
        assert!(lanes.wait().is_zero(), "plans are made once");
        lanes.advance(&Yield { taken: &[], exhausted: "0", at: at(1), full: true });
        for (cost, rhythm) in [(1, 250), (30, 600), (200, 900)] {
            lanes.begin(lanes.lanes.clone());
            lanes.cost(Duration::from_millis(cost));
            tokio::time::advance(Duration::from_millis(rhythm - 1)).await;
            assert!(!lanes.are_stale(), "{cost}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(lanes.are_stale(), "{cost}");
        }
        lanes.begin(lanes.lanes.clone());
        lanes.forget();
        assert!(lanes.are_stale());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dear_look_makes_nobody_wait_but_many_do() {
        let mut lanes = lanes(&[None]);
        let look = |lanes: &mut Lanes, cost| {
            lanes.begin(lanes.lanes.clone());
            lanes.cost(Duration::from_millis(cost));
            lanes.wait().as_millis()
        };
        assert_eq!(look(&mut lanes, 60), 0, "the first one makes plans");
        assert_eq!(look(&mut lanes, 4), 0);
        assert_eq!(look(&mut lanes, 20), 200);
        assert_eq!(look(&mut lanes, 20), 600);
        assert_eq!(look(&mut lanes, 3_000), 900, "no row stays unseen for longer");
        tokio::time::advance(Duration::from_millis(800)).await;
        assert_eq!(lanes.wait().as_millis(), 100);
        assert_eq!(look(&mut lanes, 4), 100);
        tokio::time::advance(Duration::from_millis(600)).await;
        lanes.forget();
        assert_eq!(look(&mut lanes, 20), 0);
    }
}
