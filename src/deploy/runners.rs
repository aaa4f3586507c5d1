//! Which runner serves a deployment, how it is launched, and where its state lies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Error, Settings, hosted};
use crate::hcl::Backend;
use crate::model::diag::{Document, nearest};
use crate::model::{Diagnostic, Place};
use crate::runner::Launch;
use crate::store::deployments::places::StatePlace;
use crate::store::objects::{ObjectError, runner_rules};
use crate::store::{Store, agents};
use crate::wire::objects::Environment;
use crate::wire::runners::{Deadlines, LOCAL, PROCESS, Shortcuts};
use crate::wire::words::StateType;

/// A runner as of the acceptance of a deployment; may hold secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunnerOffer {
    pub(super) id: String,
    pub(super) runner_configuration: Map<String, Value>,
    pub(super) state_storage_configuration: Map<String, Value>,
}

/// The runner that serves, and whether the environment keeps it.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) runner: RunnerOffer,
    /// Whether a rule chose it: then it stays the environment's, as in v1. The reserved runners and those asked
    /// for by name are not kept, so that a rule that is made later counts.
    pub(super) is_kept: bool,
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn reserved(id: &str) -> RunnerOffer {
    let kind = if id == PROCESS { "process" } else { "docker" };
    RunnerOffer {
        id: id.to_owned(),
        runner_configuration: map(json!({ "type": kind })),
        state_storage_configuration: map(json!({ "type": "local" })),
    }
}

/// Chooses: asked for by name, kept by the environment, named by the most specific rule, else `local`.
pub(super) async fn choose(
    store: &Store,
    settings: &Settings,
    org: &str,
    environment: &Environment,
    asked: Option<&str>,
) -> Result<Chosen, Error> {
    let (id, is_kept) = match (asked, &environment.runner_id) {
        (Some(asked), _) => (asked.to_owned(), false),
        (None, Some(kept)) => (kept.clone(), false),
        (None, None) => {
            let mut reading = store.reading().await?;
            let project = &environment.project_id;
            match runner_rules::best(&mut reading, org, project, &environment.env_type_id).await? {
                Some(id) => (id, true),
                None if settings.allow_local => (LOCAL.to_owned(), false),
                None => {
                    return Err(Error::Conflict(
                        "no matching runner found for the supplied environment".to_owned(),
                    ));
                }
            }
        }
    };
    let is_kept = is_kept && id != LOCAL && id != PROCESS;
    let runner = match id.as_str() {
        LOCAL if settings.allow_local => reserved(LOCAL),
        PROCESS if settings.allow_process => reserved(PROCESS),
        LOCAL | PROCESS => {
            return Err(Error::Conflict(format!(
                "the reserved runner `{id}` is switched off by a setting of this server; name another runner, or make \
                 a runner rule"
            )));
        }
        _ => match store.runner_open(org, &id).await {
            Ok(runner) => RunnerOffer {
                id: runner.id,
                runner_configuration: runner.runner_configuration,
                state_storage_configuration: runner.state_storage_configuration,
            },
            Err(ObjectError::Missing(_)) if asked.is_some() => {
                return Err(unknown(store, org, &id).await);
            }
            Err(ObjectError::Missing(_)) => {
                return Err(Error::Conflict(format!(
                    "no runner exists with id '{id}', the runner must be recreated or the environment must be updated \
                     with a new runner"
                )));
            }
            Err(error) => return Err(of_objects(error)),
        },
    };
    // Found out now rather than when it is claimed.
    if kind(&runner.runner_configuration) == "agent" {
        // What may run on an agent's host is that host's to say.
        launch(&runner)?;
    } else if out_of_reach(&runner).is_none() && matches!(launch(&runner)?, Launch::Process(_)) {
        // One that somebody made is no way around the setting.
        if !settings.allow_process {
            return Err(Error::Conflict(format!(
                "the runner `{}` is of type `process`, which is switched off by a setting of this server; use a runner \
                 of type `docker`",
                runner.id
            )));
        }
    }
    if is_hosted(&runner) && settings.state_url.is_none() {
        return Err(Error::Conflict(format!(
            "the runner `{}` cannot be used from here: {}",
            runner.id,
            hosted::NO_SERVER
        )));
    }
    can_encrypt(&runner)?;
    backend(&runner)?;
    state_place(&runner, store.instance())?;
    Ok(Chosen { runner, is_kept })
}

