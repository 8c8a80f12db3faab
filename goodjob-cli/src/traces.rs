//! Spans to an OpenTelemetry collector, by OTLP over HTTP; the feature `otel`.

use std::sync::OnceLock;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::environment::Environment;
use crate::output;

/// Either says that spans are wanted. What they say is read by the exporter itself.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What sends spans; `None` where no collector is named.
pub(crate) fn layer<S>(environment: &Environment) -> Option<impl Layer<S>>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    ENDPOINTS.iter().find(|name| environment.get(name).is_some())?;
    let exporter = match SpanExporter::builder().with_http().build() {
        Ok(exporter) => exporter,
        Err(error) => {
            output::tell("warning", &format!("no traces are sent: {error}"));
            return None;
        }
    };
    let mut resource = Resource::builder();
    if environment.get("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("goodjob");
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build();
    let tracer = provider.tracer("goodjob");
    PROVIDER.get_or_init(|| provider);
    Some(tracing_opentelemetry::layer().with_tracer(tracer))
}

/// Sends what has gathered.
pub(crate) async fn flush() {
    let Some(provider) = PROVIDER.get() else { return };
    // It waits for its thread, which must not be done on the runtime.
    let flushed = tokio::task::spawn_blocking(|| provider.force_flush()).await;
    if let Ok(Err(error)) = flushed {
        tracing::warn!(%error, "the last traces could not be sent");
    }
}
