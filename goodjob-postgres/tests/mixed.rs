//! goodjob and stand-ins for the gem drain one set of tables together, 20,000 jobs in each mix that the
//! contract calls safe. `GOODJOB_MIXED_JOBS` is another load.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "mixed/judge.rs"]
mod judge;
#[path = "mixed/mix.rs"]
mod mix;

use std::time::Duration;

use goodjob_postgres::LockStrategy;
use goodjob_testkit::Schema;
use goodjob_testkit::gem::GemStrategy::{Advisory, Hybrid, SkipLocked};

use crate::judge::{Pair, Side};
use crate::mix::{Mix, Report, Rows};

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

/// The mixes of wire contract 3.9 and 3.10 in which every pair excludes each other: of ours with these
/// strategies, beside three of Ruby's with those.
macro_rules! safe {
    ($($name:ident: [$one:ident, $other:ident] with [$($ruby:ident),+] on $schema:ident;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let mix = Mix {
                    schema: Schema::$schema,
                    ours: [LockStrategy::$one, LockStrategy::$other],
                    ..Mix::of(LockStrategy::Hybrid, &[$($ruby),+])
                };
                assert_each_ran_once(&mix, &mix::run(stringify!($name), &mix).await);
            }
        )+
    };
}

safe! {
    hybrid_beside_advisory: [Hybrid, Hybrid] with [Advisory, Advisory, Advisory] on GEM;
    hybrid_beside_skiplocked: [Hybrid, Hybrid] with [SkipLocked, SkipLocked, SkipLocked] on GEM;
    hybrid_beside_hybrid: [Hybrid, Hybrid] with [Hybrid, Hybrid, Hybrid] on GEM;
    hybrid_beside_advisory_and_hybrid: [Hybrid, Hybrid] with [Advisory, Hybrid, Advisory] on GEM;
    hybrid_beside_skiplocked_and_hybrid: [Hybrid, Hybrid] with [SkipLocked, Hybrid, SkipLocked] on GEM;
    advisory_beside_advisory: [Advisory, Advisory] with [Advisory, Advisory, Advisory] on GEM;
    advisory_beside_hybrid: [Advisory, Advisory] with [Hybrid, Hybrid, Hybrid] on GEM;
    advisory_and_hybrid_beside_both: [Advisory, Hybrid] with [Advisory, Hybrid, Advisory] on GEM;
    skiplocked_beside_skiplocked: [SkipLocked, SkipLocked] with [SkipLocked, SkipLocked, SkipLocked] on GEM;
    skiplocked_beside_hybrid: [SkipLocked, SkipLocked] with [Hybrid, Hybrid, Hybrid] on GEM;
    skiplocked_and_hybrid_beside_both: [SkipLocked, Hybrid] with [SkipLocked, Hybrid, SkipLocked] on GEM;
    // Where claims go by lanes: on our tables, and on Rails' ones that were migrated.
    by_lanes_beside_advisory_and_hybrid: [Hybrid, Hybrid] with [Advisory, Hybrid, Advisory] on LEAN;
    by_lanes_beside_skiplocked_and_hybrid: [SkipLocked, Hybrid] with [SkipLocked, Hybrid, SkipLocked] on LEAN;
    // Ruby's strategy is advisory there, whatever it was told.
    on_the_oldest_tables: [Hybrid, Advisory] with [Advisory, Hybrid, SkipLocked] on GEM_V4_0;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_fail_at_random_are_retried_by_whoever_comes() {
    let mix = Mix { fails: 5, ..Mix::of(LockStrategy::Hybrid, &[Advisory, Hybrid, Advisory]) };
    let mix = mix.with_jobs(2_000);
    let report = mix::run("failing", &mix).await;
    assert!(report.failures > 0);
    assert_each_ran_once(&mix, &report);
}

/// H1 and H2 are the gem's: we are never one of the two. It shows, too, that overlaps are seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_gem_runs_jobs_twice_we_do_not() {
    let longest = Duration::from_millis(10);
    let mix = Mix { longest, ..Mix::of(LockStrategy::Hybrid, &[Advisory, SkipLocked, SkipLocked]) };
    let mix = mix.with_jobs(400);
    let report = mix::run("the hole", &mix).await;
    assert!(!report.overlaps().is_empty(), "advisory and skiplocked do overlap");
    let is_ruby = |side| matches!(side, Side::Ruby(_));
    let ours = report.pairs.iter().filter(|pair| !is_ruby(pair.runner) || !is_ruby(pair.newcomer));
    assert_eq!(ours.count(), 0, "{:?}", report.pairs);
    assert!(report.ours > 0, "we took part");
    let rows = &report.rows;
    assert_eq!((rows.unfinished, rows.owned, rows.without_success), (0, 0, 0), "{rows:?}");
}

fn with_kills(rubies: &[goodjob_testkit::gem::GemStrategy]) -> Mix {
    let (longest, every) = (Duration::from_millis(60), Duration::from_millis(250));
    Mix { longest, kills: Some(every), ..Mix::of(LockStrategy::Hybrid, rubies) }.with_jobs(400)
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
