//! The launcher for Docker: one hardened container per run. The only user of bollard.
//!
//! Start at [`DockerLauncher`]. `container` carries out what `runner::spec` describes; `attach` and `spool` are the two
//! ways by which events arrive; `image` builds and fetches; `place` says where state lies; `standby` keeps containers
//! for the next run; `sweep` removes what nobody owns.
//!
//! Never reads a container's log, never puts anything secret into a description, never kills a container that may have
//! begun its job: one that did not begin is told so by the end of its input and ends by itself.
mod attach;
mod container;
mod daemon;
mod follow;
mod image;
pub(crate) mod place;
mod spool;
mod standby;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use zeroize::Zeroizing;

use self::attach::Output;
use self::container::Created;
pub(crate) use self::daemon::Daemon;
use super::event::Event;
use super::image::{Built, Context};
use super::spec::{self, HostFacts, Image, Purpose};
use super::{
    Assignment, Awaited, Exit, Handle, HostSettings, Launch, LaunchError, Launcher, RunKey,
    environment, mirror,
};
use crate::model::phase::FailureClass;
use crate::wire::runners::DockerConfiguration;
use crate::wire::state::Open;

/// Whether a daemon answers, and which; else what a person should do.
pub(crate) async fn probe(docker_host: Option<&str>) -> Result<Daemon, LaunchError> {
    daemon::connect(docker_host).await
}

