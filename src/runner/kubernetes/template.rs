//! A runner's pod template: laid over ours as a strategic merge patch, and what it may not say. Pure.
//!
//! What is checked is the result, so that nothing gets around it by the way in which it is written. Two kinds are refused:
//! what the launcher itself relies on (always), and what loosens the hardening (unless the runner says `allow_loosening`).

use std::fmt;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value, json};

use super::describe::{MAIN, PREFIX};
use crate::wire::kubernetes::KubernetesConfiguration;

/// The name that v1 had for the container before.
const LEGACY: &str = "platform-orchestrator-runner";

/// Lists that are merged by a key of their items; all others are replaced whole.
const KEYS: &[(&str, &str)] = &[
    ("containers", "name"),
    ("initContainers", "name"),
    ("env", "name"),
    ("volumes", "name"),
    ("imagePullSecrets", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("ports", "containerPort"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
    ("resourceClaims", "name"),
];

/// Paths in the container that are ours.
const PATHS: &[&str] = &["/spool", "/tmp", "/windlass"];

/// Something that a pod template may not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Where in the pod template, as a JSON pointer.
    pub(crate) at: String,
    /// Why, and what to do.
    pub(crate) why: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.at, self.why)
    }
}

/// The container `main` of a template.
pub(super) fn main(template: &Value) -> Option<&Value> {
    containers(template, "containers").find(|container| container["name"] == MAIN)
}

fn containers<'a>(template: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    template["spec"][list].as_array().into_iter().flatten()
}

/// A template laid over ours.
pub(super) fn laid_over(base: Map<String, Value>, mut over: Map<String, Value>) -> Value {
    for container in over
        .get_mut("spec")
        .and_then(|spec| spec.get_mut("containers"))
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if container["name"] == LEGACY {
            container["name"] = json!(MAIN);
        }
    }
    let mut base = Value::Object(base);
    merge(&mut base, Value::Object(over), "");
    // What is added beside ours is as hardened as ours, where it does not say otherwise.
    for list in ["containers", "initContainers"] {
        let list = base["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in list.into_iter().flatten() {
            let Some(container) = container.as_object_mut() else {
                continue;
            };
            let context = container
                .entry("securityContext")
                .or_insert_with(|| json!({}));
            if let Some(context) = context.as_object_mut() {
                context
                    .entry("allowPrivilegeEscalation")
                    .or_insert(json!(false));
                let capabilities = context.entry("capabilities").or_insert_with(|| json!({}));
                if let Some(capabilities) = capabilities.as_object_mut() {
                    capabilities.entry("drop").or_insert_with(|| json!(["ALL"]));
                }
            }
        }
    }
    base
}

/// Strategic merge: maps by key, some lists by a key of their items, everything else replaced; null removes.
fn merge(base: &mut Value, over: Value, key: &str) {
    match (base, over) {
        (Value::Object(base), Value::Object(mut over)) => {
            if over
                .shift_remove("$patch")
                .is_some_and(|patch| patch == "replace")
            {
                base.clear();
            }
            for (name, value) in over {
                if value.is_null() {
                    base.shift_remove(&name);
                } else if let Some(there) = base.get_mut(&name) {
                    merge(there, value, &name);
                } else {
                    base.insert(name, without_patches(value));
                }
            }
        }
        (Value::Array(base), Value::Array(over)) => {
            let Some((_, by)) = KEYS.iter().find(|(list, _)| *list == key) else {
                *base = over;
                return;
            };
            for item in over {
                let same = |there: &Value| item.get(by).is_some() && there.get(by) == item.get(by);
                let at = base.iter().position(same);
                match (at, item.get("$patch").and_then(Value::as_str)) {
                    (Some(at), Some("delete")) => {
                        base.remove(at);
                    }
                    (None, Some("delete")) => {}
                    (Some(at), _) => merge(&mut base[at], item, ""),
                    (None, _) => base.push(without_patches(item)),
                }
            }
        }
        (base, over) => *base = over,
    }
}

