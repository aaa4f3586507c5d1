//! The launcher without a container engine: a supervisor as a child process, in a session of its own.
//!
//! It isolates nothing: modules run as this user, on this host. Its spool is a directory of the data directory, and the
//! spool file is the only transport; it is read as it grows. The supervisor does not notice when the process that launched
//! it ends, and is found again by process id and start time.
//!
//! What is left when a supervisor is killed (SIGKILL, out of memory): its engine, which has lost its reader. Before
//! such a run is said to have ended, its session is emptied, so that no second writer ever starts beside it.

mod session;
mod tail;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::{mpsc::Sender, watch};
use zeroize::Zeroizing;

use self::tail::Tail;
use super::event::Event;
use super::inside::spool::EVENTS;
use super::job::Job;
use super::{
    Assignment, Exit, Handle, HostSettings, Launch, LaunchError, Launcher, RunKey, environment,
    host, inside, mirror, spec, state,
};
use crate::model::phase::FailureClass;
use crate::wire::runners::ProcessConfiguration;
use crate::wire::state::Open;

/// File in a spool that says which process it belongs to.
const SUPERVISOR: &str = "supervisor.json";
/// A supervisor that gets no job for so long ends by itself.
const WAIT_SECS: u32 = 120;
/// The spool is looked at so often while it grows, and a little less often when it does not.
const BUSY: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_millis(20);
/// An engine without its supervisor gets so long to end by itself.
const ORPHAN_GRACE: Duration = Duration::from_secs(60);

/// The exit code of a process, once it is known.
type Ending = watch::Receiver<Option<i64>>;

/// The launcher `process`.
pub(crate) struct ProcessLauncher {
    settings: HostSettings,
    /// Our own program.
    program: PathBuf,
    /// Pipes to supervisors that have no job yet.
    inputs: Mutex<BTreeMap<RunKey, ChildStdin>>,
    /// How our own children end, once somebody has waited for them: they are seen to be dead a moment before that.
    endings: Mutex<BTreeMap<(i32, u64), Ending>>,
}

fn error(class: FailureClass, message: impl Into<String>) -> LaunchError {
    LaunchError {
        class,
        message: message.into(),
        transient: false,
    }
}

fn failed(what: &str, why: &std::io::Error) -> LaunchError {
    LaunchError {
        class: FailureClass::StartFailed,
        message: format!("could not {what}: {why}{}", host::advice(why)),
        transient: true,
    }
}

impl ProcessLauncher {
    /// A launcher for this host.
    pub(crate) fn new(settings: HostSettings) -> Self {
        // The file may be replaced while we run; then its place in `/proc` is still the one that runs.
        let program = std::env::current_exe()
            .ok()
            .filter(|path| path.exists())
            .unwrap_or_else(|| "/proc/self/exe".into());
        Self::with_program(settings, program)
    }

    /// The same with another supervisor.
    pub(crate) fn with_program(settings: HostSettings, program: PathBuf) -> Self {
        Self {
            settings,
            program,
            inputs: Mutex::default(),
            endings: Mutex::default(),
        }
    }

    fn spool(&self, key: &RunKey) -> PathBuf {
        self.settings.data_dir.join("spool").join(key.to_string())
    }

    /// The engine that carries a job out: what its runner names comes first.
    fn engine(
        &self,
        wanted: &ProcessConfiguration,
        job: &Job,
    ) -> Result<host::Engine, LaunchError> {
        let named = wanted.engine.as_deref().or(job.engine.as_deref());
        host::engine(named, &self.settings.engines)
    }

