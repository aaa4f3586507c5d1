//! Describes the Job of one attempt: names, labels, hardening, limits, and the runner's pod template laid over it. Pure.
//!
//! Start at [`job`]. Nothing secret is ever part of it, and no job document: what may read Jobs may read all of it. The
//! document travels through the standard input of the supervisor when the pod runs, so a second pod, which Kubernetes may
//! start in rare races, gets none and ends by itself.

use serde_json::{Map, Value, json};

use super::template;
use crate::model::phase::FailureClass;
use crate::runner::job::Deadlines;
use crate::runner::spec::{SPOOL, ladder_secs, name};
use crate::runner::{LaunchError, RunKey};
use crate::wire::kubernetes::KubernetesConfiguration;

/// Labels of Jobs and pods; their values are ids.
pub(super) const LABEL_INSTANCE: &str = "windlass.dev/instance";
const LABEL_RUN: &str = "windlass.dev/run";
const LABEL_ATTEMPT: &str = "windlass.dev/attempt";
const LABEL_ENV: &str = "windlass.dev/environment";
const LABEL_DEPLOYMENT: &str = "windlass.dev/deployment";
/// Prefix of what a pod template may not set.
pub(super) const PREFIX: &str = "windlass.dev/";

/// The container of the supervisor, as in v1.
pub(super) const MAIN: &str = "main";

/// A pod that runs and gets no job for so long ends by itself.
pub(super) const WAIT_SECS: u64 = 300;
/// A Job that ended is kept so long for whoever adopts its run.
const KEEP_SECS: u64 = 24 * 3600;
/// Uid and group of the default image.
const USER: u32 = 65532;
const MEMORY_REQUEST: &str = "1Gi";
const MEMORY_LIMIT: &str = "2Gi";

/// What is launched and for whom.
pub(super) struct Wanted<'a> {
    pub(super) key: &'a RunKey,
    pub(super) instance: &'a str,
    pub(super) env_uuid: &'a str,
    pub(super) deployment: &'a str,
    pub(super) runner: &'a KubernetesConfiguration,
    pub(super) deadlines: &'a Deadlines,
    /// The image of this server's settings; a pod template's comes first.
    pub(super) image: Option<&'a str>,
}

/// The Job, as it is created.
pub(super) fn job(wanted: &Wanted<'_>) -> Result<Value, LaunchError> {
    let labels = labels(wanted);
    let over = wanted.runner.job.pod_template.clone().unwrap_or_default();
    let ladder = ladder_secs(wanted.deadlines);
    let mut wrong = template::own_words(&over);
    let template = template::laid_over(base(wanted, &labels), over);
    wrong.extend(template::wrong(&template, wanted.runner, ladder));
    if !wrong.is_empty() {
        let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        return Err(refused(format!(
            "the pod template of the runner is refused: {}",
            wrong.join("; ")
        )));
    }
    if template::main(&template)
        .and_then(|main| main.get("image"))
        .is_none()
    {
        return Err(refused(
            "no image is named for runners in Kubernetes: build one (`windlass runner-image build`), push it to a registry \
             that the cluster reads, and name it in this server's settings (`runner_image: REFERENCE`) or as `image` of the \
             container `main` in the runner's `job.pod_template`"
                .to_owned(),
        ));
    }
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name(wanted.key), "labels": labels},
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": outer_deadline(wanted.deadlines, wanted.runner),
            "ttlSecondsAfterFinished": KEEP_SECS,
            "template": template,
        },
    }))
}

fn refused(message: String) -> LaunchError {
    LaunchError {
        class: FailureClass::ConfigInvalid,
        message,
        transient: false,
    }
}

fn labels(wanted: &Wanted<'_>) -> Value {
    json!({
        LABEL_INSTANCE: wanted.instance,
        LABEL_RUN: wanted.key.run,
        LABEL_ATTEMPT: wanted.key.attempt.to_string(),
        LABEL_ENV: wanted.env_uuid,
        LABEL_DEPLOYMENT: wanted.deployment,
    })
}

/// More than everything that the supervisor itself allows: it ends runs, the cluster only what has no supervisor any more.
fn outer_deadline(deadlines: &Deadlines, runner: &KubernetesConfiguration) -> u64 {
    let phases = deadlines.init + deadlines.plan + deadlines.apply.max(deadlines.destroy);
    let ladder = u64::try_from(ladder_secs(deadlines)).unwrap_or(0);
    start_secs(runner) + WAIT_SECS + phases + deadlines.finish + ladder + 3600
}

/// How long a pod may take to run.
pub(super) fn start_secs(runner: &KubernetesConfiguration) -> u64 {
    runner.start_secs.unwrap_or(300)
}

/// The pod, before the runner's template.
fn base(wanted: &Wanted<'_>, labels: &Value) -> Map<String, Value> {
    let mut main = json!({
        "name": MAIN,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/windlass"],
        "args": ["inside", "--launcher", "kubernetes", "--lines", "--inherit", "--wait", WAIT_SECS.to_string()],
        "workingDir": SPOOL,
        "stdin": true,
        "stdinOnce": false,
        "terminationMessagePolicy": "File",
        "resources": {"requests": {"memory": MEMORY_REQUEST}, "limits": {"memory": MEMORY_LIMIT}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "spool", "mountPath": SPOOL}, {"name": "tmp", "mountPath": "/tmp"}],
    });
    if let Some(image) = wanted.image {
        main["image"] = json!(image);
    }
    let template = json!({
        "metadata": {
            "labels": labels,
            "annotations": {
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                "karpenter.sh/do-not-disrupt": "true",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": wanted.runner.job.service_account,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": ladder_secs(wanted.deadlines),
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [main],
            "volumes": [{"name": "spool", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
        },
    });
    match template {
        Value::Object(template) => template,
        _ => Map::new(),
    }
}
