//! The states that this server keeps, as engines ask for them: GET, POST, DELETE, LOCK and UNLOCK of one address each.
//!
//! This is the protocol of the engines' `http` backend and no part of the API for people: it has methods that no document
//! of that API can name, and callers that are no users. An attempt proves itself by Basic authentication with what it was
//! given for its environment (`deploy::hosted`). What is not proved is answered 401 and never 404, because engines
//! take 404 for "there is no state yet" and would make everything again.
//!
//! Why no row of the audit log: every version that is kept names the run that wrote it, and a run has its row.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use md5::{Digest as _, Md5};

use super::App;
use super::error::Refusal;
use crate::deploy::hosted::{HostedError, Locked, Proof};
use crate::store::identity::tokens::Secret;

/// A state is no longer than this.
const MOST: usize = 128 * 1024 * 1024;
/// How long a state may take to arrive.
const ARRIVAL: std::time::Duration = std::time::Duration::from_secs(300);
/// The digest that engines send and check.
const CONTENT_MD5: &str = "content-md5";

/// The route, for any method, beside the others.
#[expect(
    clippy::disallowed_methods,
    reason = "the engines' protocol is no part of the API's document, which cannot name LOCK and UNLOCK"
)]
pub(super) fn beside(router: Router<App>) -> Router<App> {
    router.route("/states/{env}", any(serve))
}

async fn serve(
    State(app): State<App>,
    Path(env_uuid): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let done = answer(&app, env_uuid, query.as_deref().unwrap_or(""), request).await;
    done.unwrap_or_else(|error| match error {
        HostedError::Stranger => stranger(),
        HostedError::Bad(message) => Refusal::bad(message).into_response(),
        HostedError::Refused(message) => Refusal::conflict(message).into_response(),
        HostedError::Other(error) => Refusal::from(error).into_response(),
    })
}

fn stranger() -> Response {
    let message = "this is no credential of a run that has this environment now";
    let mut response = Refusal::unauthorized(message).into_response();
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"states\""),
    );
    response
}

async fn answer(
    app: &App,
    env_uuid: String,
    query: &str,
    request: Request,
) -> Result<Response, HostedError> {
    let (parts, body) = request.into_parts();
    let Some((username, secret)) = basic(&parts.headers) else {
        return Err(HostedError::Stranger);
    };
    let proof = Proof {
        env_uuid,
        secret,
        username,
    };
    let service = &app.service;
    match parts.method.as_str() {
        "GET" => Ok(match service.hosted_read(&proof).await? {
            Some(state) => given(state),
            None => StatusCode::NO_CONTENT.into_response(),
        }),
        "POST" | "PUT" => {
            // Before a body of many megabytes is taken from anybody.
            service.hosted_known(&proof).await?;
            let state = arrived(body).await?;
            check(&parts.headers, &state)?;
            service.hosted_write(&proof, lock_of(query), &state).await?;
            Ok(StatusCode::OK.into_response())
        }
        "DELETE" => {
            service.hosted_delete(&proof).await?;
            Ok(StatusCode::OK.into_response())
        }
        "LOCK" => {
            service.hosted_known(&proof).await?;
            let info = arrived(body).await?;
            Ok(match service.hosted_lock(&proof, &info).await? {
                Locked::Yes => StatusCode::OK.into_response(),
                Locked::Held(holder) => (
                    StatusCode::LOCKED,
                    [(header::CONTENT_TYPE, "application/json")],
                    holder,
                )
                    .into_response(),
            })
        }
        "UNLOCK" => {
            service.hosted_known(&proof).await?;
            let info = arrived(body).await?;
            service.hosted_unlock(&proof, &info).await?;
            Ok(StatusCode::OK.into_response())
        }
        _ => Ok(StatusCode::METHOD_NOT_ALLOWED.into_response()),
    }
}

fn given(state: Vec<u8>) -> Response {
    let digest = BASE64_STANDARD.encode(Md5::digest(&state));
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let mut response = (headers, state).into_response();
    if let Ok(digest) = HeaderValue::from_str(&digest) {
        response.headers_mut().insert(CONTENT_MD5, digest);
    }
    response
}

/// Name and password of Basic authentication.
fn basic(headers: &HeaderMap) -> Option<(String, Secret)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = value.split_once(' ')?;
    let decoded = BASE64_STANDARD.decode(text.trim()).ok()?;
    let decoded = zeroize::Zeroizing::new(decoded);
    let text = std::str::from_utf8(&decoded).ok()?;
    let (username, password) = text.split_once(':')?;
    scheme
        .eq_ignore_ascii_case("basic")
        .then(|| (username.to_owned(), Secret::sent(password)))
}

/// The id of the lock in the query.
fn lock_of(query: &str) -> Option<&str> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("ID="))
        .filter(|id| !id.is_empty())
}

async fn arrived(body: Body) -> Result<Bytes, HostedError> {
    let bad = |message: &str| HostedError::Bad(message.to_owned());
    let read = async {
        let mut stream = body.into_data_stream();
        let mut kept = BytesMut::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|_| bad("the body could not be read to its end"))?;
            if kept.len() + piece.len() > MOST {
                return Err(bad("a state has 128 MiB at most"));
            }
            kept.extend_from_slice(&piece);
        }
        Ok(kept.freeze())
    };
    tokio::time::timeout(ARRIVAL, read)
        .await
        .map_err(|_| bad("the body did not arrive in time"))?
}

/// Compares the digest that was sent along.
fn check(headers: &HeaderMap, state: &[u8]) -> Result<(), HostedError> {
    let Some(said) = headers.get(CONTENT_MD5) else {
        return Ok(());
    };
    let digest = BASE64_STANDARD.encode(Md5::digest(state));
    match said.as_bytes() == digest.as_bytes() {
        true => Ok(()),
        false => Err(HostedError::Bad(
            "the state did not arrive as it was sent: `Content-MD5` says so".to_owned(),
        )),
    }
}
