//! What an application does around enqueues and attempts, what its jobs say, and what it is told of.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use goodjob_core::{
    Adapter, BareContext, Body, Context, Due, EnqueueError, EnqueueHook, EnqueueHooks, ErrorEvent,
    Interrupted, Job, JobError, JobId, JobResult, JobState, NewJob, Notes, Panicked, Perform,
    PerformHook, PerformHooks, Policy, ProcessRecord, Progress, QueueSelector, Registry, Retry,
    Shutdown, Stop, Store, Storing, Trace, TraceHook, TraceIds, TraceParent, TroubleKind, Wanted,
};
use serde::{Deserialize, Serialize};

use crate::rigged::{Kind, Way};
use crate::stage::{Log, Stage, What, job, jobs, secs};

const PATIENCE: Duration = Duration::from_secs(10);

/// What was said, in order. Cheap to clone.
#[derive(Clone, Debug, Default)]
struct Words(Arc<Mutex<Vec<String>>>);

impl Words {
    fn say(&self, word: impl Into<String>) {
        self.0.lock().unwrap().push(word.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Says when it is called, and does what it is told.
#[derive(Clone, Default)]
struct Teller {
    name: &'static str,
    words: Words,
    panics_at: Option<&'static str>,
    fails_at: Option<&'static str>,
}

impl Teller {
    fn named(name: &'static str, words: &Words) -> Self {
        Self { name, words: words.clone(), ..Self::default() }
    }

    fn say(&self, what: &'static str) -> Result<(), String> {
        self.words.say(format!("{} {what}", self.name));
        assert_ne!(self.panics_at, Some(what), "told to panic");
        match self.fails_at == Some(what) {
            true => Err(format!("{} does not want to", self.name)),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl EnqueueHook for Teller {
    async fn before(&self, _: &mut NewJob) -> Result<(), Stop> {
        Ok(self.say("before")?)
    }

    async fn around(&self, jobs: Storing<'_>) -> Result<(), EnqueueError> {
        self.words.say(format!("{} around {}", self.name, jobs.jobs().count()));
        assert_ne!(self.panics_at, Some("around"), "told to panic");
        if self.fails_at == Some("going on") {
            return Ok(());
        }
        jobs.run().await?;
        self.words.say(format!("{} around ends", self.name));
        Ok(())
    }

    async fn after(&self, _: &NewJob) {
        self.say("after").unwrap();
    }
}

#[async_trait]
impl<S: Send + Sync + 'static> PerformHook<S> for Teller {
    async fn before(&self, _: &Context<S>) -> JobResult {
        Ok(self.say("before")?)
    }

    async fn around(&self, _: &Context<S>, body: Body) -> JobResult {
        self.say("around")?;
        let result = body.run().await;
        let word = match &result {
            Ok(()) => "done".to_owned(),
            Err(error) => format!("failed by {}", error.class()),
        };
        self.words.say(format!("{} around: {word}", self.name));
        result
    }

    async fn after(&self, _: &Context<S>, result: &JobResult) {
        self.words.say(format!("{} after: {}", self.name, result.is_ok()));
        assert_ne!(self.panics_at, Some("after"), "told to panic");
    }
}

/// A class with hooks of its own. Its state is what they say it to.
#[derive(Serialize, Deserialize)]
struct Told {
    panics: bool,
}

/// What the hooks around its enqueue said. Of one test alone: they know no state.
static ENQUEUED: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Job for Told {
    const CLASS: &'static str = "Told";

    fn on_enqueue() -> EnqueueHooks {
        EnqueueHooks::new().before(|job| {
            ENQUEUED.lock().unwrap().push(job.class.clone());
            job.add_label("of the class");
            match job.labels.contains(&"unwanted".to_owned()) {
                true => Err("nobody wants it".into()),
                false => Ok(()),
            }
        })
    }
}

impl Perform<Words> for Told {
    fn on_perform() -> PerformHooks<Words> {
        PerformHooks::new()
            .before(|cx: &Context<Words>| {
                cx.state().say("class before");
                Ok(())
            })
            .after(|cx: &Context<Words>, result: &JobResult| {
                cx.state().say(format!("class after: {}", result.is_ok()));
            })
    }

    async fn perform(self, cx: Context<Words>) -> JobResult {
        cx.state().say("body");
        assert!(!self.panics, "told to panic");
        Ok(())
    }
}

/// A stage for jobs of `Told` whose application has these hooks.
fn told(words: &Words, hooks: impl IntoIterator<Item = Teller>) -> Stage {
    let registry = Registry::new(words.clone()).register::<Told>();
    let registry = hooks.into_iter().fold(registry, Registry::on_perform);
    let mut stage = Stage::new("*:5");
    stage.handlers = registry.into_handlers();
    stage
}

async fn perform(stage: &Stage, job: NewJob) -> JobId {
    let id = stage.enqueue(job).await;
    let capsule = stage.start().await;
    capsule.drained().await;
    capsule.shutdown(Shutdown::Forever).await;
    id
}

fn told_job(panics: bool) -> NewJob {
    NewJob { hooks: EnqueueHooks::new(), ..NewJob::new(&Told { panics }).unwrap() }
}

#[tokio::test(start_paused = true)]
async fn layers_of_the_application_are_outside_those_of_the_class_and_nest_in_order() {
    let words = Words::default();
    let stage = told(&words, [Teller::named("one", &words), Teller::named("two", &words)]);
    let id = perform(&stage, told_job(false)).await;
    assert_eq!(stage.state(id).await, JobState::Succeeded);
    assert_eq!(
        words.take(),
        [
            "one before",
            "one around",
            "two before",
            "two around",
            "class before",
            "body",
            "class after: true",
            "two around: done",
            "two after: true",
            "one around: done",
            "one after: true",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_before_an_attempt_goes_through_the_policy_and_passes_over_what_is_inside() {
    let words = Words::default();
    let two = Teller { fails_at: Some("before"), ..Teller::named("two", &words) };
    let mut stage = told(&words, [Teller::named("one", &words), two]);
    // A handler that was not registered by its type has the hooks of the application, too.
    let twice = Policy::new().retry_on_any(Retry::attempts(2));
    stage = stage.job_with("Other", twice, |_| async { Ok(()) });
    let id = stage.enqueue(job("Other")).await;
    let capsule = stage.start().await;
    capsule.drained().await;
    let retried = stage.row(id).await;
    assert_eq!(retried.error.as_deref(), Some("JobError: two does not want to"));
    assert_eq!(retried.error_event, Some(ErrorEvent::Retried));
    let said = [
        "one before",
        "one around",
        "two before",
        "one around: failed by JobError",
        "one after: false",
    ];
    assert_eq!(words.take(), said);
    tokio::time::sleep(secs(10)).await;
    capsule.drained().await;
    assert_eq!(stage.row(id).await.error_event, Some(ErrorEvent::RetryStopped));
    assert_eq!(stage.log.began("Other"), 0, "the body never began");
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_body_or_a_hook_is_an_error_to_the_layers_outside() {
    for (panics_at, said_last) in [("before", "one after: false"), ("around", "one after: false")] {
        let words = Words::default();
        let two = Teller { panics_at: Some(panics_at), ..Teller::named("two", &words) };
        let stage = told(&words, [Teller::named("one", &words), two]);
        let id = perform(&stage, told_job(false)).await;
        let row = stage.row(id).await;
        assert_eq!(row.error_event, Some(ErrorEvent::Unhandled));
        assert!(row.error.as_deref().unwrap().starts_with("Panic: "), "{row:?}");
        let said = words.take();
        assert!(said.contains(&"one around: failed by Panic".to_owned()), "{said:?}");
        assert_eq!(said.last().unwrap(), said_last);
        assert!(!said.contains(&"body".to_owned()));
        let attempt = &stage.attempts(id).await[0];
        assert!(attempt.backtrace[0].contains("hooks.rs"), "{attempt:?}");
    }
    let words = Words::default();
    let stage = told(&words, [Teller::named("one", &words)]);
    let id = perform(&stage, told_job(true)).await;
    assert_eq!(stage.row(id).await.error.as_deref(), Some("Panic: told to panic"));
    let said = words.take();
    assert_eq!(
        said[4..],
        ["class after: false", "one around: failed by Panic", "one after: false"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_after_an_attempt_changes_nothing_and_is_told() {
    let (words, (told_of, troubles)) = (Words::default(), channel());
    let hook = Teller { panics_at: Some("after"), ..Teller::named("one", &words) };
    let registry = Registry::new(words.clone()).register::<Told>().on_perform(hook);
    let mut stage = Stage::new("*:5");
    let registry = registry.on_error(move |trouble| told_of.send(trouble.clone()).unwrap());
    stage.handlers = registry.into_handlers();
    let id = perform(&stage, told_job(false)).await;
    assert_eq!(stage.state(id).await, JobState::Succeeded);
    // The stage's clock is years away from that of the capsule.
    assert_eq!(troubles.recv_timeout(PATIENCE).unwrap().kind, TroubleKind::ClockOff);
    let trouble = troubles.recv_timeout(PATIENCE).unwrap();
    assert_eq!((trouble.kind, trouble.job), (TroubleKind::HookPanicked, Some(id)));
    assert_eq!(trouble.error.as_deref().map(|text| text.contains("told to panic")), Some(true));
}

/// Each job has a scope of its own: nothing of the one that panicked is left to those after it.
#[tokio::test(start_paused = true)]
async fn a_hundred_good_jobs_follow_one_that_panics() {
    let words = Words::default();
    let mut stage = told(&words, [Teller::named("one", &words)]);
    stage.config.pools =
        "*:1".parse::<goodjob_core::Pools>().unwrap().with_default(5.try_into().unwrap());
    let stage = stage.job("Bad", |_| async { panic!("told to panic") }).job("Good", |_| async {
        assert_eq!(TraceIds::here(), None, "nobody's trace");
        Ok(())
    });
    let bad = stage.enqueue(job("Bad")).await;
    let good = stage.enqueue_all(jobs(100, "Good")).await;
    let capsule = stage.start().await;
    capsule.drained().await;
    capsule.shutdown(Shutdown::Forever).await;
    assert_eq!(stage.state(bad).await, JobState::Discarded);
    for id in good {
        assert_eq!(stage.state(id).await, JobState::Succeeded);
    }
    assert_eq!(words.take().iter().filter(|word| *word == "one after: true").count(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_change_a_job_before_it_is_stored() {
    struct Changes;
    #[async_trait]
    impl EnqueueHook for Changes {
        async fn before(&self, job: &mut NewJob) -> Result<(), Stop> {
            job.queue = "elsewhere".to_owned();
            job.priority = Some(-7);
            job.due = Due::In(secs(60));
            job.add_label("of the application");
            Ok(())
        }
    }
    let stage = Stage::new("*:1");
    let adapter = stage.adapter.clone().on_enqueue(Changes);
    let one = adapter.enqueue(Plain).await.unwrap();
    let others = adapter.enqueue_all(jobs(2, "A")).await.unwrap();
    for id in [one, others[0].id(), others[1].id()] {
        let row = stage.row(id).await;
        assert_eq!((row.queue.as_deref(), row.priority), (Some("elsewhere"), Some(-7)));
        assert_eq!(row.labels, ["of the application"]);
        assert_eq!(row.scheduled_at, Some(stage.clock.now() + secs(60)));
        assert_eq!(row.payload.get("queue_name"), Some(&"elsewhere".into()), "the envelope too");
    }
}

#[derive(Serialize, Deserialize)]
struct Plain;

impl Job for Plain {
    const CLASS: &'static str = "Plain";
}

#[tokio::test(start_paused = true)]
async fn hooks_around_an_enqueue_nest_and_those_of_a_class_see_its_jobs_alone() {
    let (stage, words) = (Stage::new("*:1"), Words::default());
    let adapter = stage.adapter.clone();
    let adapter =
        adapter.on_enqueue(Teller::named("one", &words)).on_enqueue(Teller::named("two", &words));
    let new = |panics| NewJob::new(&Told { panics }).unwrap();
    ENQUEUED.lock().unwrap().clear();
    let ids = adapter.enqueue_all([job("A"), new(false), new(true)]).await.unwrap();
    assert_eq!(
        words.take(),
        [
            "one before",
            "one before",
            "one before",
            "one around 3",
            "two before",
            "two before",
            "two before",
            "two around 3",
            "two around ends",
            "two after",
            "two after",
            "two after",
            "one around ends",
            "one after",
            "one after",
            "one after",
        ]
    );
    assert_eq!(*ENQUEUED.lock().unwrap(), ["Told", "Told"]);
    assert!(stage.row(ids[0].id()).await.labels.is_empty());
    assert_eq!(stage.row(ids[1].id()).await.labels, ["of the class"]);

    // One is stopped, and all are: a call stores all or none.
    let mut unwanted = new(false);
    unwanted.add_label("unwanted");
    let stopped = adapter.enqueue_all([job("A"), unwanted.clone()]).await.unwrap_err();
    assert_eq!(stopped.to_string(), "Told: not enqueued: nobody wants it");
    assert!(
        matches!(&stopped, EnqueueError::Stopped { reason, .. } if reason == "nobody wants it")
    );
    let stopped = adapter.enqueue(Told { panics: false }).label("unwanted").await.unwrap_err();
    assert!(matches!(stopped, EnqueueError::Stopped { .. }));
    let wanted = Wanted { queues: QueueSelector::All, classes: vec!["A".into(), "Told".into()] };
    stage.memory.beat(&ProcessRecord::new("x")).await.unwrap();
    assert_eq!(stage.memory.claim(&wanted, 99).await.unwrap().taken.len(), 3, "those of before");
    let said = words.take();
    assert!(!said.iter().any(|word| word.ends_with("after")), "nothing was stored: {said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_or_does_not_go_on_stops_an_enqueue() {
    let (stage, words) = (Stage::new("*:1"), Words::default());
    let with = |hook: Teller| stage.adapter.clone().on_enqueue(hook);
    let teller = || Teller::named("one", &words);
    for what in ["before", "around"] {
        let hook = Teller { panics_at: Some(what), ..teller() };
        let (new, error) = (job("A"), with(hook));
        let error = error.enqueue_all([new.clone()]).await.unwrap_err();
        let EnqueueError::HookPanicked(Panicked { message, .. }) = error else {
            panic!("{error:?}")
        };
        assert!(message.contains("told to panic"), "{message}");
        assert!(!is_stored(&stage, new.id).await);
    }
    let (hook, new) = (Teller { fails_at: Some("going on"), ..teller() }, job("A"));
    let error = with(hook).enqueue_all([new.clone()]).await.unwrap_err();
    assert_eq!(error.to_string(), "A: not enqueued: a hook did not go on");
    assert!(!is_stored(&stage, new.id).await);
    // It is stored already: whoever enqueued it must not take it for refused.
    let hook = Teller { panics_at: Some("after"), ..teller() };
    let id = with(hook).enqueue_all([job("A")]).await.unwrap()[0].id();
    assert!(is_stored(&stage, id).await);
    // What a hook makes of a job has to be storable.
    struct Breaks;
    #[async_trait]
    impl EnqueueHook for Breaks {
        async fn before(&self, job: &mut NewJob) -> Result<(), Stop> {
            job.queue.clear();
            Ok(())
        }
    }
    let error = stage.adapter.clone().on_enqueue(Breaks).enqueue_all([job("A")]).await.unwrap_err();
    assert!(matches!(error, EnqueueError::Blank { what: "queue" }));
}

async fn is_stored(stage: &Stage, id: JobId) -> bool {
    use goodjob_core::Inspect;
    stage.memory.job(id).await.unwrap().is_some()
}

/// A job that enqueues another one.
fn families(registry: Registry<Log>) -> Stage {
    let mut stage = Stage::new("*:5");
    stage.handlers = registry.into_handlers();
    stage
        .job("Parent", |cx| async move {
            cx.adapter().enqueue_all([job("Child")]).await?;
            Ok(())
        })
        .job("Child", |_| async { Ok(()) })
}

async fn traces(stage: &Stage, parent: NewJob) -> (JobId, Trace, Trace) {
    let parent = stage.enqueue(parent).await;
    let capsule = stage.start().await;
    stage.log.until(What::Ended, 1, "Child").await;
    capsule.shutdown(Shutdown::Forever).await;
    let child = stage.log.entries().into_iter().find(|entry| entry.class == "Child").unwrap().job;
    let of = async |id| Trace::of(&stage.row(id).await.payload);
    (parent, of(parent).await, of(child).await)
}

#[tokio::test(start_paused = true)]
async fn a_job_that_a_job_enqueues_knows_its_parent() {
    let stage = families(Registry::new(Log::default()));
    let (parent, of_parent, of_child) = traces(&stage, job("Parent")).await;
    assert!(of_parent.is_empty(), "the envelope of a job without lineage is the gem's");
    assert_eq!((of_child.parent(), of_child.traceparent()), (Some(parent), None));
}

#[tokio::test(start_paused = true)]
async fn a_trace_goes_from_an_enqueue_to_its_run_and_on_to_what_that_enqueues() {
    let stage = families(Registry::new(Log::default()).on_enqueue(TraceIds).on_perform(TraceIds));
    let root = TraceParent::root();
    let mut new = job("Parent");
    new.trace.set("traceparent", root.to_string());
    let (parent, _, of_child) = traces(&stage, new).await;
    let here = of_child.traceparent().unwrap();
    assert_eq!((of_child.parent(), here.trace_id), (Some(parent), root.trace_id));
    assert_ne!(here.span_id, root.span_id);

    // Without one, an enqueue begins a trace.
    let adapter = stage.adapter.clone().on_enqueue(TraceIds);
    let one = adapter.enqueue_all([job("Child")]).await.unwrap()[0].id();
    let other = Trace::of(&stage.row(one).await.payload).traceparent().unwrap();
    assert_ne!(other.trace_id, root.trace_id);
}

#[tokio::test(start_paused = true)]
async fn a_library_for_tracing_fills_the_carrier_and_is_given_it_with_the_span() {
    let seen = Words::default();
    let sees = seen.clone();
    let hook = TraceHook::new(
        |carrier| drop(carrier.insert("traceparent".into(), "whatever it says".into())),
        move |carrier, span| {
            let name = span.metadata().map_or("disabled", |metadata| metadata.name());
            sees.say(format!("{name}: {:?}", carrier.get("traceparent")));
        },
    );
    let stage = families(Registry::new(Log::default()).on_enqueue(hook.clone()).on_perform(hook));
    let (_, _, of_child) = traces(&stage, job("Parent")).await;
    assert_eq!(of_child.get("traceparent"), Some("whatever it says"));
    let seen = seen.take();
    assert!(
        seen[0].ends_with("None") && seen[1].ends_with("Some(\"whatever it says\")"),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_job_says_of_itself_is_kept_beside_it() {
    let stage = Stage::new("*:1").job("A", |cx| async move {
        cx.progress((1, 3)).await?;
        cx.progress((2, 3)).await?; // too soon after the last one
        let notes = cx.state().clone();
        drop(notes);
        tokio::time::sleep(secs(1)).await;
        cx.progress(Progress::of(2, 3).text("mails")).await?;
        cx.progress((3, 3)).await?; // the end is always said
        cx.record(&serde_json::json!({"sent": 3})).await?;
        let huge = cx.record(&"x".repeat(100_000)).await.unwrap_err();
        assert!(huge.to_string().contains("expected at most 65536"), "{huge}");
        Ok(())
    });
    let id = perform(&stage, job("A")).await;
    assert_eq!(stage.state(id).await, JobState::Succeeded, "{:?}", stage.row(id).await);
    let notes = stage.memory.notes(id).await.unwrap();
    // This stage's store is wrapped and keeps none; the next one is the store itself.
    assert_eq!(notes, None);

    let log = Log::default();
    let registry = Registry::new(log).register::<Noting>();
    let memory = Arc::clone(&stage.memory);
    let capsule =
        goodjob_core::Capsule::start(stage.config.clone(), registry, memory).await.unwrap();
    let id = Adapter::new(Arc::clone(&stage.memory)).enqueue(Noting).await.unwrap();
    capsule.drained().await;
    capsule.shutdown(Shutdown::Forever).await;
    let notes = stage.memory.notes(id).await.unwrap().unwrap();
    assert_eq!(notes.progress, Progress::of(3, 3), "all at once, and only the end was written");
    assert_eq!((notes.result, notes.attempt), (Some("three".into()), 1));
}

#[derive(Serialize, Deserialize)]
struct Noting;

impl Job for Noting {
    const CLASS: &'static str = "Noting";
}

impl Perform<Log> for Noting {
    async fn perform(self, cx: Context<Log>) -> JobResult {
        for done in 1..=3 {
            cx.progress((done, 3)).await?;
        }
        Ok(cx.record("three").await?)
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_completes_itself_has_succeeded_if_that_is_committed() {
    for (committed, body_succeeds, state) in [
        (true, true, JobState::Succeeded),
        (true, false, JobState::Succeeded),
        (false, true, JobState::Discarded),
        (false, false, JobState::Discarded),
    ] {
        let stage = Stage::new("*:1").job("A", move |cx| async move {
            let asked = Arc::new(Mutex::new(0));
            cx.completed_by(move || {
                let first = {
                    let mut asked = asked.lock().unwrap();
                    *asked += 1;
                    *asked == 1
                };
                async move {
                    match first {
                        true => Err(goodjob_core::StoreError::unavailable("it is rigged")),
                        false => Ok(committed),
                    }
                }
            });
            body_succeeds.then_some(()).ok_or_else(|| JobError::from("failed"))
        });
        let id = perform(&stage, job("A")).await;
        assert_eq!(stage.state(id).await, state, "{committed} {body_succeeds}");
        let error = stage.row(id).await.error;
        let expected = match (committed, body_succeeds) {
            (true, _) => None,
            (false, true) => Some("the transaction that the job completed in was not committed"),
            (false, false) => Some("JobError: failed"),
        };
        assert_eq!(
            error.as_deref().map(|e| e.ends_with(expected.unwrap())),
            expected.map(|_| true)
        );
    }
}

/// Leaves a job as its dead process left it.
async fn interrupted(stage: &Stage, class: &str) -> JobId {
    let id = stage.enqueue(job(class)).await;
    let other = stage.memory.another();
    other.beat(&ProcessRecord::new("other")).await.unwrap();
    let wanted = Wanted { queues: QueueSelector::All, classes: vec![class.to_owned()] };
    assert_eq!(other.claim(&wanted, 1).await.unwrap().taken.len(), 1);
    other.vanish();
    id
}

#[tokio::test(start_paused = true)]
async fn a_class_may_have_an_interruption_as_an_error() {
    let words = Words::default();
    let once = Policy::new().fail_interrupted();
    let minute = Retry::attempts(3).wait(goodjob_core::Backoff::Constant(secs(60))).jitter(0.0);
    let stage = told(&words, [Teller::named("one", &words)])
        .job_with("Again", Policy::new(), |_| async { Ok(()) })
        .job_with("Ends", once.clone(), |_| async { Ok(()) })
        .job_with("Discards", once.clone().discard_on::<Interrupted>(), |_| async { Ok(()) })
        .job_with("Waits", once.retry_on::<Interrupted>(minute), |_| async { Ok(()) });
    let mut ids = Vec::new();
    for class in ["Again", "Ends", "Discards", "Waits"] {
        ids.push(interrupted(&stage, class).await);
    }
    let capsule = stage.start().await;
    capsule.drained().await;
    let event = async |id| stage.row(id).await.error_event;
    assert_eq!(event(ids[0]).await, None, "by default it simply runs again");
    assert_eq!(event(ids[1]).await, Some(ErrorEvent::Interrupted), "no rule: wire contract 4.4");
    assert_eq!(event(ids[2]).await, Some(ErrorEvent::Discarded));
    assert_eq!(event(ids[3]).await, Some(ErrorEvent::Retried));
    let error = stage.row(ids[1]).await.error.unwrap();
    let expected = "GoodJob::InterruptError: the attempt before was interrupted: Interrupted after starting perform at '";
    assert!(error.starts_with(expected), "{error}");
    for class in ["Ends", "Discards", "Waits"] {
        assert_eq!(stage.log.began(class), 0, "{class}");
    }
    let seen = words.take();
    let failed =
        seen.iter().filter(|word| *word == "one around: failed by GoodJob::InterruptError");
    assert_eq!(failed.count(), 3, "the hooks see it");
    tokio::time::sleep(secs(61)).await;
    capsule.drained().await;
    assert_eq!((stage.state(ids[3]).await, stage.log.began("Waits")), (JobState::Succeeded, 1));
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test(start_paused = true)]
async fn the_application_is_told_of_what_goes_wrong_inside() {
    let (told_of, troubles) = channel();
    let registry = Registry::new(Log::default()).on_error(move |trouble| {
        told_of.send(trouble.clone()).unwrap();
        panic!("even if it panics");
    });
    let mut stage = Stage::new("*:1");
    stage.handlers = registry.into_handlers();
    let stage = stage.lasting("A", secs(1));
    let next = || troubles.recv_timeout(PATIENCE).unwrap();
    let until = |kind: TroubleKind| while next().kind != kind {};
    stage.rigged.claims(Way::Broken);
    let capsule = stage.start().await;
    stage.rigged.until(Kind::Claim, 2).await;
    // The stage's clock is years away from that of the capsule.
    assert_eq!(next().kind, TroubleKind::ClockOff);
    let told = next();
    assert_eq!(told.kind, TroubleKind::StoreUnavailable);
    assert!(
        told.to_string().contains("cannot look for jobs: the store is not available"),
        "{told}"
    );
    stage.rigged.claims(Way::Open);
    stage.rigged.settles(Way::Broken);
    let id = stage.enqueue(job("A")).await;
    stage.rigged.until(Kind::Settle, 2).await;
    until(TroubleKind::OutcomesHeld);
    stage.rigged.settles(Way::Open);
    capsule.drained().await;
    assert_eq!(stage.state(id).await, JobState::Succeeded, "the engine has outlived it");
    stage.rigged.others(Way::Broken);
    let beats = stage.rigged.made(Kind::Beat);
    stage.rigged.until(Kind::Beat, beats + 2).await;
    until(TroubleKind::HeartbeatMissed);
    stage.rigged.others(Way::Open);
    capsule.shutdown(Shutdown::Forever).await;
}

#[tokio::test]
async fn a_job_that_is_tried_out_has_nowhere_to_enqueue_and_says_so() {
    let stage = Stage::new("*:1");
    stage.enqueue(job("A")).await;
    stage.memory.beat(&ProcessRecord::new("x")).await.unwrap();
    let wanted = Wanted { queues: QueueSelector::All, classes: vec!["A".into()] };
    let claim = stage.memory.claim(&wanted, 1).await.unwrap().taken.pop().unwrap();
    let cx = BareContext::for_trial(claim, None, Some(3)).with_state(());
    assert_eq!(cx.max_attempts(), Some(3));
    let refused = cx.adapter().enqueue(Plain).await.unwrap_err().to_string();
    assert_eq!(refused, "there is no store here: the job is only tried out");
    cx.progress((1, 2)).await.unwrap();
    let snoozed = cx.snooze(secs(9)).unwrap_err();
    assert_eq!(snoozed.verdict(), Some(goodjob_core::Verdict::Snooze(secs(9))));
}
