//! Pod templates, descriptions of Jobs and the meaning of a pod's status.

use serde_json::{Value, json};

use super::describe::{self, Wanted};
use super::fate::{self, Start};
use super::template::{check, laid_over, main};
use crate::model::phase::FailureClass;
use crate::runner::RunKey;
use crate::runner::job::Deadlines;
use crate::wire::kubernetes::KubernetesConfiguration;

fn runner(template: &Value, allow_loosening: bool) -> KubernetesConfiguration {
    let mut runner = KubernetesConfiguration {
        allow_loosening,
        ..KubernetesConfiguration::default()
    };
    runner.job.service_account = "job".to_owned();
    runner.job.pod_template = template.as_object().cloned();
    runner
}

fn wrong_with(template: &Value, loosening: bool) -> Vec<String> {
    check(&runner(template, loosening))
        .into_iter()
        .map(|wrong| wrong.at)
        .collect()
}

/// A template whose container `main` says this.
fn in_main(key: &str, value: &Value) -> Value {
    json!({"spec": {"containers": [{"name": "main", key: value}]}})
}

/// The same for its security context.
fn context(key: &str, value: &Value) -> Value {
    in_main("securityContext", &json!({key: value}))
}

#[test]
fn what_teams_ask_for_is_laid_over_and_merged_by_name() {
    let template = json!({
        "metadata": {"labels": {"team": "a"}},
        "spec": {
            "tolerations": [{"key": "x", "operator": "Exists"}],
            "nodeSelector": {"pool": "runs"},
            "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [{"name": "first", "image": "first:1"}],
            "containers": [
                {"name": "main", "image": "mine:1", "env": [{"name": "A", "value": "1"}],
                 "envFrom": [{"secretRef": {"name": "cloud"}}],
                 "resources": {"limits": {"memory": "4Gi"}},
                 "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}]},
                {"name": "side", "image": "side:1"}
            ],
            "volumes": [{"name": "ca", "configMap": {"name": "ca"}}]
        }
    });
    assert_eq!(wrong_with(&template, false), Vec::<String>::new());
    let base = json!({"spec": {
        "containers": [{"name": "main", "image": "ours",
                        "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}},
                        "volumeMounts": [{"name": "spool", "mountPath": "/spool"}]}],
        "volumes": [{"name": "spool", "emptyDir": {}}]
    }});
    let (Value::Object(base), Value::Object(over)) = (base, template) else {
        panic!("objects");
    };
    let laid = laid_over(base, over);
    let main = main(&laid).expect("main");
    assert_eq!(main["image"], "mine:1");
    assert_eq!(
        main["resources"],
        json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "4Gi"}})
    );
    assert_eq!(main["volumeMounts"].as_array().map(Vec::len), Some(2));
    assert_eq!(laid["spec"]["volumes"].as_array().map(Vec::len), Some(2));
    let side = &laid["spec"]["containers"][1]["securityContext"];
    assert_eq!(
        side,
        &json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}})
    );
}

#[test]
fn what_the_launcher_relies_on_is_refused_whatever_is_allowed() {
    let label = |key: &str| json!({"metadata": {"labels": {key: "x"}}});
    let spec = |key: &str, value: Value| json!({"spec": {key: value}});
    let mount = |path: &str| in_main("volumeMounts", &json!([{"name": "x", "mountPath": path}]));
    for (template, at) in [
        (json!({"metadata": {"name": "x"}}), "/metadata/name"),
        (
            label("windlass.dev/run"),
            "/metadata/labels/windlass.dev~1run",
        ),
        (label("job-name"), "/metadata/labels/job-name"),
        (
            spec("serviceAccountName", json!("other")),
            "/spec/serviceAccountName",
        ),
        (
            spec("restartPolicy", json!("OnFailure")),
            "/spec/restartPolicy",
        ),
        (
            spec("activeDeadlineSeconds", json!(5)),
            "/spec/activeDeadlineSeconds",
        ),
        (
            spec("shareProcessNamespace", json!(true)),
            "/spec/shareProcessNamespace",
        ),
        (spec("colour", json!("red")), "/spec/colour"),
        (in_main("$patch", &json!("delete")), "/spec/containers"),
        (
            spec(
                "volumes",
                json!([{"name": "spool", "hostPath": {"path": "/"}}]),
            ),
            "/spec/volumes/0",
        ),
        (
            in_main("command", &json!(["sh"])),
            "/spec/containers/0/command",
        ),
        (
            spec(
                "containers",
                json!([{"name": "platform-orchestrator-runner", "args": ["x"]}]),
            ),
            "/spec/containers/0/args",
        ),
        (
            in_main("env", &json!([{"name": "WINDLASS_X", "value": "x"}])),
            "/spec/containers/0/env/0",
        ),
        (
            in_main("livenessProbe", &json!({"exec": {"command": ["false"]}})),
            "/spec/containers/0/livenessProbe",
        ),
        (mount("/spool/work"), "/spec/containers/0/volumeMounts/0"),
        (mount("/"), "/spec/containers/0/volumeMounts/0"),
    ] {
        let wrong = wrong_with(&template, true);
        assert!(
            wrong.iter().any(|wrong| wrong == at),
            "{template}: {wrong:?}"
        );
    }
}