/// A refusal of the objects room, as ours.
pub(super) fn of_objects(error: ObjectError) -> Error {
    match error {
        ObjectError::Missing(text) => Error::NotFound(text),
        ObjectError::Conflict(text) => Error::Conflict(text),
        ObjectError::Invalid { pointer, message } => Error::Invalid(vec![Diagnostic::error(
            "Invalid field",
            message,
            Place::at(Document::Request, pointer),
        )]),
        ObjectError::Store(error) => Error::Store(error),
    }
}

async fn unknown(store: &Store, org: &str, id: &str) -> Error {
    let stored = store
        .runner_list(org, None, &crate::store::objects::Paging::ALL)
        .await
        .map(|listed| {
            listed
                .items
                .into_iter()
                .map(|runner| runner.id)
                .collect::<Vec<_>>()
        })
        .unwrap_or_default();
    let mut known: Vec<&str> = stored.iter().map(String::as_str).collect();
    known.extend([LOCAL, PROCESS]);
    known.sort_unstable();
    known.dedup();
    let near = nearest(id, known.iter().copied());
    let meant = near
        .first()
        .map(|near| format!(" Did you mean `{near}`?"))
        .unwrap_or_default();
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    Error::Invalid(vec![Diagnostic::error(
        "Unknown runner",
        format!(
            "There is no runner `{id}`.{meant} Available are {}.",
            known.join(", ")
        ),
        Place::at(Document::Request, "/windlass/runner"),
    )])
}

fn kind(configuration: &Map<String, Value>) -> &str {
    configuration
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("")
}

fn without_type(configuration: &Map<String, Value>) -> Value {
    let mut settings = configuration.clone();
    settings.shift_remove("type");
    Value::Object(settings)
}

/// Whose agents carry the runs of a runner, as in `deployments.served_by`; empty where servers do.
pub(super) fn served_by(org: &str, runner: &RunnerOffer) -> String {
    match kind(&runner.runner_configuration) {
        "agent" | "kubernetes-agent" => agents::serves(org, &runner.id),
        _ => String::new(),
    }
}

/// Why a runner that is served from elsewhere cannot be reached, in v1's words; `None` for one of this host.
///
/// Such a deployment is accepted and waits a while when its turn comes, because an agent may come and go.
pub(super) fn out_of_reach(runner: &RunnerOffer) -> Option<String> {
    let id = &runner.id;
    match kind(&runner.runner_configuration) {
        "kubernetes-agent" => Some(format!(
            "kubernetes-agent runner \"{id}\" not reachable, no agent is connected: kubernetes agent not reachable"
        )),
        "agent" => Some(format!(
            "agent runner \"{id}\" not reachable, no agent is connected: see which there are with `windlass get agents`, \
             and enrol one with the token that `windlass create agent-token {id}` prints"
        )),
        _ => None,
    }
}

/// How a runner is launched.
pub(super) fn launch(runner: &RunnerOffer) -> Result<Launch, Error> {
    let configuration = match runner.runner_configuration.get("launcher") {
        Some(Value::Object(launcher)) if kind(&runner.runner_configuration) == "agent" => launcher,
        _ => &runner.runner_configuration,
    };
    let settings = without_type(configuration);
    let damaged = |error: serde_json::Error| {
        Error::Conflict(format!(
            "the configuration of the runner `{}` does not fit its type: {error}",
            runner.id
        ))
    };
    match kind(configuration) {
        "docker" => serde_json::from_value(settings)
            .map(Launch::Docker)
            .map_err(damaged),
        "process" => serde_json::from_value(settings)
            .map(Launch::Process)
            .map_err(damaged),
        "kubernetes" => serde_json::from_value(settings)
            .map(Launch::Kubernetes)
            .map_err(damaged),
        other => Err(Error::Conflict(format!(
            "the runner `{}` is of type `{other}`, which this version stores but cannot run; use a runner of type \
             `docker`, `process` or `kubernetes`, for example the reserved runner `{LOCAL}`",
            runner.id
        ))),
    }
}

