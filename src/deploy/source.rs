//! Module code on its way in: uploaded by a client, or fetched when a module is saved.

use super::{Error, Service};
use crate::model::diag::Document;
use crate::model::{Diagnostic, Place};
use crate::sources::{Code, Source, git};
use crate::store::blobs::is_digest;
use crate::store::deployments::code;

/// What saving a module with a source comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prepared {
    /// `sha256:HEX` of its code, where it is kept here: goes into the module's `windlass.digest`.
    pub(crate) digest: Option<String>,
    /// In words, where it will be fetched later; the module is saved all the same.
    pub(crate) warning: Option<String>,
}

impl Service {
    /// Keeps an uploaded directory. `claimed` is the digest that the client computed; ours decides.
    pub(crate) async fn upload_code(
        &self,
        org: &str,
        claimed: &str,
        tar: &[u8],
    ) -> Result<(), Error> {
        let refused = |detail: String| {
            Error::Invalid(vec![Diagnostic::error(
                "Invalid module code",
                detail,
                Place::at(Document::Request, ""),
            )])
        };
        if !is_digest(claimed) {
            return Err(refused(format!(
                "`{claimed}` is not a digest. It must be `sha256:` and 64 lower-case hexadecimal digits."
            )));
        }
        let code = Code::from_tar(tar)
            .map_err(|error| refused(format!("The module code was not taken: {error}.")))?;
        let digest = code.digest();
        if digest != claimed {
            return Err(refused(format!(
                "The uploaded code has the digest `{digest}`, not `{claimed}`. Upload it again."
            )));
        }
        self.store.blob_put(&code.pack()).await?;
        let mut writing = self.store.writing().await?;
        code::uploaded(&mut writing, org, &digest).await?;
        writing.commit().await?;
        Ok(())
    }

    /// Whether an organisation has uploaded code with this digest, so that a client need not send it again.
    pub(crate) async fn has_code(&self, org: &str, digest: &str) -> Result<bool, Error> {
        let mut reading = self.store.reading().await?;
        let uploaded = code::is_uploaded(&mut reading, org, digest).await?;
        drop(reading);
        Ok(uploaded && self.store.blob_has(digest).await?)
    }

    /// Gets the code of a module that is about to be saved: checks an upload, fetches a git source once.
    pub(crate) async fn prepare_source(&self, org: &str, source: &str) -> Result<Prepared, Error> {
        let none = Prepared {
            digest: None,
            warning: None,
        };
        let refused = |detail: String, v1: Option<String>| {
            let problem = Diagnostic::error(
                "Invalid module source",
                detail,
                Place::at(Document::Request, "/module_source"),
            );
            Err(Error::Invalid(vec![match v1 {
                Some(text) => problem.v1(text),
                None => problem,
            }]))
        };
        match Source::parse(source) {
            None => refused(
                format!(
                    "`{source}` cannot be fetched. Use `git::https://…` or `git::ssh://…`, with nothing but `?ref=` behind it."
                ),
                Some(format!("/module_source: unsupported source '{source}'")),
            ),
            Some(Source::Directory(digest)) => {
                if self.has_code(org, &digest).await? {
                    Ok(Prepared {
                        digest: Some(digest),
                        warning: None,
                    })
                } else {
                    refused(
                        format!("No code with the digest `{digest}` was uploaded. Upload the directory first."),
                        None,
                    )
                }
            }
            Some(Source::Git(git_source)) => {
                if let Some(digest) = self.carried(source).await? {
                    return Ok(Prepared {
                        digest: Some(digest),
                        warning: None,
                    });
                }
                match git::fetch(&git_source, self.settings.git_timeout).await {
                    Ok(code) => {
                        let digest = self.store.blob_put(&code.pack()).await?;
                        Ok(Prepared {
                            digest: Some(digest),
                            warning: None,
                        })
                    }
                    Err(error) => Ok(Prepared {
                        digest: None,
                        warning: Some(format!(
                            "the code of the module was not fetched and will be when it is first deployed: {error}"
                        )),
                    }),
                }
            }
            Some(Source::Registry) => Ok(Prepared {
                digest: None,
                warning: Some(
                    "modules of a registry are downloaded by the engine in each run; their code is not kept here"
                        .to_owned(),
                ),
            }),
            Some(Source::Inline | Source::Image) => Ok(none),
        }
    }
}
