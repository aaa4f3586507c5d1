//! What a deployment says while it runs: its events as server-sent events, and its sealed streams as bytes.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream, StreamExt};

use super::App;
use super::auth::Caller;
use super::error::Refusal;
use super::query::{Params, invalid};
use crate::wire::deployments::{DeploymentEvent, SealedStream, StreamName, What};

/// How long a quiet stream stays without a sign of life.
const QUIET: Duration = Duration::from_secs(10);

/// Follows a deployment: server-sent events until its end. A client that lost the connection sends `Last-Event-ID` and misses nothing.
#[utoipa::path(
    get,
    path = "/deployments/{id}/events",
    params(("Last-Event-ID" = Option<i64>, Header, description = "The last position that the client has"), ("after" = Option<i64>, Query, description = "The same, as a parameter")),
    responses(
        (status = 200, body = DeploymentEvent, content_type = "text/event-stream", description = "Events; each one's data is this"),
    )
)]
pub(crate) async fn events(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let resumed = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let after = match resumed {
        Some(position) => position,
        None => params.number("after")?.unwrap_or(0),
    };
    // What is there already, so that an unknown deployment is a 404 and not a stream that ends.
    let first = app
        .service
        .next_events(&org, &id, after, Duration::ZERO)
        .await?;
    let follow = Follow {
        app,
        org,
        id,
        after,
        first: Some(first),
        ended: false,
    };
    let batches = stream::unfold(follow, async |mut follow| {
        let batch = follow.next().await?;
        Some((batch, follow))
    });
    Ok(Sse::new(batches.flat_map(stream::iter)))
}

/// Where a follower is.
struct Follow {
    app: App,
    org: String,
    id: String,
    after: i64,
    first: Option<Vec<DeploymentEvent>>,
    ended: bool,
}

impl Follow {
    /// The next events as they are sent; `None` when there are no more, or none can be read.
    async fn next(&mut self) -> Option<Vec<Result<Event, Infallible>>> {
        if self.ended {
            return None;
        }
        let events = match self.first.take() {
            Some(events) => events,
            None => tokio::select! {
                events = self.more(QUIET) => events?,
                // The client resumes elsewhere, from the last event that it has.
                () = self.app.stopping.cancelled() => return None,
            },
        };
        if events.is_empty() {
            // A follower that comes after the end waits for nothing.
            let is_over = self
                .app
                .service
                .wait(&self.org, &self.id, Duration::ZERO)
                .await
                .is_ok();
            if is_over && self.more(Duration::ZERO).await?.is_empty() {
                return None;
            }
            return Some(vec![Ok(Event::default().comment("still there"))]);
        }
        let mut sent = Vec::new();
        for event in events {
            self.after = event.position;
            self.ended = matches!(event.what, What::Ended(_));
            let data = serde_json::to_string(&event).ok()?;
            sent.push(Ok(Event::default()
                .id(event.position.to_string())
                .data(data)));
            if self.ended {
                break;
            }
        }
        Some(sent)
    }

    async fn more(&self, max: Duration) -> Option<Vec<DeploymentEvent>> {
        let events = self
            .app
            .service
            .next_events(&self.org, &self.id, self.after, max)
            .await;
        events
            .inspect_err(|error| tracing::error!(%error, "events could not be read"))
            .ok()
    }
}

/// Reads a sealed stream of a deployment as it was made.
#[utoipa::path(
    get,
    path = "/deployments/{id}/streams/{stream}",
    params(("attempt" = Option<u32>, Query, description = "Of this attempt; else the newest that has frames"), ("after" = Option<u64>, Query, description = "Only frames after this one")),
    responses(
        (status = 200, body = SealedStream, description = "Frames"),
    )
)]
pub(crate) async fn sealed(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id, name)): Path<(String, String, String)>,
    params: Params,
) -> Result<Json<SealedStream>, Refusal> {
    let stream = [StreamName::Logs, StreamName::Outputs]
        .into_iter()
        .find(|stream| stream.as_str() == name)
        .ok_or_else(|| Refusal::missing("Not Found"))?;
    let attempt = match params.number("attempt")? {
        None => None,
        Some(number) => Some(
            u32::try_from(number).map_err(|_| invalid("attempt", "number must be at least 0"))?,
        ),
    };
    let after = u64::try_from(params.number("after")?.unwrap_or(0)).unwrap_or(0);
    Ok(Json(
        app.service
            .stream(&org, &id, stream, attempt, after)
            .await?,
    ))
}
