//! Ticks of cron: each is stored once, whatever processes, clocks and stores do.

use std::sync::Arc;

use chrono::TimeDelta;
use goodjob_core::{
    Arguments, Backend, Capsule, Cron, CronEntry, CronStore, NewJob, Notifier, Options, Schedule,
    Shutdown, Store, StoreError, Tick, Timestamp,
};

use crate::rigged::{Kind, Way};
use crate::stage::{Stage, What, millis, secs, soon};

const MINUTE: u64 = 60;

fn entry(key: &str, line: &str) -> CronEntry {
    CronEntry::of_class(key, line, "A", Arguments::default()).expect("an entry").queue("A")
}

fn stage(entries: Vec<CronEntry>) -> Stage {
    let stage = Stage::new("A:10").lasting("A", millis(1));
    stage.with(|config| config.cron.entries = entries)
}

/// The ticks of the jobs that ran, in the order in which they began, as seconds after the stage's start.
async fn ran(stage: &Stage) -> Vec<i64> {
    let mut ticks = Vec::new();
    for entry in stage.log.entries().iter().filter(|entry| entry.what == What::Began) {
        let tick = stage.row(entry.job).await.ties.tick.expect("a tick");
        ticks.push(tick.at.expect("a time").timestamp() - 1_800_000_000);
    }
    ticks
}

async fn until_ran(stage: &Stage, number: usize) -> Vec<i64> {
    stage.log.until(What::Ended, number, "A").await;
    ran(stage).await
}

