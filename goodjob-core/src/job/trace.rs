//! What follows a job from where it was enqueued to where it runs: a few texts in its envelope.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tracing::Span;

use super::context::Context;
use super::error::JobResult;
use super::hooks::{Body, EnqueueHook, PerformHook, Stop};
use super::options::NewJob;
use super::payload::Payload;
use crate::ids::JobId;

/// The key of the envelope. A retry by goodjob keeps it, one by Ruby loses it (adr/0029).
const KEY: &str = "goodjob_trace";
/// The entry that names the job which enqueued this one.
const PARENT: &str = "job";
/// The entry of W3C's Trace Context.
const TRACEPARENT: &str = "traceparent";
/// The largest carrier, in bytes over all keys and values.
const MAX_SIZE: usize = 8 * 1024;

/// Texts that a job carries from its enqueue to its runs, such as W3C's `traceparent`.
///
/// Best effort: they are in the envelope, where a retry by Ruby loses them, and an entry that does not
/// fit (8 KiB in all, no NUL character) is left out. Nothing that matters may depend on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace(BTreeMap<String, String>);

impl Trace {
    /// Sets an entry, unless it does not fit.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        self.0.remove(&key);
        let size: usize = self.0.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size + key.len() + value.len() <= MAX_SIZE
            && !key.contains('\0')
            && !value.contains('\0')
        {
            self.0.insert(key, value);
        }
    }

    /// An entry.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The job whose body enqueued this one by [`Context::adapter`].
    #[must_use]
    pub fn parent(&self) -> Option<JobId> {
        self.get(PARENT)?.parse().ok()
    }

    /// W3C's `traceparent`, if there is one that can be read.
    #[must_use]
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.get(TRACEPARENT)?.parse().ok()
    }

    /// All entries, in the type that OpenTelemetry's propagators read.
    #[must_use]
    pub fn to_carrier(&self) -> HashMap<String, String> {
        self.0.clone().into_iter().collect()
    }

    /// What an envelope carries. Anything but an object of texts is read as far as it goes.
    #[must_use]
    pub fn of(payload: &Payload) -> Self {
        let entries = payload.get(KEY).and_then(Value::as_object).into_iter().flatten();
        let mut trace = Self::default();
        entries
            .filter_map(|(key, value)| Some((key, value.as_str()?)))
            .for_each(|(key, value)| trace.set(key, value));
        trace
    }

    pub(super) fn write_to(&self, payload: &mut Payload) {
        if !self.is_empty() {
            let entries = self.0.iter().map(|(key, value)| (key.clone(), value.clone().into()));
            payload.set(KEY, Value::Object(entries.collect::<Map<_, _>>()));
        }
    }

    pub(crate) fn set_parent(&mut self, parent: JobId) {
        self.set(PARENT, parent.to_string());
    }
}

/// A position in a trace, in the form of W3C's Trace Context, version 00.
///
/// ```
/// use goodjob_core::TraceParent;
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent: TraceParent = text.parse().unwrap();
/// assert_eq!(parent.to_string(), text);
/// assert_eq!(parent.child().trace_id, parent.trace_id);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace; never 0.
    pub trace_id: u128,
    /// The span in it; never 0.
    pub span_id: u64,
    /// The flags; bit 0 says that the trace is sampled.
    pub flags: u8,
}

/// A text that is no `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "traceparent: found {0:?}, expected 00-(32 hex digits)-(16 hex digits)-(2 hex digits), ids not all zero"
)]
pub struct TraceParentError(String);

impl TraceParent {
    /// The first span of a new trace, sampled.
    #[must_use]
    pub fn root() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), span_id: new_span(), flags: 1 }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: new_span(), ..self }
    }
}

fn new_span() -> u64 {
    rand::random::<u64>().max(1)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unfit = || TraceParentError(text.to_owned());
        let parts: Vec<&str> = text.split('-').collect();
        let is_hex = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let [version, trace, span, flags] = parts[..] else { return Err(unfit()) };
        if version != "00" || !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
            return Err(unfit());
        }
        let trace_id = u128::from_str_radix(trace, 16).map_err(|_| unfit())?;
        let span_id = u64::from_str_radix(span, 16).map_err(|_| unfit())?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| unfit())?;
        match trace_id == 0 || span_id == 0 {
            true => Err(unfit()),
            false => Ok(Self { trace_id, span_id, flags }),
        }
    }
}

tokio::task_local! {
    /// Where the job that runs in this task is in its trace.
    static HERE: TraceParent;
}

/// A hook that keeps jobs in one trace by ids alone, with no library for tracing behind it.
///
/// A job that is enqueued by another one belongs to its trace; every other begins a new one. The span
/// `perform` gets the trace's id in its field `trace_id`, and so does the span `enqueue`. Register it for
/// both: [`Registry::on_enqueue`](crate::Registry::on_enqueue) or
/// [`Adapter::on_enqueue`](crate::Adapter::on_enqueue), and
/// [`Registry::on_perform`](crate::Registry::on_perform).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceIds;

impl TraceIds {
    /// Where the job that runs in this task is in its trace; `None` outside a job, and in tasks that a
    /// job has spawned.
    #[must_use]
    pub fn here() -> Option<TraceParent> {
        HERE.try_with(|here| *here).ok()
    }
}

