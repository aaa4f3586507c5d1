//! The provider mirror, by the engines' own protocol: which versions there are, their packages with hashes, and the packages.

use std::collections::BTreeMap;
use std::io::Read as _;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::App;
use super::error::Refusal;
use crate::sources::mirror::{Archive, Mirror, Provider, Wanted};

/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;

/// A document or package of the provider mirror: `index.json`, `VERSION.json`, `VERSION_OS_ARCH.zip`. The ticket is part of
/// the address that a run is told.
#[utoipa::path(
    get,
    path = "/provider-mirror/{ticket}/{host}/{namespace}/{provider}/{document}",
    responses(
        (status = 200, description = "A document of the network mirror protocol, or a zip archive"),
        (status = 404, body = crate::wire::ErrorBody, description = "There is none, or the ticket does not hold"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Path((ticket, host, namespace, provider, document)): Path<(
        String,
        String,
        String,
        String,
        String,
    )>,
) -> Result<Response, Refusal> {
    let nothing = || {
        Refusal::missing(
            "there is no such document in the provider mirror, or the ticket does not hold",
        )
    };
    let mirror = app.service.mirror_for(&ticket).ok_or_else(nothing)?;
    let source = format!("{host}/{namespace}/{provider}");
    let provider = Provider::parse(&source, "").map_err(|_| nothing())?;
    // It reads large files.
    let found = tokio::task::spawn_blocking(move || look(&mirror, &provider, &document))
        .await
        .map_err(|error| Refusal::internal(&error))?
        .map_err(|error| Refusal::internal(&error))?;
    match found {
        Some(Found::Document(value)) => Ok(Json(value).into_response()),
        Some(Found::Package(archive)) => Ok(package(archive)),
        None => Err(nothing()),
    }
}

/// What lies at an address.
enum Found {
    Document(Value),
    Package(Archive),
}

fn look(mirror: &Mirror, provider: &Provider, document: &str) -> std::io::Result<Option<Found>> {
    let of_provider = || {
        let packages = mirror.packages().into_iter();
        packages.filter(|package| package.wanted.provider == *provider)
    };
    if document == "index.json" {
        let versions: BTreeMap<String, Value> = of_provider()
            .map(|package| (package.wanted.version, json!({})))
            .collect();
        return Ok((!versions.is_empty()).then(|| Found::Document(json!({ "versions": versions }))));
    }
    if let Some(version) = document.strip_suffix(".json") {
        let mut archives = BTreeMap::new();
        for package in of_provider().filter(|package| package.wanted.version == version) {
            let platform = package.wanted.platform.clone();
            let url = format!("{version}_{platform}.zip");
            archives.insert(platform, json!({"url": url, "hashes": package.hashes()?}));
        }
        return Ok((!archives.is_empty()).then(|| Found::Document(json!({ "archives": archives }))));
    }
    let named = document
        .strip_suffix(".zip")
        .and_then(|name| name.split_once('_'))
        .and_then(|(version, platform)| Wanted::new(provider.clone(), version, platform).ok());
    match named.and_then(|wanted| mirror.package(&wanted)) {
        Some(package) => Ok(Some(Found::Package(package.archive()?))),
        None => Ok(None),
    }
}

/// Sends an archive as it is read, never more of it in memory than two chunks.
fn package(mut archive: Archive) -> Response {
    let length = archive.length;
    let (send, receive) = tokio::sync::mpsc::channel::<std::io::Result<bytes::Bytes>>(1);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = match archive.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => {
                    chunk.truncate(count);
                    Ok(chunk.into())
                }
                Err(error) => Err(error),
            };
            let is_over = read.is_err();
            // Whoever asked may have gone away.
            if send.blocking_send(read).is_err() || is_over {
                return;
            }
        }
    });
    let stream = futures_util::stream::unfold(receive, async |mut receive| {
        receive.recv().await.map(|chunk| (chunk, receive))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    (headers, Body::from_stream(stream)).into_response()
}
