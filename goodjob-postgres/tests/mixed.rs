//! goodjob and stand-ins for the gem drain one set of tables together, in each mix that the contract calls
//! safe: 20,000 jobs where every pair of strategies that may meet does, 2,000 in the smaller mixes, whose
//! pairs are among those. `GOODJOB_MIXED_JOBS` is another load for each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "mixed/judge.rs"]
mod judge;
#[path = "mixed/mix.rs"]
mod mix;

use std::time::Duration;

use goodjob_postgres::LockStrategy;
use goodjob_testkit::Schema;
use goodjob_testkit::gem::GemStrategy::{self, Advisory, Hybrid, SkipLocked};

use crate::judge::{Pair, Side};
use crate::mix::{FULL_LOAD, Mix, Report, Rows};

/// No job ran twice, none was lost, and nothing is left of anybody.
fn assert_each_ran_once(mix: &Mix, report: &Report) {
    assert!(report.overlaps().is_empty(), "{:?}", report.overlaps());
    let jobs = mix.jobs();
    assert_eq!(report.ours + report.rubys, jobs + report.failures, "a run for each");
    assert!(report.ours > 0 && report.rubys > 0, "both took part: {report:?}");
    let expected = Rows {
        jobs: jobs as i64,
        unfinished: 0,
        with_error: 0,
        owned: 0,
        processes: 0,
        without_success: 0,
        succeeded_twice: 0,
        open_runs: 0,
        retried_runs: report.failures as i64,
        interrupted_runs: 0,
    };
    assert_eq!(report.rows, expected);
}

/// What the mixes of safe strategies begin from.
fn of(ours: [LockStrategy; 2], rubies: [GemStrategy; 3]) -> Mix {
    Mix { ours, ..Mix::of(LockStrategy::Hybrid, &rubies) }
}

/// With every pair of strategies that may meet: those of the smaller mixes are among them.
fn full(ours: [LockStrategy; 2], rubies: [GemStrategy; 3]) -> Mix {
    Mix { load: FULL_LOAD, ..of(ours, rubies) }
}

/// Where claims go by lanes.
fn migrated(mix: Mix) -> Mix {
    Mix { migrated: true, ..mix }
}

/// Where Ruby's strategy is advisory, whatever it was told.
fn oldest(mix: Mix) -> Mix {
    Mix { schema: Schema::GEM_V4_0, ..mix }
}

/// The mixes of wire contract 3.9 and 3.10 in which every pair excludes each other: two workers of ours
/// beside three of Ruby's.
macro_rules! safe {
    ($($name:ident: $mix:expr;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let mix = $mix;
                assert_each_ran_once(&mix, &mix::run(stringify!($name), &mix).await);
            }
        )+
    };
}

const H: LockStrategy = LockStrategy::Hybrid;
const A: LockStrategy = LockStrategy::Advisory;
const S: LockStrategy = LockStrategy::SkipLocked;

