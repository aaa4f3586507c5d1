//! Images at the daemon: builds ours, fetches custom ones, fills the volume that gives those our binary.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};
use bollard::query_parameters::{
    BuildImageOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
    ListImagesOptionsBuilder, PruneImagesOptionsBuilder, RemoveImageOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::container;
use super::daemon::{Daemon, describe, failed, is_full, status};
use crate::model::hex;
use crate::model::phase::FailureClass;
use crate::runner::image::{Content, Context, Entry, Program, REPOSITORY};
use crate::runner::spec::{LABEL, LABEL_KIND, VolumeKind, volume_labels};
use crate::runner::{HostSettings, LaunchError};

/// Label of our images: the whole digest.
const LABEL_IMAGE: &str = "windlass.image";
/// Label of everything that a build of ours makes on its way.
const LABEL_PART: &str = "windlass.part";
/// How many of our images stay when newer ones are built.
const KEEP: usize = 4;

/// Whether the daemon has the image with this digest.
pub(super) async fn exists(daemon: &Daemon, context: &Context) -> Result<bool, LaunchError> {
    match daemon.docker.inspect_image(&context.reference()).await {
        // A tag can be moved; the label says what is in it.
        Ok(image) => Ok(image
            .config
            .and_then(|config| config.labels)
            .is_some_and(|labels| labels.get(LABEL_IMAGE) == Some(&context.digest))),
        Err(error) if status(&error) == Some(404) => Ok(false),
        Err(error) => Err(failed(daemon, "look for the runner image", &error)),
    }
}

/// Builds the image. The tag appears at the end, so a build that is cut short leaves nothing that could be taken for it.
pub(super) async fn build(
    daemon: &Daemon,
    context: &Context,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), LaunchError> {
    let labels = HashMap::from([(LABEL_IMAGE.to_owned(), context.digest.clone())]);
    let options = BuildImageOptionsBuilder::default()
        .dockerfile("Dockerfile")
        .t(&context.reference())
        .rm(true)
        .forcerm(true)
        .networkmode("none")
        .labels(&labels)
        .build();
    let sent = Arc::new(AtomicU64::new(0));
    let body = bollard::body_try_stream(stream(context.entries.clone(), Arc::clone(&sent)));
    let mut steps = Box::pin(daemon.docker.build_image(options, None, Some(body)));
    let total = context.size();
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let mut told = String::new();
    loop {
        tokio::select! {
            step = steps.next() => match step {
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    drop(steps);
                    if is_full(&error) {
                        remove_half_built(daemon).await;
                    }
                    return Err(unbuilt(daemon, context, &error));
                }
                None => break,
            },
            _ = ticks.tick() => {
                let now = progress(sent.load(Ordering::Relaxed), total);
                if now != told {
                    say(&now);
                    told = now;
                }
            }
        }
    }
    if exists(daemon, context).await? {
        return Ok(());
    }
    Err(LaunchError {
        class: FailureClass::ImageMissing,
        message: format!(
            "the runner image was built, but the daemon does not have `{}` now",
            context.reference()
        ),
        transient: true,
    })
}

/// Removes the steps of builds that failed: images of ours that nothing names and nothing stands on. The daemon would keep
/// them for the next build, which has no room while they are there.
async fn remove_half_built(daemon: &Daemon) {
    let filters = HashMap::from([
        ("dangling".to_owned(), vec!["true".to_owned()]),
        ("label".to_owned(), vec![LABEL_PART.to_owned()]),
    ]);
    let options = PruneImagesOptionsBuilder::default()
        .filters(&filters)
        .build();
    if let Err(error) = daemon.docker.prune_images(Some(options)).await {
        tracing::debug!(%error, "half-built images were not removed");
    }
}

fn progress(sent: u64, total: u64) -> String {
    const MIB: u64 = 1 << 20;
    if sent < total {
        format!(
            "building the runner image: {} of {} MiB sent to Docker",
            sent / MIB,
            total / MIB
        )
    } else {
        "building the runner image".to_owned()
    }
}