#[test]
fn what_loosens_the_pod_is_refused_unless_the_runner_allows_it() {
    let spec = |key: &str, value: Value| json!({"spec": {key: value}});
    let pod = |value: Value| json!({"spec": {"securityContext": value}});
    let first = |value: Value| json!({"spec": {"initContainers": [{"name": "i", "image": "i", "securityContext": value}]}});
    let here = "/spec/containers/0/securityContext";
    for (template, at) in [
        (
            spec("hostNetwork", json!(true)),
            "/spec/hostNetwork".to_owned(),
        ),
        (spec("hostPID", json!(true)), "/spec/hostPID".to_owned()),
        (
            spec(
                "volumes",
                json!([{"name": "root", "hostPath": {"path": "/"}}]),
            ),
            "/spec/volumes/0/hostPath".to_owned(),
        ),
        (
            pod(Value::Null),
            "/spec/securityContext/runAsNonRoot".to_owned(),
        ),
        (
            pod(json!({"runAsNonRoot": false})),
            "/spec/securityContext/runAsNonRoot".to_owned(),
        ),
        (
            pod(json!({"runAsUser": 0})),
            "/spec/securityContext/runAsUser".to_owned(),
        ),
        (
            pod(json!({"$patch": "replace", "runAsNonRoot": true})),
            "/spec/securityContext/seccompProfile".to_owned(),
        ),
        (
            pod(json!({"seccompProfile": {"type": "Unconfined"}})),
            "/spec/securityContext/seccompProfile".to_owned(),
        ),
        (
            context("privileged", &json!(true)),
            format!("{here}/privileged"),
        ),
        (
            context("allowPrivilegeEscalation", &json!(true)),
            format!("{here}/allowPrivilegeEscalation"),
        ),
        (
            context("capabilities", &json!({"add": ["SYS_ADMIN"]})),
            format!("{here}/capabilities/add"),
        ),
        (
            context("capabilities", &json!({"drop": []})),
            format!("{here}/capabilities/drop"),
        ),
        (
            context("readOnlyRootFilesystem", &json!(false)),
            format!("{here}/readOnlyRootFilesystem"),
        ),
        (
            context("procMount", &json!("Unmasked")),
            format!("{here}/procMount"),
        ),
        (
            first(json!({"privileged": true})),
            "/spec/initContainers/0/securityContext/privileged".to_owned(),
        ),
        (
            first(json!({"runAsUser": 0})),
            "/spec/initContainers/0/securityContext/runAsUser".to_owned(),
        ),
    ] {
        let wrong = wrong_with(&template, false);
        assert!(wrong.contains(&at), "{template}: {wrong:?}");
        assert_eq!(
            wrong_with(&template, true),
            Vec::<String>::new(),
            "{template}"
        );
    }
}

fn described(template: &Value, image: Option<&str>) -> Result<Value, String> {
    let key = RunKey {
        run: "01890000-0000-7000-8000-000000000001".to_owned(),
        attempt: 2,
    };
    let wanted = Wanted {
        key: &key,
        instance: "instance",
        env_uuid: "env",
        deployment: "deployment",
        runner: &runner(template, false),
        deadlines: &Deadlines::default(),
        image,
    };
    describe::job(&wanted).map_err(|error| error.message)
}

