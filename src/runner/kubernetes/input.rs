//! The way in: lines for the supervisor's standard input. The first is the job, later ones are words.
//!
//! Each line has a connection of its own, so whoever adopts a run can still speak to it, and is answered by the supervisor
//! itself: what was sent is known to have arrived whole. Why `attach` and no `exec`: it can start nothing.

use std::time::Duration;

use kube::api::AttachParams;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::cluster::{Cluster, code};
use super::describe::MAIN;
use crate::model::phase::FailureClass;
use crate::runner::LaunchError;
use crate::runner::inside::HEARD;

/// How long the supervisor may take to read a line.
const WRITE: Duration = Duration::from_secs(120);

/// Sends one line. `Ok(false)`: there is nothing that could read it any more.
pub(super) async fn send(cluster: &Cluster, pod: &str, line: &[u8]) -> Result<bool, LaunchError> {
    let what = "speak to the pod";
    let params = AttachParams {
        container: Some(MAIN.to_owned()),
        stdin: true,
        stdout: true,
        stderr: false,
        max_stdin_buf_size: Some(64 * 1024),
        max_stdout_buf_size: Some(64 * 1024),
        ..AttachParams::default()
    };
    let attach = tokio::time::timeout(super::cluster::REQUEST, cluster.pods.attach(pod, &params));
    let mut attached = match attach.await {
        Err(_) => return Err(cluster.silent(what)),
        Ok(Err(error)) => {
            return match code(&error) {
                // It is gone, or its container is.
                Some(404 | 400 | 409) => Ok(false),
                // A node that is gone, or a kubelet that does not find the container.
                Some(500..) => Err(LaunchError {
                    transient: true,
                    ..cluster.failed(what, &error)
                }),
                _ => Err(cluster.failed(what, &error)),
            };
        }
        Ok(Ok(attached)) => attached,
    };
    let (Some(mut input), Some(output)) = (attached.stdin(), attached.stdout()) else {
        return Err(cluster.silent(what));
    };
    let written = tokio::time::timeout(WRITE, async {
        // Events come by the same way; they are read by another one. Both at once, or neither side goes on.
        let write = async {
            input.write_all(line).await?;
            input.write_all(b"\n").await
        };
        let read = async {
            let mut output = BufReader::new(output);
            let mut said = Vec::new();
            while output.read_until(b'\n', &mut said).await? > 0 {
                if said == HEARD {
                    return Ok(true);
                }
                said.clear();
            }
            Ok::<bool, std::io::Error>(false)
        };
        let (_, heard) = tokio::join!(write, read);
        heard
    })
    .await;
    match written {
        Ok(Ok(true)) => Ok(true),
        _ => Err(LaunchError {
            class: FailureClass::StartFailed,
            message: "the connection to the pod broke while it was written to".to_owned(),
            transient: true,
        }),
    }
}
