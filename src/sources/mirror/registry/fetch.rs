//! HTTP for registries: documents and packages, over TLS, tried again where that may help.
//!
//! Redirects are followed here and not by the client: a token goes to the registry and nowhere else, and no redirect
//! leads from TLS to clear text.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use reqwest::{StatusCode, Url, header};
use serde::de::DeserializeOwned;

use super::{Registries, RegistryError};

const MOST_DOCUMENT: usize = 8 << 20;
const MOST_ZIP: u64 = 2 << 30;
const MOST_REDIRECTS: usize = 5;
/// How often what may pass by itself is tried.
pub(super) const TRIES: u32 = 3;
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(200);

impl Registries {
    pub(super) async fn document<T: DeserializeOwned>(
        &self,
        url: &Url,
        token: Option<&str>,
    ) -> Result<T, RegistryError> {
        let bytes = self.bytes(url, token).await?;
        serde_json::from_slice(&bytes).map_err(|error| RegistryError::Form {
            url: url.to_string(),
            why: error.to_string(),
        })
    }

    /// A small answer, whole.
    pub(super) async fn bytes(
        &self,
        url: &Url,
        token: Option<&str>,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES).rev() {
            match self.bytes_once(url, token).await {
                Err(error) if left > 0 && error.may_pass() => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                other => return other,
            }
        }
        unreachable!("the last try returns")
    }

    async fn bytes_once(&self, url: &Url, token: Option<&str>) -> Result<Vec<u8>, RegistryError> {
        let mut response = self.get(url, token).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = next(&mut response, url).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MOST_DOCUMENT {
                return Err(RegistryError::Form {
                    url: url.to_string(),
                    why: "the answer is longer than 8 MiB".to_owned(),
                });
            }
        }
        Ok(bytes)
    }

    pub(super) async fn download(&self, url: &Url, to: &Path) -> Result<(), RegistryError> {
        let mut response = self.get(url, None).await?;
        let mut file = std::fs::File::create(to).map_err(|source| cannot_write(to, source))?;
        let mut length = 0;
        while let Some(chunk) = next(&mut response, url).await? {
            length += chunk.len() as u64;
            if length > MOST_ZIP {
                return Err(RegistryError::Form {
                    url: url.to_string(),
                    why: "the package is larger than 2 GiB".to_owned(),
                });
            }
            file.write_all(&chunk)
                .map_err(|source| cannot_write(to, source))?;
        }
        Ok(())
    }

    /// Asks, and goes where it is sent, without the token where that is another host.
    async fn get(
        &self,
        url: &Url,
        token: Option<&str>,
    ) -> Result<reqwest::Response, RegistryError> {
        let mut at = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            self.check(&at)?;
            let mut request = self.http.get(at.clone());
            if let Some(token) = token.filter(|_| at.origin() == url.origin()) {
                request = request.bearer_auth(token);
            }
            let response = request
                .send()
                .await
                .map_err(|error| unreached(&at, &error))?;
            let status = response.status();
            if status.is_redirection() {
                let to = response.headers().get(header::LOCATION);
                let to = to.and_then(|to| to.to_str().ok());
                let to = to.ok_or_else(|| RegistryError::Form {
                    url: shown(&at),
                    why: "it redirects to nowhere".to_owned(),
                })?;
                at = join(&at, to)?;
                continue;
            }
            if status != StatusCode::OK {
                return Err(RegistryError::Status {
                    url: shown(&at),
                    status: status.as_u16(),
                    advice: match status.as_u16() {
                        401 | 403 => {
                            "; name a token for its host in a variable `TF_TOKEN_` with the host, its dots written as `_`"
                        }
                        _ => "",
                    },
                });
            }
            return Ok(response);
        }
        Err(RegistryError::Form {
            url: shown(url),
            why: format!("it redirects more than {MOST_REDIRECTS} times"),
        })
    }

    /// Only TLS, but for a stand-in on this very machine that somebody named.
    fn check(&self, url: &Url) -> Result<(), RegistryError> {
        let is_loopback = |url: &Url| {
            let host = url.host_str().unwrap_or("");
            url.scheme() == "http"
                && host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        };
        let may_be_clear = self.instead.as_ref().is_some_and(is_loopback);
        match url.scheme() {
            "https" => Ok(()),
            _ if may_be_clear && is_loopback(url) => Ok(()),
            _ => Err(RegistryError::Insecure(shown(url))),
        }
    }
}

async fn next(
    response: &mut reqwest::Response,
    url: &Url,
) -> Result<Option<bytes::Bytes>, RegistryError> {
    let chunk = response.chunk().await;
    chunk.map_err(|error| unreached(url, &error))
}

/// An address without what may be a ticket in it.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    let _ = url.set_password(None);
    url.to_string()
}

fn unreached(url: &Url, error: &reqwest::Error) -> RegistryError {
    // The innermost cause says most.
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    RegistryError::Unreached {
        url: shown(url),
        why: cause.to_string(),
    }
}

pub(super) fn cannot_write(path: &Path, source: std::io::Error) -> RegistryError {
    RegistryError::Write {
        path: path.display().to_string(),
        source,
    }
}

pub(super) fn join(base: &Url, to: &str) -> Result<Url, RegistryError> {
    base.join(to).map_err(|error| RegistryError::Form {
        url: shown(base),
        why: format!("it names an address that is none ({error})"),
    })
}