#[async_trait]
impl EnqueueHook for TraceIds {
    async fn before(&self, job: &mut NewJob) -> Result<(), Stop> {
        // One that the caller set is not touched.
        if job.trace.traceparent().is_none() {
            let parent = Self::here().unwrap_or_else(TraceParent::root);
            job.trace.set(TRACEPARENT, parent.to_string());
        }
        if let Some(parent) = job.trace.traceparent() {
            Span::current().record("trace_id", format!("{:032x}", parent.trace_id));
        }
        Ok(())
    }
}

#[async_trait]
impl<S: Send + Sync + 'static> PerformHook<S> for TraceIds {
    fn span(&self, trace: &Trace, span: &Span) {
        if let Some(parent) = trace.traceparent() {
            span.record("trace_id", format!("{:032x}", parent.trace_id));
        }
    }

    async fn around(&self, cx: &Context<S>, body: Body) -> JobResult {
        let here = cx.trace().traceparent().map_or_else(TraceParent::root, TraceParent::child);
        HERE.scope(here, body.run()).await
    }
}

type Inject = dyn Fn(&mut HashMap<String, String>) + Send + Sync;
type Extract = dyn Fn(&HashMap<String, String>, &Span) + Send + Sync;

/// A hook that hands a job's carrier to a library for tracing, such as OpenTelemetry.
///
/// `inject` is called where a job is enqueued and fills the carrier from the current span; `extract` is
/// given the carrier and the span `perform` before that is entered, to set its parent. A `HashMap` of
/// texts is what OpenTelemetry's propagators take:
///
/// ```
/// use goodjob_core::{Registry, TraceHook};
/// let tracing = TraceHook::new(
///     |carrier| {
///         // global::get_text_map_propagator(|p| p.inject_context(&Span::current().context(), carrier))
///         carrier.insert("traceparent".to_owned(), my_library::current());
///     },
///     |carrier, span| {
///         // span.set_parent(global::get_text_map_propagator(|p| p.extract(carrier)))
///         my_library::set_parent(span, carrier.get("traceparent"));
///     },
/// );
/// let registry = Registry::default().on_enqueue(tracing.clone()).on_perform(tracing);
/// # drop(registry);
/// # mod my_library {
/// #     pub fn current() -> String { goodjob_core::TraceParent::root().to_string() }
/// #     pub fn set_parent<T>(_: T, _: Option<&String>) {}
/// # }
/// ```
#[derive(Clone)]
pub struct TraceHook {
    inject: std::sync::Arc<Inject>,
    extract: std::sync::Arc<Extract>,
}

impl TraceHook {
    /// A hook of these two functions.
    pub fn new(
        inject: impl Fn(&mut HashMap<String, String>) + Send + Sync + 'static,
        extract: impl Fn(&HashMap<String, String>, &Span) + Send + Sync + 'static,
    ) -> Self {
        Self { inject: std::sync::Arc::new(inject), extract: std::sync::Arc::new(extract) }
    }
}

impl fmt::Debug for TraceHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceHook").finish_non_exhaustive()
    }
}

#[async_trait]
impl EnqueueHook for TraceHook {
    async fn before(&self, job: &mut NewJob) -> Result<(), Stop> {
        let mut carrier = HashMap::new();
        (self.inject)(&mut carrier);
        carrier.into_iter().for_each(|(key, value)| job.trace.set(key, value));
        Ok(())
    }
}

#[async_trait]
impl<S: Send + Sync + 'static> PerformHook<S> for TraceHook {
    fn span(&self, trace: &Trace, span: &Span) {
        (self.extract)(&trace.to_carrier(), span);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_carrier_is_read_back_as_far_as_it_can_be() {
        let mut trace = Trace::default();
        let parent = JobId::generate();
        trace.set_parent(parent);
        trace.set("traceparent", TraceParent::root().to_string());
        trace.set("nul", "a\0b");
        trace.set("long", "x".repeat(MAX_SIZE));
        let mut payload = Payload::default();
        trace.write_to(&mut payload);
        assert_eq!(Trace::of(&payload), trace);
        assert_eq!(
            (trace.parent(), trace.get("nul"), trace.get("long")),
            (Some(parent), None, None)
        );
        assert!(trace.traceparent().is_some());

        for odd in [json!(null), json!([1]), json!({"goodjob_trace": 7, "x": 1})] {
            assert!(Trace::of(&Payload::from_value(odd)).is_empty());
        }
        let odd = json!({"goodjob_trace": {"job": 7, "traceparent": "x", "a": "b"}});
        let odd = Trace::of(&Payload::from_value(odd));
        assert_eq!((odd.parent(), odd.traceparent(), odd.get("a")), (None, None, Some("b")));
    }

    #[test]
    fn a_traceparent_is_that_of_w3c() {
        let root = TraceParent::root();
        assert_eq!(root.to_string().parse(), Ok(root));
        for unfit in [
            "",
            "00-0-0-0",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert!(unfit.parse::<TraceParent>().is_err(), "{unfit}");
        }
    }
}