/// The engine that a runner wants, if it says so.
pub(super) fn engine(launch: &Launch) -> Option<String> {
    match launch {
        Launch::Docker(docker) => docker.engine.clone(),
        Launch::Process(process) => process.engine.clone(),
        Launch::Kubernetes(kubernetes) => kubernetes.engine.clone(),
    }
}

/// What runs of a runner may save themselves.
pub(super) fn shortcuts(launch: &Launch) -> Shortcuts {
    match launch {
        Launch::Docker(docker) => docker.shortcuts,
        Launch::Process(process) => process.shortcuts,
        Launch::Kubernetes(kubernetes) => kubernetes.shortcuts,
    }
    .unwrap_or_default()
}

/// How long runs of a runner may take, where it says so.
pub(super) fn deadlines(launch: &Launch) -> Option<Deadlines> {
    match launch {
        Launch::Docker(docker) => docker.deadlines,
        Launch::Process(process) => process.deadlines,
        Launch::Kubernetes(kubernetes) => kubernetes.deadlines,
    }
}

/// What the engine is told about where its state lies.
pub(super) fn backend(runner: &RunnerOffer) -> Result<Backend, Error> {
    let storage = &runner.state_storage_configuration;
    backend_of(kind(storage), storage).map_err(|key| {
        Error::Conflict(format!(
            "the state storage of the runner `{}` lacks `{key}`",
            runner.id
        ))
    })
}

/// The same of a state that lies somewhere already.
pub(super) fn backend_at(place: &StatePlace) -> Result<Backend, Error> {
    backend_of(&place.kind, &place.settings).map_err(|key| {
        Error::Internal(format!(
            "the place of a state lacks `{key}`, which its type `{}` needs",
            place.kind
        ))
    })
}

/// Fails with the key that is missing.
fn backend_of(kind: &str, storage: &Map<String, Value>) -> Result<Backend, &'static str> {
    let text = |key: &str| storage.get(key).and_then(Value::as_str).map(str::to_owned);
    let required = |key: &'static str| text(key).ok_or(key);
    Ok(match kind {
        "kubernetes" => Backend::Kubernetes {
            namespace: required("namespace")?,
        },
        "s3" => Backend::S3 {
            bucket: required("bucket")?,
            path_prefix: text("path_prefix"),
        },
        "gcs" => Backend::Gcs {
            bucket: required("bucket")?,
            path_prefix: text("path_prefix"),
        },
        "azurerm" => Backend::Azurerm {
            resource_group_name: text("resource_group_name"),
            storage_account_name: required("storage_account_name")?,
            container_name: required("container_name")?,
            path_prefix: text("path_prefix"),
        },
        hosted::TYPE => Backend::Hosted,
        "http" => Backend::Http {
            address: required("address")?,
            lock_path: text("lock_path"),
            lock_method: text("lock_method"),
            unlock_method: text("unlock_method"),
        },
        "pg" => Backend::Pg {
            schema_name: text("schema_name").unwrap_or_else(|| "windlass".to_owned()),
        },
        _ => Backend::local(),
    })
}

/// Whether this runner's environments have their state with the server.
pub(super) fn is_hosted(runner: &RunnerOffer) -> bool {
    kind(&runner.state_storage_configuration) == hosted::TYPE
}

/// The key of a state storage that says whether the engine encrypts.
const ENCRYPTION: &str = "encryption";

/// Whether the engine encrypts the states of this runner's environments itself.
pub(super) fn encrypts(runner: &RunnerOffer) -> bool {
    let wanted = runner.state_storage_configuration.get(ENCRYPTION);
    wanted.and_then(Value::as_bool).unwrap_or(false)
}

