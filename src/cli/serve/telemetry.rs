//! What a server says about itself: a log on standard error, metrics, and traces where a collector is named.
//!
//! Traces go by OTLP over HTTP to whom `OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) names,
//! with `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_TRACES_SAMPLER` as
//! everywhere. They hold routes and statuses, never what is in a body, a header or a key.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::settings::LogFormat;

/// Bounds of the buckets of request times, in seconds.
const BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// The log, and traces if somebody collects them.
pub(super) struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Starts the log and, where a collector is named, traces.
    pub(super) fn start(
        format: LogFormat,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let filter = env("WINDLASS_LOG").unwrap_or_else(|| "windlass=info".to_owned());
        let log = tracing_subscriber::fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        let log = match format {
            LogFormat::Text => log.boxed(),
            LogFormat::Json => log.json().flatten_event(true).boxed(),
        };
        let traces = collected(&env)
            .then(|| provider(env("OTEL_SERVICE_NAME")))
            .transpose()
            .context("the traces cannot be exported as the OTEL_ variables say")?;
        let layer = traces.as_ref().map(|traces| {
            tracing_opentelemetry::layer()
                .with_tracer(traces.tracer("windlass"))
                .with_filter(EnvFilter::new("windlass=info"))
        });
        tracing_subscriber::registry()
            .with(layer)
            .with(log.with_filter(EnvFilter::new(filter)))
            .try_init()
            .context("the log was started twice")?;
        Ok(Self { traces })
    }

    /// Sends what was not sent yet.
    pub(super) fn stop(self) {
        if let Some(traces) = self.traces
            && let Err(error) = traces.shutdown()
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Whether the variables name a collector and do not switch it off.
fn collected(env: &impl Fn(&str) -> Option<String>) -> bool {
    let is = |name: &str, value: &str| env(name).as_deref() == Some(value);
    let named = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ]
    .iter()
    .any(|name| env(name).is_some());
    named && !is("OTEL_SDK_DISABLED", "true") && !is("OTEL_TRACES_EXPORTER", "none")
}

/// `name` is what the variables call the service.
fn provider(
    name: Option<String>,
) -> Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> {
    // The exporter's own HTTP client wants one provider of cryptography, as ours does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .build()?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(
            Resource::builder()
                .with_service_name(name.unwrap_or_else(|| "windlass".to_owned()))
                .build(),
        )
        .build())
}

/// Starts counting.
pub(super) fn count() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets(&BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("the metrics cannot be counted")
}
