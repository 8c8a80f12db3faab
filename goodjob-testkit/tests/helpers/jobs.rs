//! The jobs of these tests.

use std::time::Duration;

use goodjob_core::{
    Backoff, Context, Job, JobResult, Options, Perform, Policy, Preserve, Registry, Retry,
};
use serde::{Deserialize, Serialize};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Succeeds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) user_id: i64,
}

impl Job for Welcome {
    const CLASS: &'static str = "WelcomeJob";

    fn defaults() -> Options {
        Options::new().queue("mail").label("people")
    }
}

impl Perform for Welcome {
    async fn perform(self, _: Context) -> JobResult {
        Ok(())
    }
}

/// Fails twice, an hour apart, and then succeeds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stubborn;

impl Job for Stubborn {
    const CLASS: &'static str = "StubbornJob";
}

impl Perform for Stubborn {
    fn policy() -> Policy {
        let hour = Backoff::Constant(Duration::from_secs(60 * 60));
        Policy::new().retry_on_any(Retry::attempts(5).wait(hour))
    }

    async fn perform(self, cx: Context) -> JobResult {
        if cx.attempt() < 3 { Err("not yet".into()) } else { Ok(()) }
    }
}

/// Fails for good.
#[derive(Serialize, Deserialize)]
pub(crate) struct Hopeless;

impl Job for Hopeless {
    const CLASS: &'static str = "HopelessJob";
}

impl Perform for Hopeless {
    async fn perform(self, _: Context) -> JobResult {
        Err("no way".into())
    }
}

/// Enqueues another one and panics.
#[derive(Serialize, Deserialize)]
pub(crate) struct Parent;

impl Job for Parent {
    const CLASS: &'static str = "ParentJob";
}

impl Perform for Parent {
    async fn perform(self, cx: Context) -> JobResult {
        cx.adapter().enqueue(Welcome { user_id: 99 }).await?;
        panic!("after that");
    }
}

/// Its row is not kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Traceless;

impl Job for Traceless {
    const CLASS: &'static str = "TracelessJob";
}

impl Perform for Traceless {
    fn policy() -> Policy {
        Policy::new().preserve(Preserve::Never)
    }

    async fn perform(self, _: Context) -> JobResult {
        Ok(())
    }
}

/// Puts itself off for ever.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sleepy;

impl Job for Sleepy {
    const CLASS: &'static str = "SleepyJob";
}

impl Perform for Sleepy {
    async fn perform(self, cx: Context) -> JobResult {
        cx.snooze(DAY)
    }
}

pub(crate) fn all() -> Registry {
    Registry::default()
        .register::<Welcome>()
        .register::<Stubborn>()
        .register::<Hopeless>()
        .register::<Parent>()
        .register::<Traceless>()
        .register::<Sleepy>()
}