fn without_patches(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            map.shift_remove("$patch");
            map.retain(|_, value| !value.is_null());
            map.values_mut()
                .for_each(|value| *value = without_patches(value.take()));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| *item = without_patches(item.take())),
        _ => {}
    }
    value
}

/// What is wrong with a template by itself, before anything is launched with it.
pub(crate) fn check(runner: &KubernetesConfiguration) -> Vec<Wrong> {
    let over = runner.job.pod_template.clone().unwrap_or_default();
    let base = json!({
        "metadata": {"labels": {}, "annotations": {}},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": runner.job.service_account,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": MAIN, "securityContext": {"readOnlyRootFilesystem": true}}],
        },
    });
    match base {
        Value::Object(base) => {
            let mut wrong = own_words(&over);
            wrong.extend(self::wrong(&laid_over(base, over), runner, 0));
            wrong.dedup();
            wrong
        }
        _ => Vec::new(),
    }
}

/// What only shows before the template is laid over ours.
pub(super) fn own_words(over: &Map<String, Value>) -> Vec<Wrong> {
    let over = &Value::Object(over.clone());
    let mut found = Found::default();
    for map in ["labels", "annotations"] {
        for key in over["metadata"][map]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
        {
            if key.starts_with(PREFIX) {
                let key = key.replace('~', "~0").replace('/', "~1");
                found.say(
                    format!("/metadata/{map}/{key}"),
                    "is a reserved name; choose another",
                );
            }
        }
    }
    for key in ["command", "args", "stdin", "stdinOnce", "tty", "workingDir"] {
        for (number, container) in containers(over, "containers").enumerate() {
            let is_main = [MAIN, LEGACY]
                .iter()
                .any(|name| container["name"] == **name);
            if is_main && container.get(key).is_some() {
                let at = format!("/spec/containers/{number}/{key}");
                found.say(
                    at,
                    "is set by Windlass, whose supervisor is process 1 there; leave it out",
                );
            }
        }
    }
    found.wrong
}

#[derive(Default)]
struct Found {
    wrong: Vec<Wrong>,
}

impl Found {
    fn say(&mut self, at: impl Into<String>, why: impl Into<String>) {
        self.wrong.push(Wrong {
            at: at.into(),
            why: why.into(),
        });
    }
}

/// Everything that is wrong with the template that would be launched; `ladder` is how long a stop may take, in seconds.
pub(super) fn wrong(template: &Value, runner: &KubernetesConfiguration, ladder: i64) -> Vec<Wrong> {
    let mut found = Found::default();
    fits(&mut found, template);
    reserved(&mut found, template, runner, ladder);
    if !runner.allow_loosening {
        let mut loose = Found::default();
        loosened(&mut loose, template);
        for mut wrong in loose.wrong {
            wrong.why = format!(
                "{}; remove it, or allow it with `allow_loosening: true` in the runner's configuration",
                wrong.why
            );
            found.wrong.push(wrong);
        }
    }
    found.wrong
}

/// Refuses what is no pod template: a key that Kubernetes would drop, a value of another type.
fn fits(found: &mut Found, template: &Value) {
    match serde_json::from_value::<PodTemplateSpec>(template.clone()) {
        Err(error) => found.say("", format!("is no pod template: {error}")),
        Ok(read) => {
            let kept = serde_json::to_value(read).unwrap_or_default();
            lost(found, template, &kept, &mut String::new());
        }
    }
}

/// Keys of `given` that `kept` lacks.
fn lost(found: &mut Found, given: &Value, kept: &Value, at: &mut String) {
    let here = at.len();
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (key, value) in given {
                at.push('/');
                at.push_str(key);
                match kept.get(key) {
                    Some(kept) => lost(found, value, kept, at),
                    // An empty list or map may be left out.
                    None if value.as_array().is_some_and(Vec::is_empty) || value.is_null() => {}
                    None => found.say(at.clone(), "is not known to Kubernetes"),
                }
                at.truncate(here);
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for (number, (value, kept)) in given.iter().zip(kept).enumerate() {
                at.push_str(&format!("/{number}"));
                lost(found, value, kept, at);
                at.truncate(here);
            }
        }
        _ => {}
    }
}

