//! How often one caller may ask: a bucket for each token, and one for each address that has none.
//!
//! Why by what was sent and before anything is looked up: a flood, of good tokens or of guesses, must not reach the
//! database. Buckets that are full again are forgotten.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::auth;
use super::error::Refusal;

/// How many requests in a burst, as seconds' worth of the rate.
const BURST_SECONDS: u32 = 2;
/// How often buckets that are full again are forgotten, in requests.
const TIDY_EVERY: u64 = 4096;

/// Buckets by caller.
#[derive(Clone)]
pub(crate) struct Limits {
    buckets: Arc<DefaultKeyedRateLimiter<String>>,
    asked: Arc<AtomicU64>,
}

impl Limits {
    /// So many requests a second for each caller, twice as many at once.
    pub(crate) fn per_second(rate: NonZeroU32) -> Self {
        let quota = Quota::per_second(rate).allow_burst(rate.saturating_mul(BURST));
        Self {
            buckets: Arc::new(RateLimiter::keyed(quota)),
            asked: Arc::default(),
        }
    }
}

const BURST: NonZeroU32 = NonZeroU32::new(BURST_SECONDS).expect("not zero");

/// Lets a request through, or says when to come again.
pub(crate) async fn limit(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    if limits.asked.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
        limits.buckets.retain_recent();
    }
    match limits.buckets.check_key(&key(&request)) {
        Ok(()) => next.run(request).await,
        Err(not_yet) => {
            let wait = not_yet.wait_time_from(DefaultClock::default().now());
            let seconds = u16::try_from(wait.as_secs() + 1).unwrap_or(u16::MAX);
            Refusal::too_many(
                format!("too many requests; come again in {seconds} s"),
                seconds,
            )
            .into_response()
        }
    }
}

/// Who asks, as far as it can be told for nothing: the hash of the token, else the address.
fn key(request: &Request) -> String {
    if let Some(secret) = auth::token(request.headers()) {
        return secret.hash();
    }
    request
        .extensions()
        .get::<ConnectInfo<std::net::SocketAddr>>()
        .map_or_else(String::new, |info| info.0.ip().to_string())
}
