//! Sealed streams, opened here with the user's own key: logs as they are written, outputs whole.
//!
//! Our own frames first; where a stream has none for this key (a reader named by `--recipient`, or a
//! deployment of another client) the age file serves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::Session;
use super::client::{CallError, Client, Content};
use super::exit::Advised;
use super::kinds::segment;
use crate::seal::age;
use crate::seal::key::Identity;
use crate::seal::stream::{OpenError, Opener};
use crate::wire::deployments::{Deployment, EncryptedOutputs, SealedStream, StreamName};

/// Why a sealed stream could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealedError {
    /// The API.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The bytes.
    #[error("the {stream} of this deployment could not be opened")]
    Open {
        /// Which stream.
        stream: &'static str,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The age file.
    #[error("the {stream} of this deployment could not be opened")]
    Age {
        /// Which stream.
        stream: &'static str,
        /// Why.
        #[source]
        source: age::AgeError,
    },
    /// The final frame is missing, though the run says that it sealed it.
    #[error("the {stream} of this deployment were cut off: the final frame is missing")]
    Truncated {
        /// Which stream.
        stream: &'static str,
    },
    /// The transport.
    #[error("the {stream} are not base64")]
    Encoding {
        /// Which stream.
        stream: &'static str,
        /// Why.
        #[source]
        source: base64::DecodeError,
    },
}

/// Reads one stream from its beginning, again and again, as it grows.
pub(crate) struct Reader<'a> {
    client: &'a Client,
    deployment: &'a str,
    stream: StreamName,
    key: &'a Identity,
    open: Option<(u32, Opener)>,
    after: u64,
    complete: bool,
}

impl<'a> Reader<'a> {
    /// A reader of a stream; reads nothing yet.
    pub(crate) fn new(
        client: &'a Client,
        deployment: &'a str,
        stream: StreamName,
        key: &'a Identity,
    ) -> Self {
        Self {
            client,
            deployment,
            stream,
            key,
            open: None,
            after: 0,
            complete: false,
        }
    }

    /// Whether the final frame was read.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether the final frame is missing though the run said its last word, which comes after it.
    pub(crate) fn must_be_complete(&self, deployment: &Deployment) -> bool {
        let is_told = deployment
            .windlass
            .as_ref()
            .is_some_and(|extras| extras.run.is_some());
        is_told && !self.complete
    }

    /// Whether anything was read.
    pub(crate) fn has_begun(&self) -> bool {
        self.open.is_some()
    }

    /// A piece of what was added since the last call, some MiB at most; `None`: nothing was, or the stream is complete.
    pub(crate) async fn some(&mut self) -> Result<Option<Vec<u8>>, SealedError> {
        if self.complete {
            return Ok(None);
        }
        let attempt = self
            .open
            .as_ref()
            .map(|(attempt, _)| format!("&attempt={attempt}"));
        let answer: SealedStream = self
            .client
            .get(&format!(
                "deployments/{}/streams/{}?after={}{}",
                segment(self.deployment),
                self.stream.as_str(),
                self.after,
                attempt.unwrap_or_default(),
            ))
            .await?;
        if answer.frames.is_empty() {
            return Ok(None);
        }
        let mut plain = Vec::new();
        self.take(&answer, &mut plain)?;
        Ok(Some(plain))
    }

    /// Everything that was added since the last call: for what is known to be short.
    pub(crate) async fn more(&mut self) -> Result<Vec<u8>, SealedError> {
        let mut plain = Vec::new();
        while let Some(piece) = self.some().await? {
            plain.extend_from_slice(&piece);
        }
        Ok(plain)
    }

    /// Leaves out the frames up to this number; before the first read only.
    pub(crate) fn skip(&mut self, frames: u64) {
        self.after = frames;
    }

    /// Starts over: another attempt of the same deployment writes now.
    pub(crate) fn restart(&mut self) {
        self.open = None;
        self.after = 0;
        self.complete = false;
    }