/// Refuses an encryption that this runner's engine would not have, or would have twice.
fn can_encrypt(runner: &RunnerOffer) -> Result<(), Error> {
    if !encrypts(runner) {
        return Ok(());
    }
    let launch = launch(runner).ok();
    let engine = launch.as_ref().and_then(engine);
    if engine.as_deref() == Some("terraform") {
        return Err(Error::Conflict(format!(
            "the state storage of the runner `{}` has `{ENCRYPTION}`, which is OpenTofu's own, and its engine is Terraform; \
             use OpenTofu (`engine: opentofu`), or take `{ENCRYPTION}` away",
            runner.id
        )));
    }
    let configuration = &runner.runner_configuration;
    let inner = configuration.get("launcher").and_then(Value::as_object);
    let is_twice = [Some(configuration), inner]
        .into_iter()
        .flatten()
        .any(|configuration| {
            let environment = configuration.get("environment").and_then(Value::as_object);
            environment.is_some_and(|environment| environment.contains_key("TF_ENCRYPTION"))
        });
    match is_twice {
        false => Ok(()),
        true => Err(Error::Conflict(format!(
            "the runner `{}` has `TF_ENCRYPTION` in its environment and `{ENCRYPTION}` in its state storage; keep one of both",
            runner.id
        ))),
    }
}

/// Whether this runner's environments have their state on the disk of a host.
pub(super) fn is_local(runner: &RunnerOffer) -> bool {
    kind(&runner.state_storage_configuration) == "local"
}

/// The place of the state of this runner's environments.
pub(super) fn state_place(runner: &RunnerOffer, instance: &str) -> Result<StatePlace, Error> {
    let storage = &runner.state_storage_configuration;
    let kind = kind(storage);
    if !StateType::ALL.contains(&kind) {
        return Err(Error::Conflict(format!(
            "the runner `{}` keeps its state in `{kind}`, which this version stores but cannot use; use one of {}",
            runner.id,
            StateType::ALL.join(", ")
        )));
    }
    let mut settings = map(without_type(storage));
    // How it is encrypted is no part of where it lies: it may change from one deployment to the next.
    settings.shift_remove(ENCRYPTION);
    Ok(StatePlace {
        kind: kind.to_owned(),
        settings,
        instance: if kind == "local" {
            instance.to_owned()
        } else {
            String::new()
        },
    })
}

/// Refuses a place that is not where the state already lies.
pub(super) fn same_place(
    recorded: Option<&StatePlace>,
    wanted: &StatePlace,
    runner: &str,
) -> Result<(), Error> {
    let Some(recorded) = recorded else {
        return Ok(());
    };
    if recorded == wanted {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "the state of this environment lies in {}, and the runner `{runner}` keeps its state in {}; use a runner with \
         the same state storage, or take the state there with `windlass state move`",
        in_words(recorded),
        in_words(wanted)
    )))
}

/// A place as people are told it. There is no secret in it: credentials have no place in the settings.
pub(super) fn in_words(place: &StatePlace) -> String {
    let settings: BTreeMap<&String, &Value> = place.settings.iter().collect();
    let settings = serde_json::to_string(&settings).unwrap_or_default();
    match (place.instance.is_empty(), place.settings.is_empty()) {
        (false, _) => format!("`{}` of the installation {}", place.kind, place.instance),
        (true, true) => format!("`{}`", place.kind),
        (true, false) => format!("`{}` {settings}", place.kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(configuration: Value, storage: Value) -> RunnerOffer {
        RunnerOffer {
            id: "r".into(),
            runner_configuration: map(configuration),
            state_storage_configuration: map(storage),
        }
    }

    #[test]
    fn docker_and_process_runners_share_the_local_state_of_a_host() {
        let docker = state_place(&reserved(LOCAL), "here").expect("known");
        let process = state_place(&reserved(PROCESS), "here").expect("known");
        assert!(same_place(Some(&docker), &process, "process").is_ok());
        let elsewhere = state_place(&reserved(LOCAL), "there").expect("known");
        assert!(matches!(
            same_place(Some(&docker), &elsewhere, "local"),
            Err(Error::Conflict(_))
        ));
    }

    #[test]
    fn a_type_that_cannot_run_yet_says_so() {
        let error = launch(&runner(
            json!({"type": "kubernetes-gke"}),
            json!({"type": "local"}),
        ));
        let text = error.expect_err("refused").to_string();
        assert!(text.contains("`kubernetes-gke`"), "{text}");
    }

    #[test]
    fn a_configuration_is_read_without_its_type() {
        let launch = launch(&runner(
            json!({"type": "docker", "engine": "terraform", "network": "none"}),
            json!({"type": "local"}),
        ))
        .expect("reads");
        assert_eq!(engine(&launch).as_deref(), Some("terraform"));
    }
}