#[test]
fn a_job_is_hardened_named_after_its_attempt_and_outlives_every_deadline() {
    let job = described(&json!({}), Some("registry/windlass-runner:1")).expect("described");
    assert_eq!(
        job["metadata"]["name"],
        "windlass-01890000-0000-7000-8000-000000000001-2"
    );
    assert_eq!(job["spec"]["backoffLimit"], 0);
    assert_eq!(job["spec"]["podReplacementPolicy"], "Failed");
    let deadline = job["spec"]["activeDeadlineSeconds"]
        .as_u64()
        .expect("seconds");
    assert!(deadline > 600 + 1800 + 7200 + 600 + 1230, "{deadline}");
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 1230);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    let own = &pod["containers"][0]["securityContext"];
    assert_eq!(
        own,
        &json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
    );
    for list in ["labels", "annotations"] {
        assert!(
            job["spec"]["template"]["metadata"][list].is_object(),
            "{list}"
        );
    }
}

#[test]
fn a_job_without_an_image_or_with_too_little_grace_is_refused() {
    let why = described(&json!({}), None).expect_err("no image");
    assert!(why.contains("runner_image"), "{why}");
    let short = json!({"spec": {"terminationGracePeriodSeconds": 30}});
    let why = described(&short, Some("x")).expect_err("too short");
    assert!(why.contains("at least 1230"), "{why}");
    let relabelled = json!({"metadata": {"labels": {"windlass.dev/run": "other"}}});
    let why = described(&relabelled, Some("x")).expect_err("reserved");
    assert!(why.contains("reserved name"), "{why}");
}

fn start_of(status: Value) -> Start {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "image": "mine:1"}]}, "status": status});
    let pod = serde_json::from_value(pod).expect("a pod");
    fate::start(&Default::default(), Some(&pod), &[], "ns")
}

fn waiting(why: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{"name": "main", "ready": false, "restartCount": 0, "image": "", "imageID": "",
        "state": {"waiting": {"reason": why, "message": "words of the node"}}}]})
}

#[test]
fn what_keeps_a_pod_from_running_is_named() {
    for (status, class, words) in [
        (
            waiting("ErrImagePull"),
            FailureClass::ImageMissing,
            "cannot pull the image `mine:1`",
        ),
        (
            waiting("ImagePullBackOff"),
            FailureClass::ImageMissing,
            "words of the node",
        ),
        (
            waiting("CreateContainerConfigError"),
            FailureClass::StartFailed,
            "Secret or ConfigMap",
        ),
        (
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}),
            FailureClass::StartFailed,
            "no node takes the pod (Unschedulable): 0/3 nodes",
        ),
    ] {
        let Start::Waiting(Some(reason)) = start_of(status) else {
            panic!("{words}");
        };
        assert_eq!(reason.class, class, "{words}");
        assert!(reason.message.contains(words), "{}", reason.message);
    }
    assert!(matches!(
        start_of(waiting("InvalidImageName")),
        Start::Hopeless(_)
    ));
    assert_eq!(start_of(waiting("ContainerCreating")), Start::Waiting(None));
}

#[test]
fn how_a_pod_ended_is_told_apart() {
    let end = |status: Value| {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "main", "resources": {"limits": {"memory": "64Mi"}}}]}, "status": status});
        fate::end(&serde_json::from_value(pod).expect("a pod"))
    };
    let ended = |reason: &str, code: i32| {
        json!({"phase": "Failed", "containerStatuses": [{"name": "main", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"terminated": {"reason": reason, "exitCode": code}}}]})
    };
    assert_eq!(end(json!({"phase": "Running"})), None);
    let plain = end(ended("Error", 3)).expect("over");
    assert_eq!((plain.code, plain.reason), (Some(3), None));
    let memory = end(ended("OOMKilled", 137))
        .expect("over")
        .reason
        .expect("a reason");
    assert_eq!(memory.class, FailureClass::OutOfMemory);
    assert!(
        memory.message.contains("limit of 64Mi"),
        "{}",
        memory.message
    );
    let mut evicted = ended("Error", 137);
    evicted["reason"] = json!("Evicted");
    evicted["message"] = json!("The node was low on resource: memory.");
    let evicted = end(evicted).expect("over").reason.expect("a reason");
    assert!(
        evicted
            .message
            .contains("evicted the pod: The node was low"),
        "{}",
        evicted.message
    );
    let mut lost = ended("Error", 137);
    lost["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "m"}]);
    assert_eq!(
        end(lost).expect("over").reason.expect("a reason").class,
        FailureClass::Lost
    );
}