    fn start(&self, assignment: &Assignment) -> Result<Handle, LaunchError> {
        let Launch::Process(wanted) = &assignment.launch else {
            return Err(error(
                FailureClass::Internal,
                "this run is not for the process launcher",
            ));
        };
        environment::resolve(&wanted.environment, &self.settings)?;
        let engine = self.engine(wanted, &assignment.job)?;
        let state = state::directory(&self.settings.data_dir, &assignment.env_uuid)
            .map_err(|why| failed("find the state directory", &why))?;
        let spool = self.spool(&assignment.key);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&spool)
            .map_err(|why| failed("make the spool directory", &why))?;
        let log = std::fs::File::create(spool.join("stderr"))
            .map_err(|why| failed("write into the spool directory", &why))?;
        let mut command = Command::new(&self.program);
        command
            .arg("inside")
            .arg("--session")
            .args(["--launcher", "process", "--wait", &WAIT_SECS.to_string()])
            .arg("--spool")
            .arg(&spool)
            .arg("--state")
            .arg(state)
            .arg("--engine")
            .arg(format!("{}={}", engine.engine, engine.path.display()));
        if let Some(mirror) = self.settings.filled_mirror() {
            command.arg("--mirror").arg(mirror);
        }
        // Nothing of our environment: the job has what the engine needs.
        command.env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        let mut child = command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|why| failed("start the supervisor", &why))?;
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        // Not reaped yet, so it is still there to be asked.
        let started = inside::stat(pid).map_or(0, |(_, _, started)| started);
        let input = child.stdin.take();
        let (tell, ending) = watch::channel(None);
        self.endings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((pid, started), ending);
        std::thread::spawn(move || {
            if let Ok(status) = child.wait() {
                let code = status
                    .code()
                    .or_else(|| status.signal().map(|signal| 128 + signal));
                tell.send_replace(Some(i64::from(code.unwrap_or(-1))));
            }
        });
        if let Some(input) = input {
            self.inputs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(assignment.key.clone(), input);
        }
        let handle = Handle::Process { pid, started };
        let text = serde_json::to_vec(&handle).unwrap_or_default();
        std::fs::write(spool.join(SUPERVISOR), text)
            .map_err(|why| failed("write into the spool directory", &why))?;
        Ok(handle)
    }

    /// What an earlier call, perhaps of another process, started for this attempt.
    fn known(&self, key: &RunKey) -> Option<Handle> {
        let text = std::fs::read(self.spool(key).join(SUPERVISOR)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// How a child of ours ended that is dead; `None` of one that another process started.
    async fn code_of(&self, pid: i32, started: u64) -> Option<i64> {
        let mut ending = self
            .endings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(pid, started))?
            .clone();
        let code = ending.wait_for(Option::is_some).await.ok()?;
        *code
    }
}

fn process(handle: &Handle) -> Result<(i32, u64), LaunchError> {
    match handle {
        Handle::Process { pid, started } => Ok((*pid, *started)),
        Handle::Container { .. } | Handle::Job { .. } => {
            Err(error(FailureClass::Internal, "this run is no process"))
        }
    }
}

fn remove_dir(path: &Path) -> Result<(), LaunchError> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(failed("remove the spool directory", &why)),
    }
}

impl Launcher for ProcessLauncher {
    async fn ensure(
        &self,
        assignment: &Assignment,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Handle, LaunchError> {
        if let Some(known) = self.known(&assignment.key) {
            let ours = self
                .inputs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains_key(&assignment.key);
            if ours || self.spool(&assignment.key).join(EVENTS).exists() {
                return Ok(known);
            }
            // Its input was lost with the process that started it: it ends without a job.
            self.remove(&assignment.key, Some(&known)).await?;
        }
        say("starting");
        self.start(assignment)
    }

    async fn give(&self, assignment: &Assignment, handle: &Handle) -> Result<(), LaunchError> {
        process(handle)?;
        let input = self
            .inputs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&assignment.key);
        let Some(mut input) = input else {
            // It was started by another process: either it has its job, or it ends without one.
            return Ok(());
        };
        let Launch::Process(wanted) = &assignment.launch else {
            return Err(error(
                FailureClass::Internal,
                "this run is not for the process launcher",
            ));
        };
        let mut job = assignment.job.clone();
        job.environment = environment::resolve(&wanted.environment, &self.settings)?;
        let found = self.engine(wanted, &job).ok();
        job.engine = wanted.engine.clone().or(job.engine);
        let program = found.map(|found| found.path);
        let data_dir = self.settings.data_dir.clone();
        let mirror = self.settings.filled_mirror().map(Path::to_owned);
        tokio::task::spawn_blocking(move || {
            mirror::inform(&mut job, &data_dir, mirror.as_deref(), program.as_deref());
            let text = serde_json::to_vec(&job).map(Zeroizing::new)?;
            input.write_all(&text)
        })
        .await
        .map_err(|_| error(FailureClass::Internal, "the job was not written"))?
        .map_err(|why| LaunchError {
            class: FailureClass::StartFailed,
            message: format!("the job could not be written to the supervisor: {why}"),
            transient: true,
        })
    }