/// Builds the default image unless the daemon has it; see `runner::image::build`.
pub(crate) async fn build_image(
    host: &HostSettings,
    engine: Option<&str>,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<Built, LaunchError> {
    let launcher = DockerLauncher::new(host.clone());
    let daemon = launcher.daemon().await?;
    let context = launcher.collect(engine).await?;
    let already = image::exists(&daemon, &context).await?;
    if !already {
        image::build(&daemon, &context, say).await?;
    }
    Ok(Built {
        reference: context.reference(),
        engine: context.engine.clone(),
        size: context.size(),
        already,
        warnings: context.warnings,
    })
}

/// What this process knows of a container between the calls for it.
enum Known {
    /// Made or taken by `ensure`, without a job.
    Waiting {
        /// Whether it runs already.
        started: bool,
        /// What it was made of, for the key of what its run prepares.
        image: String,
    },
    /// It has its job; its output is read by the first `observe`.
    Given(Output),
}

/// Carries runs in containers.
pub(crate) struct DockerLauncher {
    host: HostSettings,
    daemon: Mutex<Option<Arc<Daemon>>>,
    /// One build or fetch at a time; holds the references that the daemon is known to have.
    images: tokio::sync::Mutex<BTreeSet<String>>,
    known: Mutex<BTreeMap<String, Known>>,
    pool: standby::Pool,
}

impl DockerLauncher {
    pub(crate) fn new(host: HostSettings) -> Self {
        Self {
            host,
            daemon: Mutex::default(),
            images: tokio::sync::Mutex::default(),
            known: Mutex::default(),
            pool: standby::Pool::default(),
        }
    }

    /// The daemon, connected once; a daemon that does not answer is asked again at the next call.
    async fn daemon(&self) -> Result<Arc<Daemon>, LaunchError> {
        let known = self
            .daemon
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(daemon) = known {
            return Ok(daemon);
        }
        let daemon = Arc::new(daemon::connect(self.host.docker_host.as_deref()).await?);
        let mut slot = self.daemon.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(Arc::clone(&daemon));
        Ok(daemon)
    }

    fn know(&self, id: &str, known: Known) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(id.to_owned(), known);
    }

    fn forget(&self, id: &str) -> Option<Known> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(id)
    }

    /// The build context of the default image; reads large programs the first time.
    async fn collect(&self, engine: Option<&str>) -> Result<Context, LaunchError> {
        let (host, engine) = (self.host.clone(), engine.map(str::to_owned));
        tokio::task::spawn_blocking(move || super::image::collect(&host, engine.as_deref()))
            .await
            .unwrap_or_else(|_| Err(internal("the runner image could not be put together")))
    }

    /// Makes sure that the daemon has the image a runner wants.
    async fn image(
        &self,
        daemon: &Daemon,
        wanted: &DockerConfiguration,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Image, LaunchError> {
        if let Some(reference) = &wanted.image {
            let mut present = self.images.lock().await;
            if !present.contains(reference) {
                image::fetch(daemon, reference, say).await?;
                present.insert(reference.clone());
            }
            let binary = self.binary().await?;
            let volume = image::binary_volume(daemon, &self.host, &binary, reference).await?;
            return Ok(Image::Custom {
                reference: reference.clone(),
                binary: volume,
            });
        }
        let context = self.collect(wanted.engine.as_deref()).await?;
        let reference = context.reference();
        let mut present = self.images.lock().await;
        if !present.contains(&reference) {
            if !image::exists(daemon, &context).await? {
                say("image");
                image::build(daemon, &context, say).await?;
            }
            present.insert(reference.clone());
        }
        Ok(Image::Default { reference })
    }

    async fn binary(&self) -> Result<super::image::Program, LaunchError> {
        let host = self.host.clone();
        tokio::task::spawn_blocking(move || super::image::own_program(&host))
            .await
            .unwrap_or_else(|_| Err(internal("our own binary could not be read")))
    }

    /// What the description of a container needs to know, found out.
    fn facts(
        &self,
        daemon: &Daemon,
        awaited: &Awaited,
        wanted: &DockerConfiguration,
        image: Image,
    ) -> Result<HostFacts, LaunchError> {
        let env_uuid = &awaited.env_uuid;
        let owner = place::owner(&self.host)?;
        let mirror = self
            .host
            .filled_mirror()
            // A container elsewhere asks the server for what it cannot see.
            .filter(|_| !daemon.elsewhere || !awaited.has_network_mirror)
            .and_then(|mirror| std::path::absolute(mirror).ok());
        if let Some(mirror) = mirror.as_ref().filter(|_| daemon.elsewhere) {
            return Err(LaunchError {
                class: FailureClass::ConfigInvalid,
                message: format!(
                    "the provider mirror `{}` lies on this host, where the Docker daemon at `{}` cannot see it; serve it over https (`windlass serve --tls-certificate …`), unset it, or use an image that holds the providers",
                    mirror.display(),
                    daemon.address
                ),
                transient: false,
            });
        }
        Ok(HostFacts {
            instance: self.host.instance.clone(),
            uid: owner.0,
            gid: owner.1,
            state: place::state(&self.host, env_uuid, &daemon.id, daemon.elsewhere, owner)?,
            mirror: mirror.map(|mirror| mirror.display().to_string()),
            image,
            network: self.host.docker_network.clone(),
            mounts: place::mounts(&wanted.mounts, &self.host.mount_allow)?,
        })
    }

    /// Creates the container of an attempt. Twice, if the image vanished since it was looked for.
    async fn create(
        &self,
        daemon: &Daemon,
        assignment: &Assignment,
        wanted: &DockerConfiguration,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Handle, LaunchError> {
        let mut again = false;
        loop {
            let image = self.image(daemon, wanted, say).await?;
            let custom = matches!(image, Image::Custom { .. });
            let facts = self.facts(daemon, &assignment.again(), wanted, image)?;
            let spec = spec::container(
                Purpose::Run {
                    key: &assignment.key,
                    deployment: &assignment.job.deployment,
                },
                &assignment.env_uuid,
                wanted,
                &assignment.job.deadlines,
                &facts,
            )?;
            let settings = spec
                .labels
                .get(spec::LABEL_SETTINGS)
                .map_or("", String::as_str);
            let taken = self
                .pool
                .take(daemon, &assignment.env_uuid, settings, &assignment.key)
                .await;
            if let Some(id) = taken {
                let image = spec.settings.image;
                self.know(
                    &id,
                    Known::Waiting {
                        started: true,
                        image,
                    },
                );
                return Ok(Handle::Container { id });
            }
            say("starting");
            match container::create(daemon, &spec).await? {
                Created::New(id) => {
                    if custom && let Err(error) = container::open_volumes(daemon, &spec).await {
                        // The next try must not meet one whose volumes nobody opened.
                        container::remove(daemon, &id, None).await?;
                        return Err(error);
                    }
                    let image = spec.settings.image;
                    self.know(
                        &id,
                        Known::Waiting {
                            started: false,
                            image,
                        },
                    );
                    return Ok(Handle::Container { id });
                }
                Created::NoImage if !again => {
                    again = true;
                    self.images.lock().await.remove(&spec.settings.image);
                }
                Created::NoImage => {
                    return Err(LaunchError {
                        class: FailureClass::ImageMissing,
                        message: format!("the image `{}` vanished", spec.settings.image),
                        transient: true,
                    });
                }
                Created::NameTaken => return self.meet(daemon, &spec.name).await,
            }
        }
    }

    /// An attempt whose container exists already. It is never made a second time and never killed: one that runs is
    /// followed as it is, one that never started is used.
    async fn meet(&self, daemon: &Daemon, name: &str) -> Result<Handle, LaunchError> {
        let Some(seen) = container::look(daemon, name).await? else {
            return Err(LaunchError {
                transient: true,
                ..internal("a container of that name was there and is gone")
            });
        };
        if seen.labels.get(spec::LABEL) != Some(&self.host.instance) {
            return Err(internal(&format!(
                "a container named `{name}` exists and is not of this installation; remove it"
            )));
        }
        if seen.fresh {
            // Whoever made it may have had another image.
            let image = seen.image;
            self.know(
                &seen.id,
                Known::Waiting {
                    started: false,
                    image,
                },
            );
        }
        Ok(Handle::Container { id: seen.id })
    }
}

impl Launcher for DockerLauncher {
    async fn ensure(
        &self,
        assignment: &Assignment,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Handle, LaunchError> {
        let wanted = configuration(assignment)?;
        let daemon = self.daemon().await?;
        self.create(&daemon, assignment, wanted, say).await
    }

    async fn give(&self, assignment: &Assignment, handle: &Handle) -> Result<(), LaunchError> {
        let id = container_id(handle)?;
        let wanted = configuration(assignment)?;
        let Some(Known::Waiting { started, image }) = self.forget(id) else {
            // Not made by this process, so perhaps it has its job: `observe` finds out.
            return Ok(());
        };
        let mut job = assignment.job.clone();
        job.environment = environment::resolve(&wanted.environment, &self.host)?;
        job.engine_digest = image;
        let data_dir = self.host.data_dir.clone();
        let mirror = self.host.filled_mirror().map(std::path::Path::to_owned);
        let text = tokio::task::spawn_blocking(move || {
            mirror::inform(&mut job, &data_dir, mirror.as_deref(), None);
            serde_json::to_vec(&job).map(Zeroizing::new)
        })
        .await
        .map_err(|_| internal("the job was not written"))?
        .map_err(|_| internal("the job could not be written as JSON"))?;
        let daemon = self.daemon().await?;
        let Some((input, output)) = attach::attach(&daemon, id).await? else {
            return Err(LaunchError {
                transient: true,
                ..start_failed("the container was gone before it had its job".to_owned())
            });
        };
        if !started {
            container::start(&daemon, id).await?;
        }
        let given = input.give(&text).await;
        self.know(id, Known::Given(output));
        given
    }

    async fn observe(
        &self,
        _key: &RunKey,
        handle: &Handle,
        after: u64,
        events: mpsc::Sender<Vec<Event>>,
    ) -> Result<Exit, LaunchError> {
        let id = container_id(handle)?;
        let daemon = self.daemon().await?;
        let output = match self.forget(id) {
            Some(Known::Given(output)) => Some(output),
            Some(Known::Waiting { .. }) | None => None,
        };
        follow::follow(&daemon, id, after, output, &events).await
    }

    async fn stop(&self, _key: &RunKey, handle: &Handle) -> Result<(), LaunchError> {
        let daemon = self.daemon().await?;
        container::terminate(&daemon, container_id(handle)?).await
    }

    async fn left_open(&self, assignment: &Assignment, state: Option<Vec<u8>>) -> Option<Open> {
        super::state::left_open(&self.host.data_dir, assignment, state).await
    }

    async fn remove(&self, key: &RunKey, handle: Option<&Handle>) -> Result<(), LaunchError> {
        let daemon = self.daemon().await?;
        let name = spec::name(key);
        match handle {
            Some(Handle::Container { id }) => {
                self.forget(id);
                container::remove(&daemon, id, None).await?;
            }
            Some(Handle::Process { .. } | Handle::Job { .. }) | None => {
                container::remove(&daemon, &name, None).await?;
            }
        }
        // Made with the container, and there without it when something was killed in between.
        container::remove_volume(&daemon, &name).await
    }

    async fn forget_state(&self, assignment: &Assignment) -> Result<(), LaunchError> {
        // A volume is in use until the container is gone: the second call takes it, or the sweep, should there be none.
        if let Some(volume) = place::forget(&self.host, &assignment.env_uuid)? {
            // What stands by uses it as well, and has nothing to wait for any more.
            self.pool
                .drop_env(&*self.daemon().await?, &assignment.env_uuid)
                .await;
            container::remove_volume(&*self.daemon().await?, &volume).await?;
        }
        place::remove(&self.host, &assignment.env_uuid)
    }

    async fn stand_by(&self, awaited: &[Awaited]) {
        for one in awaited {
            if let Err(error) = self.stand_by_for(one, awaited).await {
                tracing::debug!(%error, "nothing stands by");
            }
        }
    }

    async fn tend(&self) -> usize {
        let overdue = self.pool.overdue();
        if !overdue.is_empty()
            && let Ok(daemon) = self.daemon().await
        {
            for id in overdue {
                standby::discard(&daemon, &id).await;
            }
            // One that began to stand by while its environment was destroyed kept the state.
            sweep::forgotten(&daemon, &self.host).await;
        }
        self.pool.len()
    }

    async fn sweep(
        &self,
        owned: &(dyn Fn(&RunKey) -> bool + Send + Sync),
    ) -> Result<(), LaunchError> {
        let daemon = self.daemon().await?;
        self.pool.adopt(&daemon, &self.host.instance).await?;
        sweep::sweep(&daemon, &self.host.instance, &self.pool, owned).await?;
        sweep::forgotten(&daemon, &self.host).await;
        image::prune(&daemon).await;
        Ok(())
    }
}

impl DockerLauncher {
    async fn stand_by_for(&self, one: &Awaited, all: &[Awaited]) -> Result<(), LaunchError> {
        let Launch::Docker(wanted) = &one.launch else {
            return Ok(());
        };
        let daemon = self.daemon().await?;
        if spec::standby_secs(wanted).is_none() {
            self.pool.drop_env(&daemon, &one.env_uuid).await;
            return Ok(());
        }
        // A custom image needs its volumes prepared, which a container that runs already cannot wait for.
        if wanted.image.is_some() {
            return Ok(());
        }
        let image = self.image(&daemon, wanted, &|_: &str| {}).await?;
        let facts = self.facts(&daemon, one, wanted, image)?;
        let id = uuid::Uuid::now_v7().to_string();
        let spec = spec::container(
            Purpose::Standby { id: &id },
            &one.env_uuid,
            wanted,
            &one.deadlines,
            &facts,
        )?;
        let envs: Vec<&str> = all.iter().map(|one| one.env_uuid.as_str()).collect();
        self.pool.add(&daemon, &spec, &envs).await
    }
}

fn configuration(assignment: &Assignment) -> Result<&DockerConfiguration, LaunchError> {
    match &assignment.launch {
        Launch::Docker(wanted) => Ok(wanted),
        Launch::Process(_) | Launch::Kubernetes(_) => {
            Err(internal("another run was given to the launcher for Docker"))
        }
    }
}

fn container_id(handle: &Handle) -> Result<&str, LaunchError> {
    match handle {
        Handle::Container { id } => Ok(id),
        Handle::Process { .. } | Handle::Job { .. } => {
            Err(internal("another run was given to the launcher for Docker"))
        }
    }
}

fn internal(message: &str) -> LaunchError {
    LaunchError {
        class: FailureClass::Internal,
        message: message.to_owned(),
        transient: false,
    }
}

fn start_failed(message: String) -> LaunchError {
    LaunchError {
        class: FailureClass::StartFailed,
        message,
        transient: false,
    }
}