safe! {
    hybrid_beside_advisory: of([H, H], [Advisory, Advisory, Advisory]);
    hybrid_beside_skiplocked: of([H, H], [SkipLocked, SkipLocked, SkipLocked]);
    hybrid_beside_hybrid: of([H, H], [Hybrid, Hybrid, Hybrid]);
    hybrid_beside_advisory_and_hybrid: of([H, H], [Advisory, Hybrid, Advisory]);
    hybrid_beside_skiplocked_and_hybrid: of([H, H], [SkipLocked, Hybrid, SkipLocked]);
    advisory_beside_advisory: of([A, A], [Advisory, Advisory, Advisory]);
    advisory_beside_hybrid: of([A, A], [Hybrid, Hybrid, Hybrid]);
    advisory_and_hybrid_beside_both: full([A, H], [Advisory, Hybrid, Advisory]);
    skiplocked_beside_skiplocked: of([S, S], [SkipLocked, SkipLocked, SkipLocked]);
    skiplocked_beside_hybrid: of([S, S], [Hybrid, Hybrid, Hybrid]);
    skiplocked_and_hybrid_beside_both: full([S, H], [SkipLocked, Hybrid, SkipLocked]);
    by_lanes_beside_advisory_and_hybrid: migrated(full([H, H], [Advisory, Hybrid, Advisory]));
    by_lanes_beside_skiplocked_and_hybrid: migrated(of([S, H], [SkipLocked, Hybrid, SkipLocked]));
    on_the_oldest_tables: oldest(of([H, A], [Advisory, Hybrid, SkipLocked]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_fail_at_random_are_retried_by_whoever_comes() {
    let all = Mix::of(LockStrategy::Hybrid, &[Advisory, Hybrid, Advisory]);
    let mix = Mix { fails: 5, load: 2_000, ..all };
    let report = mix::run("failing", &mix).await;
    assert!(report.failures > 0);
    assert_each_ran_once(&mix, &report);
}

/// H1 and H2 are the gem's: we are never one of the two. It shows, too, that overlaps are seen; whether Ruby's
/// workers meet is theirs, so they get some rounds for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_gem_runs_jobs_twice_we_do_not() {
    const ROUNDS: usize = 10;
    let longest = Duration::from_millis(10);
    let all = Mix::of(LockStrategy::Hybrid, &[Advisory, SkipLocked, SkipLocked]);
    let mix = Mix { longest, load: 400, ..all };
    let is_ruby = |side| matches!(side, Side::Ruby(_));
    for _ in 0..ROUNDS {
        let report = mix::run("the hole", &mix).await;
        let mut pairs = report.pairs.iter();
        assert!(
            pairs.all(|pair| is_ruby(pair.runner) && is_ruby(pair.newcomer)),
            "{:?}",
            report.pairs
        );
        assert!(report.ours > 0, "we took part");
        let rows = &report.rows;
        assert_eq!((rows.unfinished, rows.owned, rows.without_success), (0, 0, 0), "{rows:?}");
        if !report.overlaps().is_empty() {
            return;
        }
    }
    panic!("advisory and skiplocked overlap, and were not seen to in {ROUNDS} rounds");
}

fn with_kills(rubies: &[GemStrategy]) -> Mix {
    let (longest, every) = (Duration::from_millis(60), Duration::from_millis(250));
    Mix { longest, kills: Some(every), load: 400, ..Mix::of(LockStrategy::Hybrid, rubies) }
}

/// Every job is over, with a success, and nobody owns one.
fn assert_nothing_is_lost(report: &Report) {
    assert!(report.kills.len() > 2, "{:?}", report.kills);
    let rows = &report.rows;
    assert_eq!((rows.unfinished, rows.without_success), (0, 0), "{rows:?}");
    assert_eq!((rows.owned, rows.processes), (0, 0), "{rows:?}");
}

/// The row excludes where a lock is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_die_cost_nothing_where_all_are_hybrid() {
    let report = mix::run("kills, hybrid", &with_kills(&[Hybrid, Hybrid, Hybrid])).await;
    assert!(report.overlaps().is_empty(), "{:?}", report.overlaps());
    let rows = &report.rows;
    assert_eq!((rows.succeeded_twice, rows.with_error, rows.open_runs), (0, 0, 0), "{rows:?}");
    assert_nothing_is_lost(&report);
}

/// An advisory worker takes what is not locked (F8 on our side, H5 on Ruby's): then one of the two has lost
/// its lock before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_die_beside_advisory_lose_no_job() {
    let report = mix::run("kills, advisory", &with_kills(&[Advisory, Hybrid, Advisory])).await;
    for pair in &report.pairs {
        assert!(was_unlocked(pair, &report), "{pair:?}: {:?} {:?}", report.kills, report.told);
    }
    // A thread of Ruby's goes on with what it had loaded before its session ended, and writes over the
    // run of whoever came then: that run stays open, or the end of the job is marked as interrupted.
    let (rows, pairs) = (&report.rows, report.pairs.len() as i64);
    assert!(rows.succeeded_twice <= pairs, "{report:?}");
    assert!(rows.open_runs + rows.with_error <= pairs, "{report:?}");
    assert_nothing_is_lost(&report);
}

/// Whether somebody who ran the job had lost the session between the claim and the newcomer's body. It need
/// not be one of the two: a third whose lock is gone may have written over the row of the first.
fn was_unlocked(pair: &Pair, report: &Report) -> bool {
    let mut losses = report.kills.iter().chain(&report.told);
    losses.any(|loss| {
        let mut claims = pair.claims.iter();
        claims.any(|(side, claimed)| {
            loss.victim == *side && *claimed < loss.until && loss.from < pair.at
        })
    })
}