    async fn observe(
        &self,
        key: &RunKey,
        handle: &Handle,
        after: u64,
        events: Sender<Vec<Event>>,
    ) -> Result<Exit, LaunchError> {
        let (pid, started) = process(handle)?;
        let mut tail = Tail::new(self.spool(key).join(EVENTS), after);
        let mut quiet_since = Instant::now();
        loop {
            // Asked before reading: what it wrote before it ended is then read, too.
            let alive = session::is_alive(pid, started);
            let batch = tail.read().map_err(|why| failed("read the spool", &why))?;
            if !batch.is_empty() {
                quiet_since = Instant::now();
                if events.send(batch).await.is_err() {
                    return Err(error(FailureClass::Internal, "nobody takes the events"));
                }
                continue;
            }
            if !alive {
                break;
            }
            let idle = quiet_since.elapsed() > Duration::from_secs(1);
            tokio::time::sleep(if idle { IDLE } else { BUSY }).await;
        }
        session::empty(pid, started, ORPHAN_GRACE).await;
        let code = self.code_of(pid, started).await;
        Ok(Exit {
            code,
            out_of_memory: false,
            vanished: code.is_none(),
            reason: None,
        })
    }

    async fn stop(&self, _key: &RunKey, handle: &Handle) -> Result<(), LaunchError> {
        let (pid, started) = process(handle)?;
        if session::is_alive(pid, started) {
            session::signal(pid, Signal::TERM);
        }
        Ok(())
    }

    async fn forget_state(&self, assignment: &Assignment) -> Result<(), LaunchError> {
        state::remove(&self.settings.data_dir, &assignment.env_uuid)
            .map_err(|why| failed("remove the state directory", &why))
    }

    async fn left_open(&self, assignment: &Assignment, state: Option<Vec<u8>>) -> Option<Open> {
        state::left_open(&self.settings.data_dir, assignment, state).await
    }

    async fn sweep(
        &self,
        owned: &(dyn Fn(&RunKey) -> bool + Send + Sync),
    ) -> Result<(), LaunchError> {
        // A worker may be killed between the record of an end and the removal of what it was the end of.
        let Ok(entries) = std::fs::read_dir(self.settings.data_dir.join("spool")) else {
            return Ok(());
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let keys: Vec<RunKey> = names.filter_map(|name| spec::key_in(&name)).collect();
        for key in keys {
            if !owned(&key) {
                tracing::info!(run = %key, "what belongs to no run any more is removed");
                self.remove(&key, None).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, key: &RunKey, handle: Option<&Handle>) -> Result<(), LaunchError> {
        // Dropping the pipe ends a supervisor that still waits for its job.
        drop(
            self.inputs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(key),
        );
        if let Some(handle) = handle.cloned().or_else(|| self.known(key)) {
            let (pid, started) = process(&handle)?;
            session::end(pid, started).await;
            self.endings
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&(pid, started));
        }
        let spool = self.spool(key);
        tokio::task::spawn_blocking(move || remove_dir(&spool))
            .await
            .map_err(|_| error(FailureClass::Internal, "the spool was not removed"))?
    }
}

#[cfg(test)]
mod tests;
