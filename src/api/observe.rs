//! What a server says of each request: a span, a line of log, two metrics and an id that the answer carries back.
//!
//! Never a query, a header, a body or a path with ids: the route's pattern says what was asked, the id which request
//! it was. Numbers name no project and nobody.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::Instrument as _;

use super::App;
use super::error::Refusal;
use crate::store::clock;

/// The header of the id of a request; a client may bring one along.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a client.
const LONGEST_ID: usize = 64;

/// The id of a request, for whoever handles it.
#[derive(Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// Wraps every request.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unknown", MatchedPath::as_str)
        .to_owned();
    let method = known(request.method());
    let id = given_id(&request).unwrap_or_else(clock::new_id);
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        id,
    );
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let seconds = started.elapsed().as_secs_f64();
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    metrics::counter!(
        "windlass_http_requests_total",
        "method" => method, "route" => route.clone(), "status" => status.as_str().to_owned()
    )
    .increment(1);
    metrics::histogram!("windlass_http_request_seconds", "method" => method, "route" => route.clone())
        .record(seconds);
    let ms = seconds * 1000.0;
    if method == "GET" && status.is_success() {
        tracing::debug!(parent: &span, status = status.as_u16(), ms, "answered");
    } else {
        tracing::info!(parent: &span, status = status.as_u16(), ms, "answered");
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The method as a label: one of few, whatever somebody sends.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn given_id(request: &Request) -> Option<String> {
    let text = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let fits = !text.is_empty()
        && text.len() <= LONGEST_ID
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    fits.then(|| text.to_owned())
}

/// What was counted, in Prometheus' text format. Queues are counted when they are asked for.
#[utoipa::path(
    get,
    path = "/metrics",
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "Counters, gauges and histograms"),
        (status = 404, body = crate::wire::ErrorBody, description = "This process counts nothing"),
    )
)]
pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, Refusal> {
    let Some(recorder) = &app.metrics else {
        return Err(Refusal::missing("Not Found"));
    };
    let (queued, running) = app.service.load().await?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of deployments are small"
    )]
    for (phase, count) in [("queued", queued), ("running", running)] {
        metrics::gauge!("windlass_deployments", "phase" => phase).set(count as f64);
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], recorder.render()).into_response())
}