fn unbuilt(daemon: &Daemon, context: &Context, error: &Error) -> LaunchError {
    match error {
        _ if is_full(error) => LaunchError {
            class: FailureClass::ImageMissing,
            message: format!(
                "there is no space for the runner image on Docker's disk: it takes about {} MiB twice while it is built. Free some (`docker system df` shows what takes it, `docker system prune` removes what nobody uses), or deploy with `--runner process`",
                context.size() >> 20
            ),
            transient: false,
        },
        Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => LaunchError {
            class: FailureClass::ImageMissing,
            message: format!(
                "the runner image could not be built: {}. Try `windlass runner-image build`, or deploy with `--runner process`",
                describe(error)
            ),
            transient: false,
        },
        other => failed(daemon, "build the runner image", other),
    }
}

/// The context as a tar stream, made as it is read: large programs are never held whole.
fn stream(
    entries: std::collections::BTreeMap<String, Entry>,
    sent: Arc<AtomicU64>,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(8);
    tokio::task::spawn_blocking(move || {
        let writer = Sender {
            sender: sender.clone(),
            buffer: Vec::new(),
            sent,
        };
        if let Err(error) = archive(&entries, writer) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    })
}

fn archive(
    entries: &std::collections::BTreeMap<String, Entry>,
    writer: Sender,
) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(writer);
    for (path, entry) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        match &entry.content {
            Content::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                archive.append_data(&mut header, format!("{path}/"), std::io::empty())?;
            }
            Content::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                archive.append_link(&mut header, path, target)?;
            }
            Content::Bytes(bytes) => {
                header.set_size(bytes.len() as u64);
                archive.append_data(&mut header, path, &bytes[..])?;
            }
            Content::File(program) => {
                header.set_size(program.size);
                let file = unchanged(program)?;
                archive.append_data(&mut header, path, &file)?;
            }
        }
    }
    archive.into_inner()?.flush()
}

/// Opens a program that must still be what was digested.
fn unchanged(program: &Program) -> std::io::Result<File> {
    let file = File::open(&program.path)?;
    if file.metadata()?.len() == program.size {
        return Ok(file);
    }
    Err(std::io::Error::other(format!(
        "`{}` changed while the image was built",
        program.path.display()
    )))
}

/// Collects small writes into chunks.
struct Sender {
    sender: mpsc::Sender<std::io::Result<Bytes>>,
    buffer: Vec<u8>,
    sent: Arc<AtomicU64>,
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 256 * 1024 {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        self.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        self.sender
            .blocking_send(Ok(chunk))
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))
    }
}

/// Makes sure that the daemon has a custom image.
pub(super) async fn fetch(
    daemon: &Daemon,
    reference: &str,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), LaunchError> {
    match daemon.docker.inspect_image(reference).await {
        Ok(_) => return Ok(()),
        Err(error) if status(&error) == Some(404) => {}
        Err(error) => return Err(failed(daemon, "look for the image", &error)),
    }
    say("image");
    let (name, tag) = split(reference);
    let mut options = CreateImageOptionsBuilder::default().from_image(name);
    if let Some(tag) = tag {
        options = options.tag(tag);
    }
    let mut steps = Box::pin(
        daemon
            .docker
            .create_image(Some(options.build()), None, None),
    );
    while let Some(step) = steps.next().await {
        if let Err(error) = step {
            return Err(match status(&error) {
                None if !matches!(error, Error::DockerStreamError { .. }) => {
                    failed(daemon, "fetch the image", &error)
                }
                _ => LaunchError {
                    class: FailureClass::ImageMissing,
                    message: format!(
                        "the image `{reference}` is not on this host and could not be fetched: {}. Check its name, or `docker pull` it first",
                        describe(&error)
                    ),
                    transient: false,
                },
            });
        }
    }
    Ok(())
}

/// Name and tag of a reference; a reference by digest has no tag, and without one `latest` is meant, not all.
fn split(reference: &str) -> (&str, Option<&str>) {
    if reference.contains('@') {
        return (reference, None);
    }
    match reference.rsplit_once(':') {
        // A colon before a slash belongs to the port of the registry.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (reference, Some("latest")),
    }
}

