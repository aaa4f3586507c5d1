//! Server-sent events, read as they come.

use axum::body::Body;
use bytes::BytesMut;
use futures_util::StreamExt as _;

use super::answer::{CallError, unreadable};
use crate::wire::deployments::DeploymentEvent;

/// Server-sent events of a deployment.
pub(crate) struct Events {
    body: axum::body::BodyDataStream,
    buffer: BytesMut,
    what: String,
}

impl Events {
    /// Those in the body of an answer to `what`.
    pub(super) fn new(body: Body, what: String) -> Self {
        Self {
            body: body.into_data_stream(),
            buffer: BytesMut::new(),
            what,
        }
    }

    /// The next event; `None` when the stream is over.
    pub(crate) async fn next(&mut self) -> Result<Option<DeploymentEvent>, CallError> {
        loop {
            while let Some(block) = take_block(&mut self.buffer) {
                let data = data_of(&block);
                if data.is_empty() {
                    continue; // A comment that keeps the connection alive.
                }
                return serde_json::from_str(&data)
                    .map(Some)
                    .map_err(|source| unreadable(&self.what, source));
            }
            match self.body.next().await {
                None => return Ok(None),
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(source)) => {
                    let what = self.what.clone();
                    return Err(CallError::Cut { what, source });
                }
            }
        }
    }
}

/// Takes the next block (up to an empty line) out of the buffer.
fn take_block(buffer: &mut BytesMut) -> Option<String> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let block = buffer.split_to(end + 2);
    Some(String::from_utf8_lossy(&block).into_owned())
}

/// The joined `data:` lines of a block.
fn data_of(block: &str) -> String {
    block
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use crate::cli::client::Client;
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;

    #[tokio::test]
    async fn events_are_read_across_chunk_borders_and_comments_are_skipped() {
        let router = Router::new().route(
            "/orgs/o/deployments/d/events",
            get(|| async {
                let chunks = [
                    ":\n\nid: 1\nda",
                    "ta: {\"position\":1,\"at\":\"t\",\"what\":{\"queued\":2}}\n",
                    "\nid: 2\ndata: {\"position\":2,\"at\":\"t\",\"what\":{\"ended\":\"applied\"}}\n\n",
                ];
                Body::from_stream(futures_util::stream::iter(
                    chunks.map(Ok::<_, std::convert::Infallible>),
                ))
            }),
        );
        let client = Client::new(router, "o");
        let mut events = client.events("d", 0).await.expect("opens");
        let mut positions = Vec::new();
        while let Some(event) = events.next().await.expect("reads") {
            positions.push(event.position);
        }
        assert_eq!(positions, [1, 2]);
    }
}
