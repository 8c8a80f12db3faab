//! Probes and metrics over HTTP: whether a worker works, and how much it does.
//!
//! | path | answer |
//! |---|---|
//! | `/`, `/status` | `OK`, as long as the process lives |
//! | `/status/started` | `Started`, or 503 `Not started`: its pools run and no shutdown has begun |
//! | `/status/connected` | `Connected`, or 503 `Not connected`: started, its locks are confirmed, it hears notices |
//! | `/metrics` | Prometheus' text format |
//!
//! Paths, texts and codes of the first three are the gem's (wire contract 13.3). A web server that runs a
//! capsule nests the [`router`](Probe::router) where it likes:
//!
//! ```
//! use goodjob_cli::probe::Probe;
//! # use goodjob_core::Capsule;
//! # use goodjob_postgres::PgStore;
//! // Before the capsule starts, since it counts only for a recorder that is there then.
//! let probe = Probe::new();
//! let app: axum::Router = axum::Router::new().nest("/jobs", probe.router());
//! # fn later(probe: Probe, capsule: &Capsule, store: &PgStore) {
//! probe.watch(capsule, store);                                    // when it has started
//! # }
//! ```

mod samples;
mod server;

pub(crate) use server::ProbeServer;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use goodjob_core::{Capsule, Vitals};
use goodjob_postgres::PgStore;
use metrics_exporter_prometheus::PrometheusHandle;
use samples::Samples;

/// Answers probes for one capsule. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Probe {
    inner: Arc<Inner>,
}

struct Inner {
    watched: OnceLock<Watched>,
    prometheus: Option<PrometheusHandle>,
    samples: Samples,
}

/// What is asked.
#[derive(Clone)]
struct Watched {
    capsule: Capsule,
    store: PgStore,
    /// The runtime of the store's connections, which must not be used by another one.
    runtime: tokio::runtime::Handle,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// A probe that has nothing to watch yet, and says so.
    ///
    /// It becomes the process's recorder of the `metrics` facade, unless the application has one. Then that
    /// one gets the numbers, and `/metrics` says that it is elsewhere.
    #[must_use]
    pub fn new() -> Self {
        let (watched, samples) = (OnceLock::new(), Samples::default());
        let prometheus = samples::recorder();
        Self { inner: Arc::new(Inner { watched, prometheus, samples }) }
    }

    /// Watches a capsule and its store from now on. Only the first one is watched.
    ///
    /// # Panics
    /// When it is not called on the capsule's runtime.
    pub fn watch(&self, capsule: &Capsule, store: &PgStore) {
        let (capsule, store) = (capsule.clone(), store.clone());
        let runtime = tokio::runtime::Handle::current();
        self.inner.watched.get_or_init(|| Watched { capsule, store, runtime });
    }

    /// The routes, for a server of one's own.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(alive))
            .route("/status", get(alive))
            .route("/status/started", get(started))
            .route("/status/connected", get(connected))
            .route("/metrics", get(metrics))
            .fallback(async || (StatusCode::NOT_FOUND, "Not found"))
            .with_state(self.clone())
    }

    fn vitals(&self) -> Vitals {
        self.inner.watched.get().map(|watched| watched.capsule.vitals()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").finish_non_exhaustive()
    }
}

async fn alive() -> &'static str {
    "OK"
}

async fn started(State(probe): State<Probe>) -> Response {
    answer(probe.vitals().started, "Started", "Not started")
}

async fn connected(State(probe): State<Probe>) -> Response {
    answer(probe.vitals().connected, "Connected", "Not connected")
}

fn answer(yes: bool, good: &'static str, bad: &'static str) -> Response {
    if yes { good.into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, bad).into_response() }
}

async fn metrics(State(probe): State<Probe>) -> Response {
    let Some(prometheus) = &probe.inner.prometheus else {
        let elsewhere = "this program has a recorder of its own, which has the numbers";
        return (StatusCode::NOT_FOUND, elsewhere).into_response();
    };
    if let Some(watched) = probe.inner.watched.get() {
        probe.inner.samples.take(watched).await;
    }
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (text, prometheus.render()).into_response()
}