/// Long enough for whatever would still come.
async fn wait(seconds: u64) {
    tokio::time::sleep(secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn every_tick_runs_once_at_its_second_however_many_processes_there_are() {
    let stage = stage(vec![entry("minutely", "* * * * *")]);
    let one = stage.start().await;
    let memory = Arc::new(stage.memory.another());
    let other = Capsule::start(stage.config.clone(), stage.handlers.clone(), memory).await;
    let other = other.expect("a capsule");
    assert_eq!(until_ran(&stage, 3).await, [60, 120, 180]);
    let late = (stage.clock.now() - stage.row(stage.log.entries()[4].job).await.created_at)
        .to_std()
        .expect("the past");
    assert!(late < secs(1), "{late:?}");
    one.shutdown(Shutdown::Forever).await;
    assert_eq!(until_ran(&stage, 4).await, [60, 120, 180, 240], "nobody leads");
    other.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_another_client_stored_is_left_to_it() {
    let stage = stage(vec![entry("minutely", "* * * * *")]);
    let at = Timestamp::from_timestamp(1_800_000_120, 0);
    let mut theirs =
        NewJob::of_class("A", Arguments::default(), Options::new().queue("A")).expect("a job");
    theirs.ties.tick = Some(Tick { key: "minutely".to_owned(), at });
    let id = stage.enqueue(theirs).await;
    let capsule = stage.start().await;
    assert_eq!(until_ran(&stage, 3).await, [120, 60, 180], "theirs is due at once");
    assert_eq!(stage.log.entries()[0].job, id);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_switch_counts_from_the_next_tick_on() {
    let off = CronEntry::of_class("off", "* * * * *", "B", Arguments::default());
    let off = off.expect("an entry").queue("A").disabled_by_default();
    let stage = stage(vec![entry("on", "* * * * *"), off]).lasting("B", millis(1));
    let capsule = stage.start().await;
    until_ran(&stage, 1).await;
    assert_eq!(stage.log.began("B"), 0);
    stage.memory.disable_cron("on").await.expect("a switch");
    stage.memory.enable_cron("off").await.expect("a switch");
    stage.log.until(What::Ended, 2, "B").await;
    assert_eq!(stage.log.began("A"), 1);
    stage.memory.enable_cron("on").await.expect("a switch");
    stage.memory.disable_cron("off").await.expect("a switch");
    stage.log.until(What::Ended, 2, "A").await;
    assert_eq!(stage.log.began("B"), 2);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn ticks_missed_while_nothing_ran_are_made_up_for_once_within_the_grace() {
    let stage = stage(vec![entry("minutely", "* * * * *")])
        .with(|config| config.cron.graceful_restart = Some(secs(3 * MINUTE)));
    let capsule = stage.start().await;
    // The start itself is at a full minute.
    assert_eq!(until_ran(&stage, 5).await, [-180, -120, -60, 0, 60]);
    capsule.shutdown(Shutdown::Forever).await;
    wait(5 * MINUTE + 10).await;
    let capsule = stage.start().await;
    // 70 to 370: of 120 to 360 the last three are within the grace.
    assert_eq!(until_ran(&stage, 8).await[5..], [240, 300, 360]);
    capsule.shutdown(Shutdown::Forever).await;
    let capsule = stage.start().await;
    assert_eq!(until_ran(&stage, 9).await[8..], [420], "none twice");
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_grace_nothing_is_made_up_for() {
    let stage = stage(vec![entry("minutely", "* * * * *")]);
    stage.start().await.shutdown(Shutdown::Forever).await;
    wait(5 * MINUTE + 10).await;
    let capsule = stage.start().await;
    assert_eq!(until_ran(&stage, 1).await, [360]);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn ticks_wait_for_a_store_that_is_away_and_none_is_lost() {
    let stage = stage(vec![entry("minutely", "* * * * *"), entry("hourly", "0 * * * *")]);
    let capsule = stage.start().await;
    until_ran(&stage, 1).await;
    stage.rigged.all(Way::Broken);
    let failed = stage.rigged.made(Kind::Insert);
    stage.rigged.until(Kind::Insert, failed + 20).await;
    wait(3 * MINUTE).await;
    stage.rigged.all(Way::Open);
    let ticks = until_ran(&stage, 7).await;
    let expected: Vec<i64> = (1..=7).map(|minute| minute * 60).collect();
    assert_eq!(ticks, expected);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_the_store_refuses_is_lost_and_the_next_one_is_not() {
    let stage = stage(vec![entry("minutely", "* * * * *")]);
    let capsule = stage.start().await;
    stage.rigged.inserts(Way::Unfit);
    stage.rigged.until(Kind::Insert, 1).await;
    stage.rigged.inserts(Way::Open);
    assert_eq!(until_ran(&stage, 1).await, [120]);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_no_tick() {
    let stage = stage(vec![entry("minutely", "* * * * *"), entry("yearly", "@yearly")]);
    let capsule = stage.start().await;
    until_ran(&stage, 1).await;
    stage.rigged.inserts(Way::Shut);
    stage.rigged.until(Kind::Insert, 2).await;
    soon("the end", capsule.shutdown(Shutdown::Forever)).await;
    stage.rigged.inserts(Way::Open);
    wait(10 * MINUTE).await;
    assert_eq!(stage.log.began("A"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_makes_neither_a_flood_nor_a_gap() {
    let stage = stage(vec![entry("minutely", "* * * * *")]);
    let capsule = stage.start().await;
    until_ran(&stage, 1).await;
    // The store's clock counts, and is followed at each heartbeat.
    stage.clock.follow(stage.clock.now() + TimeDelta::days(30));
    let ahead = until_ran(&stage, 3).await;
    let month = 30 * 24 * 60 * 60;
    assert_eq!(ahead[1], 120, "the tick that was planned, late");
    assert!((month..month + 300).contains(&ahead[2]), "{ahead:?}");
    stage.clock.follow(stage.clock.now() - TimeDelta::days(60));
    let back = until_ran(&stage, 5).await;
    assert!((-month..-month + 600).contains(&back[3]), "{back:?}");
    assert_eq!(back[4] - back[3], 60);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_function_reckons_from_the_last_tick_of_any_process() {
    let schedule =
        || Schedule::function(|last| Some(last.unwrap_or_default() + TimeDelta::minutes(90)));
    let entry = CronEntry::of_class("slow", schedule(), "A", Arguments::default());
    let stage = stage(vec![entry.expect("an entry").queue("A")]);
    let at = Timestamp::from_timestamp(1_800_000_000 - 4 * 60 * 60, 0);
    let mut theirs =
        NewJob::of_class("Other", Arguments::default(), Options::new()).expect("a job");
    theirs.ties.tick = Some(Tick { key: "slow".to_owned(), at });
    stage.enqueue(theirs).await;
    let capsule = stage.start().await;
    let hours = |hours: f64| (hours * 3600.0) as i64;
    assert_eq!(until_ran(&stage, 4).await, [-2.5, -1.0, 0.5, 2.0].map(hours));
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_fails_holds_up_no_other() {
    let wrong = CronEntry::made("wrong", "* * * * *", |_| panic!("on purpose")).expect("an entry");
    let stage = stage(vec![wrong, entry("right", "* * * * *")]);
    let capsule = stage.start().await;
    assert_eq!(until_ran(&stage, 2).await, [60, 120]);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_capsule_that_cannot_keep_its_entries_does_not_start() {
    let stage = stage(vec![entry("one", "@daily")]);
    let refused = async |cron: Cron, backend: Backend| {
        let mut config = stage.config.clone();
        config.cron = cron;
        match Capsule::start(config, stage.handlers.clone(), backend).await {
            Err(StoreError::Unfit(reason)) => reason,
            other => panic!("{other:?}"),
        }
    };
    let memory = Arc::clone(&stage.memory);
    let bare = Backend::new(memory.clone() as Arc<dyn Store>, memory.clone() as Arc<dyn Notifier>);
    assert!(refused(stage.config.cron.clone(), bare).await.contains("with_cron"));
    let entries = vec![entry("one", "@daily"), entry("one", "@hourly")];
    let twice = refused(Cron { entries, ..Cron::default() }, memory.into()).await;
    assert_eq!(twice, "two cron entries have the key \"one\"");
}