/// The volume that holds our binary for custom images; filled once per binary.
///
/// It is filled through a helper container that is removed only afterwards: while that exists, the volume is not whole.
pub(super) async fn binary_volume(
    daemon: &Daemon,
    host: &HostSettings,
    binary: &Program,
    reference: &str,
) -> Result<String, LaunchError> {
    let instance: String = host.instance.chars().take(8).collect();
    let name = format!("windlass-binary-{instance}-{}", hex(&binary.digest[..8]));
    let helper = format!("{name}-filling");
    let half_filled = container::look(daemon, &helper).await?.is_some();
    match daemon.docker.inspect_volume(&name).await {
        Ok(_) if !half_filled => return Ok(name),
        Ok(_) => {}
        Err(error) if status(&error) == Some(404) => {}
        Err(error) => return Err(failed(daemon, "look for a volume", &error)),
    }
    if half_filled {
        container::remove(daemon, &helper, Some(&name)).await?;
    }
    let labels = volume_labels(&host.instance, VolumeKind::Binary);
    let mount = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name.clone()),
        target: Some("/windlass".to_owned()),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels: Some(labels.into_iter().collect()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    let body = ContainerCreateBody {
        image: Some(reference.to_owned()),
        entrypoint: Some(vec!["/windlass/windlass".to_owned()]),
        labels: Some(HashMap::from([
            (LABEL.to_owned(), host.instance.clone()),
            (LABEL_KIND.to_owned(), "filling".to_owned()),
        ])),
        host_config: Some(HostConfig {
            mounts: Some(vec![mount]),
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default()
        .name(&helper)
        .build();
    daemon
        .docker
        .create_container(Some(options), body)
        .await
        .map_err(|error| failed(daemon, "prepare the custom image", &error))?;
    let entry = Entry {
        mode: 0o755,
        content: Content::File(binary.clone()),
    };
    let entries = std::collections::BTreeMap::from([("windlass".to_owned(), entry)]);
    let options = UploadToContainerOptionsBuilder::default()
        .path("/windlass")
        .build();
    daemon
        .docker
        .upload_to_container(
            &helper,
            Some(options),
            bollard::body_try_stream(stream(entries, Arc::default())),
        )
        .await
        .map_err(|error| failed(daemon, "give our binary to the custom image", &error))?;
    // Not by `remove`: the volume stays.
    let options = bollard::query_parameters::RemoveContainerOptionsBuilder::default()
        .force(true)
        .build();
    daemon
        .docker
        .remove_container(&helper, Some(options))
        .await
        .map_err(|error| failed(daemon, "prepare the custom image", &error))?;
    Ok(name)
}

/// Removes all but the newest of our images; the daemon keeps those that a container uses.
pub(super) async fn prune(daemon: &Daemon) {
    let filters = HashMap::from([("reference".to_owned(), vec![REPOSITORY.to_owned()])]);
    let options = ListImagesOptionsBuilder::default()
        .filters(&filters)
        .build();
    let Ok(mut images) = daemon.docker.list_images(Some(options)).await else {
        return;
    };
    images.sort_by_key(|image| std::cmp::Reverse(image.created));
    for image in images.into_iter().skip(KEEP) {
        for tag in image.repo_tags {
            let options = RemoveImageOptionsBuilder::default().build();
            let _ = daemon.docker.remove_image(&tag, Some(options), None).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_split_at_its_tag_and_nowhere_else() {
        assert_eq!(split("mine"), ("mine", Some("latest")));
        assert_eq!(split("mine:1"), ("mine", Some("1")));
        assert_eq!(split("host:5000/mine"), ("host:5000/mine", Some("latest")));
        assert_eq!(split("host:5000/mine:2"), ("host:5000/mine", Some("2")));
        assert_eq!(split("mine@sha256:00"), ("mine@sha256:00", None));
    }
}
