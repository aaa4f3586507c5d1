//! What a pod's status means: is it on its way, does it run, how did it end. Pure.
//!
//! Everything is said with its place and with what to do about it, because `Pending` helps nobody.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, Event, Pod, PodCondition};

use super::cluster::clipped;
use super::describe::MAIN;
use crate::model::phase::FailureClass;
use crate::runner::{Exit, Reason};

/// How far a Job is on its way to running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// Not yet. What holds it up, if anything does: it may pass, so it is waited for, but not for ever.
    Waiting(Option<Reason>),
    /// Waiting does not help.
    Hopeless(Reason),
    /// The supervisor runs, or has run.
    Runs,
}

fn reason(class: FailureClass, message: impl Into<String>) -> Reason {
    Reason {
        class,
        message: message.into(),
    }
}

/// The state of the supervisor's container.
fn state(pod: &Pod) -> Option<&ContainerState> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses
        .iter()
        .find(|status| status.name == MAIN)?
        .state
        .as_ref()
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// The image that a pod wants.
fn image(pod: &Pod) -> &str {
    pod.spec
        .as_ref()
        .and_then(|spec| {
            spec.containers
                .iter()
                .find(|container| container.name == MAIN)
        })
        .and_then(|container| container.image.as_deref())
        .unwrap_or_default()
}

/// Judges a Job that should begin. `events` are those of the Job.
pub(super) fn start(job: &Job, pod: Option<&Pod>, events: &[Event], namespace: &str) -> Start {
    let Some(pod) = pod else {
        return without_pod(job, events, namespace);
    };
    if let Some(state) = state(pod) {
        if state.running.is_some() || state.terminated.is_some() {
            return Start::Runs;
        }
        if let Some(waiting) = &state.waiting {
            let why = waiting.reason.as_deref().unwrap_or_default();
            let words = clipped(waiting.message.as_deref().unwrap_or_default());
            let image = image(pod);
            match why {
                "InvalidImageName" => {
                    return Start::Hopeless(reason(
                        FailureClass::ImageMissing,
                        format!(
                            "`{image}` is no name of an image (InvalidImageName); correct `runner_image` or the pod template"
                        ),
                    ));
                }
                "ErrImageNeverPull" => {
                    return Start::Hopeless(reason(
                        FailureClass::ImageMissing,
                        format!(
                            "the node does not have the image `{image}`, and the pod template forbids to pull it (ErrImageNeverPull)"
                        ),
                    ));
                }
                "ErrImagePull"
                | "ImagePullBackOff"
                | "RegistryUnavailable"
                | "ImageInspectError" => {
                    return Start::Waiting(Some(reason(
                        FailureClass::ImageMissing,
                        format!(
                            "the node cannot pull the image `{image}` ({why}): {words}. Push it there, correct its name, or give the pod template `imagePullSecrets`"
                        ),
                    )));
                }
                "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                    return Start::Waiting(Some(reason(
                        FailureClass::StartFailed,
                        format!(
                            "the container cannot be made ({why}): {words}. A Secret or ConfigMap that the pod template names may be missing, or the image lacks `/windlass`"
                        ),
                    )));
                }
                _ => {}
            }
        }
    }
    if matches!(phase(pod), "Failed" | "Succeeded") {
        return Start::Runs;
    }
    if let Some(scheduled) = condition(pod, "PodScheduled")
        && scheduled.status == "False"
    {
        let why = scheduled.reason.as_deref().unwrap_or("Unschedulable");
        let words = clipped(scheduled.message.as_deref().unwrap_or_default());
        return Start::Waiting(Some(reason(
            FailureClass::StartFailed,
            format!(
                "no node takes the pod ({why}): {words}. Add room, or change what the pod template asks for"
            ),
        )));
    }
    Start::Waiting(None)
}