fn reserved(found: &mut Found, template: &Value, runner: &KubernetesConfiguration, ladder: i64) {
    for key in [
        "name",
        "generateName",
        "namespace",
        "ownerReferences",
        "finalizers",
    ] {
        if template["metadata"].get(key).is_some() {
            found.say(
                format!("/metadata/{key}"),
                "is not a pod template's to set; leave it out",
            );
        }
    }
    for map in ["labels", "annotations"] {
        for key in template["metadata"][map]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
        {
            if key.starts_with("batch.kubernetes.io/")
                || key == "controller-uid"
                || key == "job-name"
            {
                found.say(
                    format!(
                        "/metadata/{map}/{}",
                        key.replace('~', "~0").replace('/', "~1")
                    ),
                    "is a reserved name; choose another",
                );
            }
        }
    }
    let spec = &template["spec"];
    let account = &runner.job.service_account;
    for key in ["serviceAccountName", "serviceAccount"] {
        if spec.get(key).is_some_and(|set| set != account) {
            found.say(
                format!("/spec/{key}"),
                "is set by `job.service_account`; leave it out",
            );
        }
    }
    if spec["restartPolicy"] != "Never" {
        found.say(
            "/spec/restartPolicy",
            "must stay `Never`: a run is never begun twice",
        );
    }
    for key in [
        "activeDeadlineSeconds",
        "ephemeralContainers",
        "shareProcessNamespace",
    ] {
        if spec.get(key).is_some_and(|value| value != &json!(false)) {
            found.say(format!("/spec/{key}"), "would end or change what the supervisor is; use the runner's `deadlines`, or leave it out");
        }
    }
    if spec["terminationGracePeriodSeconds"]
        .as_i64()
        .is_some_and(|secs| secs < ladder)
    {
        found.say(
            "/spec/terminationGracePeriodSeconds",
            format!("must be at least {ladder}, or a run that is asked to stop is killed before it saved its state; shorten `deadlines` instead"),
        );
    }
    let mut mains = 0;
    for (number, container) in containers(template, "containers").enumerate() {
        if container["name"] != MAIN {
            continue;
        }
        mains += 1;
        let at = format!("/spec/containers/{number}");
        for key in ["livenessProbe", "startupProbe", "lifecycle"] {
            if container.get(key).is_some() {
                found.say(
                    format!("{at}/{key}"),
                    "could end a run in the middle; leave it out",
                );
            }
        }
        for (number, variable) in container["env"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let name = variable["name"].as_str().unwrap_or_default();
            if name.starts_with("WINDLASS_") || name.starts_with("TF_CLI_ARGS") {
                found.say(
                    format!("{at}/env/{number}"),
                    format!("sets `{name}`, a reserved name"),
                );
            }
        }
        for (number, mount) in container["volumeMounts"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let path = mount["mountPath"].as_str().unwrap_or_default();
            let path = std::path::Path::new(path);
            let is_ours = ["spool", "tmp"].iter().any(|name| mount["name"] == **name);
            let takes = PATHS
                .iter()
                .any(|ours| path.starts_with(ours) || std::path::Path::new(ours).starts_with(path));
            if takes && !is_ours {
                found.say(format!("{at}/volumeMounts/{number}"), "covers a path that is kept for the runner itself (`/spool`, `/tmp`, `/windlass`)");
            }
        }
    }
    if mains != 1 {
        found.say(
            "/spec/containers",
            format!("must keep the container `{MAIN}`"),
        );
    }
    for (number, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let is_ours = ["spool", "tmp"].iter().any(|name| volume["name"] == **name);
        if is_ours
            && volume.as_object().is_some_and(|volume| {
                volume
                    .keys()
                    .any(|key| !matches!(key.as_str(), "name" | "emptyDir"))
            })
        {
            found.say(
                format!("/spec/volumes/{number}"),
                "takes the name of a volume of the runner itself; choose another name",
            );
        }
    }
}