    /// The attempt that is being read.
    pub(crate) fn attempt(&self) -> Option<u32> {
        self.open.as_ref().map(|(attempt, _)| *attempt)
    }

    fn take(&mut self, answer: &SealedStream, plain: &mut Vec<u8>) -> Result<(), SealedError> {
        let stream = self.stream.as_str();
        let decode = |text: &str| {
            BASE64
                .decode(text)
                .map_err(|source| SealedError::Encoding { stream, source })
        };
        if self.open.is_none() {
            let header = decode(answer.header.as_deref().unwrap_or_default())?;
            let opener = Opener::new(&answer.run_id, answer.attempt, stream, &header, self.key)
                .map_err(|source| SealedError::Open { stream, source })?
                .start_at(self.after + 1);
            self.open = Some((answer.attempt, opener));
        }
        let Some((_, opener)) = &mut self.open else {
            return Ok(());
        };
        for frame in &answer.frames {
            let opened = opener
                .open(&decode(frame)?)
                .map_err(|source| SealedError::Open { stream, source })?;
            plain.extend_from_slice(&opened.bytes);
            self.after += 1;
            self.complete = opened.last;
        }
        Ok(())
    }
}

/// The outputs of a deployment: workload to output to value.
pub(crate) async fn outputs(
    session: &Session,
    deployment: &str,
    key: &Identity,
) -> anyhow::Result<Value> {
    let client = session.client().await?;
    let mut reader = Reader::new(client, deployment, StreamName::Outputs, key);
    let bytes = match reader.more().await {
        Ok(bytes) if reader.has_begun() => {
            if !reader.is_complete() {
                return Err(SealedError::Truncated { stream: "outputs" }.into());
            }
            bytes
        }
        Ok(_) => outputs_file(client, deployment, key).await?,
        Err(SealedError::Call(error)) if error.refused(404).is_some() => {
            outputs_file(client, deployment, key).await?
        }
        Err(error) => return Err(error.into()),
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        anyhow::Error::new(error).context("the outputs were opened and are not JSON")
    })
}

async fn outputs_file(
    client: &Client,
    deployment: &str,
    key: &Identity,
) -> anyhow::Result<Vec<u8>> {
    let path = format!("deployments/{}/encrypted-outputs", segment(deployment));
    let Some(answer) = client.find::<EncryptedOutputs>(&path).await? else {
        return Err(Advised::new(
            format!("deployment {deployment} has no outputs"),
            ["outputs are kept of deployments that succeeded, had workload outputs, and were not started with --skip-outputs"],
        )
        .into());
    };
    let file = BASE64
        .decode(answer.raw)
        .map_err(|source| SealedError::Encoding {
            stream: "outputs",
            source,
        })?;
    Ok(age::open(key, &file).map_err(|source| SealedError::Age {
        stream: "outputs",
        source,
    })?)
}

/// The log of a deployment as an age file of another client's making.
pub(crate) async fn log_file(
    client: &Client,
    deployment: &str,
    key: &Identity,
) -> Result<Vec<u8>, SealedError> {
    let path = format!("deployments/{}/actions/get-logs", segment(deployment));
    let answer = client
        .call(axum::http::Method::GET, &path, Content::Empty, &[])
        .await?;
    age::open(key, &answer.body).map_err(|source| SealedError::Age {
        stream: "logs",
        source,
    })
}

/// The ciphertext of the outputs as the store holds it: header and frames.
pub(crate) async fn sealed_outputs(
    client: &Client,
    deployment: &str,
) -> Result<Vec<u8>, CallError> {
    let answer: SealedStream = client
        .get(&format!(
            "deployments/{}/streams/outputs?after=0",
            segment(deployment)
        ))
        .await?;
    Ok(answer
        .header
        .iter()
        .chain(&answer.frames)
        .filter_map(|text| BASE64.decode(text).ok())
        .flatten()
        .collect())
}