/// A Job that has no pod: its controller says why in events, and nowhere else.
fn without_pod(job: &Job, events: &[Event], namespace: &str) -> Start {
    let ended = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    if let Some(failed) = ended
        .into_iter()
        .find(|condition| condition.type_ == "Failed" && condition.status == "True")
    {
        return Start::Hopeless(reason(
            FailureClass::StartFailed,
            format!(
                "the Job ended before its pod ran ({}): {}",
                failed.reason.as_deref().unwrap_or("Failed"),
                clipped(failed.message.as_deref().unwrap_or_default())
            ),
        ));
    }
    let refused = events
        .iter()
        .rev()
        .find(|event| event.reason.as_deref() == Some("FailedCreate"));
    Start::Waiting(refused.map(|event| {
        let words = clipped(event.message.as_deref().unwrap_or_default());
        let todo = if words.contains("exceeded quota") {
            "Raise the quota, wait for other pods to end, or lower `resources` in the pod template"
        } else if words.contains("serviceaccount") {
            "Make the service account that `job.service_account` names"
        } else {
            "Change the pod template or the policy of the namespace"
        };
        reason(
            FailureClass::StartFailed,
            format!("the namespace `{namespace}` admits no pod for this run: {words}. {todo}"),
        )
    }))
}

/// How the pod ended; `None`: it has not.
pub(super) fn end(pod: &Pod) -> Option<Exit> {
    let terminated = state(pod).and_then(|state| state.terminated.as_ref());
    let ended = matches!(phase(pod), "Failed" | "Succeeded");
    if terminated.is_none() && !ended {
        return None;
    }
    let out_of_memory =
        terminated.is_some_and(|ended| ended.reason.as_deref() == Some("OOMKilled"));
    let code = terminated.map(|ended| match ended.signal {
        Some(signal) if signal > 0 => 128 + i64::from(signal),
        _ => i64::from(ended.exit_code),
    });
    Some(Exit {
        code,
        out_of_memory,
        vanished: false,
        reason: disrupted(pod).or_else(|| out_of_memory.then(|| memory(pod))),
    })
}

/// Who ended the pod, where it was not itself.
pub(super) fn disrupted(pod: &Pod) -> Option<Reason> {
    let status = pod.status.as_ref()?;
    if status.reason.as_deref() == Some("Evicted") {
        return Some(reason(
            FailureClass::Killed,
            format!(
                "the node evicted the pod: {}",
                clipped(
                    status
                        .message
                        .as_deref()
                        .unwrap_or("it was short of something")
                )
            ),
        ));
    }
    if status.reason.as_deref() == Some("DeadlineExceeded") {
        return Some(reason(
            FailureClass::Timeout,
            "the pod outlived the Job's outer deadline and was ended",
        ));
    }
    let target =
        condition(pod, "DisruptionTarget").filter(|condition| condition.status == "True")?;
    let words = clipped(target.message.as_deref().unwrap_or_default());
    Some(match target.reason.as_deref() {
        Some("DeletionByTaintManager") => reason(
            FailureClass::Lost,
            format!("the pod's node was lost or tainted, and the cluster gave the pod up: {words}"),
        ),
        Some("DeletionByPodGC") => reason(
            FailureClass::Lost,
            format!("the pod's node is gone: {words}"),
        ),
        Some(why) => reason(
            FailureClass::Killed,
            format!("the cluster ended the pod ({why}): {words}"),
        ),
        None => reason(
            FailureClass::Killed,
            format!("the cluster ended the pod: {words}"),
        ),
    })
}

fn memory(pod: &Pod) -> Reason {
    let limit = pod
        .spec
        .as_ref()
        .and_then(|spec| {
            spec.containers
                .iter()
                .find(|container| container.name == MAIN)
        })
        .and_then(|container| container.resources.as_ref()?.limits.as_ref()?.get("memory"))
        .map(|limit| format!(" of {}", limit.0))
        .unwrap_or_default();
    reason(
        FailureClass::OutOfMemory,
        format!(
            "the pod hit its memory limit{limit} and was killed. Raise `resources.limits.memory` of the container `{MAIN}` in the runner's pod template"
        ),
    )
}

/// A pod whose node does not answer any more, and whose deletion, with its grace, is over: nothing will ever say more.
pub(super) fn given_up(pod: &Pod, now: jiff::Timestamp) -> bool {
    let lost = condition(pod, "DisruptionTarget")
        .is_some_and(|condition| condition.status == "True")
        || condition(pod, "Ready").is_some_and(|ready| {
            ready.reason.as_deref() == Some("NodeNotReady") || ready.status == "Unknown"
        });
    let over = pod.metadata.deletion_timestamp.as_ref().is_some_and(|at| {
        // The timestamp is when the grace is over, a minute more for a kubelet that is only late.
        now.duration_since(at.0).as_secs() > 60
    });
    lost && over
}