fn loosened(found: &mut Found, template: &Value) {
    let spec = &template["spec"];
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[key] == true {
            found.say(format!("/spec/{key}"), "shares a namespace of the node");
        }
    }
    for (number, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        if volume.get("hostPath").is_some() {
            found.say(
                format!("/spec/volumes/{number}/hostPath"),
                "mounts a path of the node",
            );
        }
    }
    let pod = &spec["securityContext"];
    context(found, "/spec/securityContext", pod);
    if pod.get("runAsNonRoot") != Some(&json!(true)) {
        found.say("/spec/securityContext/runAsNonRoot", "must stay true");
    }
    if pod.get("seccompProfile").is_none() {
        found.say("/spec/securityContext/seccompProfile", "must stay");
    }
    if pod.get("sysctls").is_some() {
        found.say(
            "/spec/securityContext/sysctls",
            "changes the kernel's settings",
        );
    }
    for list in ["containers", "initContainers"] {
        for (number, container) in containers(template, list).enumerate() {
            let at = format!("/spec/{list}/{number}");
            let own = &container["securityContext"];
            context(found, &format!("{at}/securityContext"), own);
            if own["privileged"] == true {
                found.say(
                    format!("{at}/securityContext/privileged"),
                    "gives the container all rights of the node",
                );
            }
            if own["allowPrivilegeEscalation"] != false {
                found.say(
                    format!("{at}/securityContext/allowPrivilegeEscalation"),
                    "must stay false",
                );
            }
            if own["capabilities"]["add"]
                .as_array()
                .is_some_and(|add| !add.is_empty())
            {
                found.say(
                    format!("{at}/securityContext/capabilities/add"),
                    "gives capabilities",
                );
            }
            if !own["capabilities"]["drop"]
                .as_array()
                .is_some_and(|drop| drop.contains(&json!("ALL")))
            {
                found.say(
                    format!("{at}/securityContext/capabilities/drop"),
                    "must hold `ALL`",
                );
            }
            if container["name"] == MAIN
                && list == "containers"
                && own["readOnlyRootFilesystem"] != true
            {
                found.say(
                    format!("{at}/securityContext/readOnlyRootFilesystem"),
                    "must stay true",
                );
            }
            for (port, value) in container["ports"]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                if value["hostPort"].as_i64().is_some_and(|port| port != 0) {
                    found.say(
                        format!("{at}/ports/{port}/hostPort"),
                        "takes a port of the node",
                    );
                }
            }
        }
    }
}

/// What the security contexts of pods and containers have in common.
fn context(found: &mut Found, at: &str, context: &Value) {
    if context["runAsNonRoot"] == false {
        found.say(format!("{at}/runAsNonRoot"), "lets it run as root");
    }
    if context["runAsUser"] == 0 {
        found.say(format!("{at}/runAsUser"), "is root");
    }
    let seccomp = &context["seccompProfile"]["type"];
    if !seccomp.is_null() && seccomp != "RuntimeDefault" && seccomp != "Localhost" {
        found.say(
            format!("{at}/seccompProfile"),
            "switches the filter of system calls off",
        );
    }
    if context["appArmorProfile"]["type"] == "Unconfined" {
        found.say(format!("{at}/appArmorProfile"), "switches AppArmor off");
    }
    if context
        .get("procMount")
        .is_some_and(|mount| mount != "Default")
    {
        found.say(format!("{at}/procMount"), "shows more of `/proc`");
    }
    for key in ["seLinuxOptions", "windowsOptions"] {
        if context.get(key).is_some() {
            found.say(format!("{at}/{key}"), "changes the confinement of the pod");
        }
    }
}
