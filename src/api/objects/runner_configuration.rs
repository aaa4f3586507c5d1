//! The configurations of runners: which keys each type has, and what they must be.
//!
//! Here, unlike elsewhere, an unknown key is an error, as in v1: a misspelt key of a runner is found when a
//! production deployment fails. Long because there are eight types; each is one short function.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::api::body::{Fields, Problems, Text, unknown_word};
use crate::api::error::Problem;
use crate::model::diag::pointer;
use crate::runner::kubernetes as pod_templates;
use crate::wire::kubernetes::KubernetesConfiguration;
use crate::wire::runners::{Deadlines, DockerConfiguration, ProcessConfiguration};
use crate::wire::words::{RunnerType, StateType};

/// Runner types of v1, then ours.
const RUNNERS: &[&str] = RunnerType::ALL;

/// State types of v1, then ours.
const STATES: &[&str] = StateType::ALL;

/// Names in a runner's environment that the orchestrator sets itself.
const RESERVED: [&str; 6] = [
    "ORG_ID",
    "DEPLOYMENT_ID",
    "MODE",
    "TOKEN",
    "ENCRYPTING_KEY",
    "PLATFORM_ORCHESTRATOR_BASE_URL",
];

/// May only come from a secret of the cluster.
const GIT_KEYS: &str = "RUNNER_GIT_SSH_KEYS";

const ANY: Text = Text::up_to(usize::MAX);
const SOME: Text = Text {
    min: 1,
    ..Text::up_to(255)
};

/// The type that a configuration says.
pub(crate) fn type_of(configuration: &Map<String, Value>) -> Option<&str> {
    configuration.get("type").and_then(Value::as_str)
}

/// Whether a runner type is one of ours.
pub(crate) fn is_ours(kind: &str) -> bool {
    matches!(kind, "docker" | "process" | "agent")
}

/// Checks a runner configuration and returns it as it is stored.
pub(crate) fn runner(found: &mut Problems, map: Map<String, Value>) -> Map<String, Value> {
    let base = "/runner_configuration";
    let mut stored = without_nulls(map);
    let mut fields = Fields::new(base, stored.clone());
    let Some(kind) = known_type(found, &mut fields, RUNNERS) else {
        return stored;
    };
    match kind.as_str() {
        "kubernetes" => {
            kubernetes(found, &mut fields, &kind);
            ours_of_kubernetes(found, base, &mut fields, &stored);
        }
        "kubernetes-gke" => gke(found, &mut fields, &kind),
        "kubernetes-eks" => eks(found, &mut fields, &kind),
        "kubernetes-agent" => agent(found, &mut fields, &kind),
        "serverless-ecs" => ecs(found, &mut fields, &kind),
        "docker" => {
            docker(found, base, stored.clone());
            return stored;
        }
        "process" => {
            process(found, base, stored.clone());
            return stored;
        }
        _ => far(found, &mut fields),
    }
    only(found, &fields, &kind);
    if kind == "kubernetes-gke"
        && let Some(cluster) = stored.get_mut("cluster").and_then(Value::as_object_mut)
    {
        cluster.entry("internal_ip").or_insert(json!(false));
    }
    stored
}

/// What carries the runs on the hosts of a runner's agents.
const LAUNCHERS: &[&str] = &["docker", "process", "kubernetes"];

/// A runner of agents: how runs are carried out where they are.
fn far(found: &mut Problems, fields: &mut Fields) {
    let base = fields.at("launcher");
    let is_there = fields.has("launcher");
    let launcher = fields.required_map(found, "launcher");
    if !is_there {
        return;
    }
    let mut inside = Fields::new(&base, launcher.clone());
    match known_type(found, &mut inside, LAUNCHERS).as_deref() {
        Some("docker") => docker(found, &base, launcher),
        Some("kubernetes") => {
            kubernetes(found, &mut inside, "kubernetes");
            ours_of_kubernetes(found, &base, &mut inside, &launcher);
            only(found, &inside, "kubernetes");
        }
        Some(_) => process(found, &base, launcher),
        None => {}
    }
}

/// Checks a state storage configuration and returns it as it is stored.
pub(crate) fn state(found: &mut Problems, map: Map<String, Value>) -> Map<String, Value> {
    let stored = without_nulls(map);
    let mut fields = Fields::new("/state_storage_configuration", stored.clone());
    let Some(kind) = known_type(found, &mut fields, STATES) else {
        return stored;
    };
    let prefix = |text| Text::form(is_prefix, usize::MAX, text);
    match kind.as_str() {
        "kubernetes" => {
            fields.required_text(found, "namespace", ANY);
        }
        "s3" | "gcs" => {
            let (bucket, path) = if kind == "s3" {
                (
                    "state storage bucket is not a valid S3 Bucket name.",
                    "state storage path_prefix is not a valid S3 prefix path.",
                )
            } else {
                (
                    "state storage bucket is not a valid GCS Bucket name.",
                    "state storage path_prefix is not a valid GCS prefix path.",
                )
            };
            fields.required_text(found, "bucket", Text::form(is_bucket, usize::MAX, bucket));
            fields.text(found, "path_prefix", prefix(path));
        }
        "azurerm" => {
            fields.required_text(found, "storage_account_name", ANY);
            fields.required_text(found, "container_name", ANY);
            fields.text(found, "resource_group_name", ANY);
            let text = "state storage path_prefix is not a valid AzureRM path.";
            fields.text(found, "path_prefix", prefix(text));
        }
        "http" => {
            let text = "state storage address is not an address of HTTP.";
            fields.required_text(found, "address", Text::form(is_address, 2048, text));
            let text = "state storage lock_path is not a path such as /lock.";
            fields.text(found, "lock_path", Text::form(is_path, 255, text));
            let text =
                "state storage lock_method and unlock_method are names of methods such as POST.";
            for key in ["lock_method", "unlock_method"] {
                fields.text(found, key, Text::form(is_method, 20, text));
            }
        }
        "pg" => {
            let text = "state storage schema_name is not a name of a schema.";
            fields.text(found, "schema_name", Text::form(is_schema, SCHEMA, text));
        }
        _ => {}
    }
    if fields.flag(found, "encryption") == Some(true) && kind == "local" {
        found.invalid(
            "/state_storage_configuration/encryption",
            "a state of type local is in clear on the disk of its host, where this program looks into it; encryption is for \
             states that lie elsewhere"
                .to_owned(),
        );
    }
    fields.only(found, |key| {
        format!(
            "the supplied state storage configuration does not match the specified type {kind}: json: unknown field \"{key}\""
        )
    });
    stored
}

/// Checks that a runner can keep its state there.
pub(crate) fn fit_together(
    found: &mut Problems,
    runner: &Map<String, Value>,
    state: &Map<String, Value>,
) {
    let launcher = runner
        .get("launcher")
        .and_then(Value::as_object)
        .filter(|_| type_of(runner) == Some("agent"));
    let (Some(runner), Some(state)) = (type_of(launcher.unwrap_or(runner)), type_of(state)) else {
        return;
    };
    let fitting: &[&str] = match runner {
        "serverless-ecs" => &["s3"],
        "process" => &["local", "windlass", "s3", "gcs", "azurerm", "http", "pg"],
        "docker" => &["local", "windlass", "s3", "gcs", "azurerm", "http", "pg"],
        _ => &["kubernetes", "s3", "gcs", "azurerm", "windlass"],
    };
    if RUNNERS.contains(&runner) && STATES.contains(&state) && !fitting.contains(&state) {
        found.invalid(
            "/state_storage_configuration/type",
            format!(
                "state storage type '{state}' is not compatible with runner type '{runner}', it must be one of [{}]",
                fitting.join(" ")
            ),
        );
    }
}

/// `http://HOST…` or `https://HOST…`. Credentials have no place in it: they come from the runner's environment.
fn is_address(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty() && !rest.contains(['@', '?', '#']) && !text.contains(char::is_whitespace)
    })
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'))
}

fn is_method(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase())
}

/// The UUID of the environment follows, in a name of 63 bytes at most.
const SCHEMA: usize = 30;

/// A name that a database takes without quotes.
fn is_schema(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn known_type(found: &mut Problems, fields: &mut Fields, known: &[&str]) -> Option<String> {
    let kind = fields.required_text(found, "type", ANY);
    if known.contains(&kind.as_str()) {
        return Some(kind);
    }
    if !kind.is_empty() {
        let at = fields.at("type");
        found.push(
            Problem::invalid(
                &at,
                format!("\"{at}\": value is not one of the allowed values"),
            )
            .explained(unknown_word(&kind, known)),
        );
    }
    None
}

/// Notes unknown keys in v1's words.
fn only(found: &mut Problems, fields: &Fields, kind: &str) {
    fields.only(found, |key| {
        format!(
            "the supplied runner configuration does not match the specified runner type {kind}: json: unknown field \"{key}\""
        )
    });
}

fn kubernetes(found: &mut Problems, fields: &mut Fields, kind: &str) {
    job(found, fields, kind);
    let mut cluster = fields.required_inside(found, "cluster");
    let mut data = cluster.required_inside(found, "cluster_data");
    data.required_text(found, "certificate_authority_data", ANY);
    data.required_text(found, "server", ANY);
    data.text(found, "proxy_url", ANY);
    only(found, &data, kind);
    let mut auth = cluster.required_inside(found, "auth");
    for key in [
        "client_certificate_data",
        "client_key_data",
        "service_account_token",
    ] {
        auth.text(found, key, ANY);
    }
    only(found, &auth, kind);
    only(found, &cluster, kind);
}

/// Our own keys, and the pod template as a whole: it is refused when it is stored rather than when a run begins.
fn ours_of_kubernetes(
    found: &mut Problems,
    base: &str,
    fields: &mut Fields,
    stored: &Map<String, Value>,
) {
    for key in [
        "engine",
        "environment",
        "shortcuts",
        "deadlines",
        "start_secs",
        "allow_loosening",
    ] {
        fields.value(key);
    }
    if !found.is_empty() {
        return;
    }
    let mut map = stored.clone();
    map.remove("type");
    match serde_json::from_value::<KubernetesConfiguration>(Value::Object(map)) {
        Err(error) => found.invalid(base, mismatch("kubernetes", &error.to_string())),
        Ok(kubernetes) => {
            engine(found, base, kubernetes.engine.as_deref());
            environment(found, base, kubernetes.environment.keys());
            deadlines(found, base, kubernetes.deadlines);
            for wrong in pod_templates::check(&kubernetes) {
                let at = format!("{base}/job/pod_template{}", wrong.at);
                found.invalid(&at, format!("pod_template: `{}` {}", wrong.at, wrong.why));
            }
        }
    }
}

fn gke(found: &mut Problems, fields: &mut Fields, kind: &str) {
    job(found, fields, kind);
    let mut cluster = fields.required_inside(found, "cluster");
    for key in ["name", "project_id", "location"] {
        cluster.required_text(found, key, ANY);
    }
    cluster.text(found, "proxy_url", ANY);
    cluster.flag(found, "internal_ip");
    let mut auth = cluster.required_inside(found, "auth");
    auth.required_text(found, "gcp_audience", ANY);
    auth.required_text(found, "gcp_service_account", ANY);
    only(found, &auth, kind);
    only(found, &cluster, kind);
}

fn eks(found: &mut Problems, fields: &mut Fields, kind: &str) {
    job(found, fields, kind);
    let mut cluster = fields.required_inside(found, "cluster");
    cluster.required_text(found, "name", ANY);
    cluster.required_text(found, "region", ANY);
    aws_auth(found, &mut cluster, kind);
    only(found, &cluster, kind);
}

fn agent(found: &mut Problems, fields: &mut Fields, kind: &str) {
    job(found, fields, kind);
    let form = Text {
        min: 1,
        max: 200,
        fits: is_pem,
        text: "key: does not look like an ed25519 public key in PEM format",
    };
    let key = fields.required_text(found, "key", form);
    if form.complaint("", &key).is_none() && !is_ed25519(&key) {
        found.invalid(fields.at("key"), "invalid public key");
    }
}

fn ecs(found: &mut Problems, fields: &mut Fields, kind: &str) {
    aws_auth(found, fields, kind);
    let mut job = fields.required_inside(found, "job");
    let region = Text {
        min: 1,
        max: 24,
        fits: is_region,
        text: "job region is not a valid AWS Region.",
    };
    let role = |text| Text::form(is_role, usize::MAX, text);
    job.required_text(found, "region", region);
    job.required_text(found, "cluster", SOME);
    job.required_text(
        found,
        "execution_role_arn",
        role("job execution_role_arn is not a valid IAM Role ARN"),
    );
    job.text(
        found,
        "task_role_arn",
        role("job task_role_arn is not a valid IAM Role ARN"),
    );
    let image = Text::form(is_image, 255, "image must be a valid container image");
    job.text(found, "image", image);
    job.flag(found, "is_public_ip_enabled");
    if !job.has("subnets") {
        let at = job.at("subnets");
        found.invalid(&at, format!("\"{at}\": property \"subnets\" is missing"));
    }
    texts(found, &mut job, "subnets", (1, 16), 24);
    texts(found, &mut job, "security_groups", (0, 5), 255);
    let at = job.at("environment");
    for (name, value) in job.map(found, "environment").into_iter().flatten() {
        let at = pointer(&at, &name);
        reserved(found, &at, &name);
        match value {
            Value::String(text) => {
                if let Some(complaint) = Text::up_to(1024).complaint(&at, &text) {
                    found.invalid(&at, complaint);
                }
            }
            _ => found.invalid(&at, format!("\"{at}\": value must be a string")),
        }
    }
    let at = job.at("secrets");
    for (name, value) in job.map(found, "secrets").into_iter().flatten() {
        let at = pointer(&at, &name);
        reserved(found, &at, &name);
        if !value.as_str().is_some_and(is_secret) {
            found.invalid(
                &at,
                "job secrets value is not a valid AWS Secret or Parameter ARN",
            );
        }
    }
    only(found, &job, kind);
}

fn docker(found: &mut Problems, base: &str, mut map: Map<String, Value>) {
    map.remove("type");
    let wrong = |error: serde_json::Error| mismatch("docker", &error.to_string());
    match serde_json::from_value::<DockerConfiguration>(Value::Object(map)) {
        Err(error) => found.invalid(base, wrong(error)),
        Ok(docker) => {
            engine(found, base, docker.engine.as_deref());
            environment(found, base, docker.environment.keys());
            deadlines(found, base, docker.deadlines);
            if docker
                .image
                .as_deref()
                .is_some_and(|image| !is_image(image))
            {
                found.invalid(
                    format!("{base}/image"),
                    "image must be a valid container image",
                );
            }
            for (key, value, least) in [
                ("memory_bytes", docker.memory_bytes, 64 << 20),
                ("pids", docker.pids, 16),
            ] {
                if value.is_some_and(|value| value < least) {
                    let at = format!("{base}/{key}");
                    found.invalid(&at, format!("\"{at}\": must be at least {least}"));
                }
            }
            for (host, inside) in &docker.mounts {
                let clean = |path: &str| {
                    path.starts_with('/')
                        && path.len() > 1
                        && !path.split('/').any(|part| part == "..")
                };
                if !clean(host) || !clean(inside) {
                    let at = pointer(&format!("{base}/mounts"), host);
                    found.invalid(
                        &at,
                        format!("\"{at}\": both paths of a mount must be absolute, without `..`"),
                    );
                }
            }
        }
    }
}

fn process(found: &mut Problems, base: &str, mut map: Map<String, Value>) {
    map.remove("type");
    match serde_json::from_value::<ProcessConfiguration>(Value::Object(map)) {
        Err(error) => found.invalid(base, mismatch("process", &error.to_string())),
        Ok(process) => {
            engine(found, base, process.engine.as_deref());
            environment(found, base, process.environment.keys());
            deadlines(found, base, process.deadlines);
        }
    }
}

fn deadlines(found: &mut Problems, base: &str, deadlines: Option<Deadlines>) {
    for name in deadlines.iter().flat_map(Deadlines::wrong) {
        let at = format!("{base}/deadlines/{name}");
        found.invalid(
            &at,
            format!("\"{at}\": must be from 1 to {} seconds", Deadlines::MOST),
        );
    }
}

fn mismatch(kind: &str, error: &str) -> String {
    format!(
        "the supplied runner configuration does not match the specified runner type {kind}: {error}"
    )
}

fn engine(found: &mut Problems, base: &str, engine: Option<&str>) {
    let known = ["opentofu", "terraform"];
    if let Some(word) = engine.filter(|word| !known.contains(word)) {
        let at = format!("{base}/engine");
        found.push(
            Problem::invalid(
                &at,
                format!("\"{at}\": value is not one of the allowed values"),
            )
            .explained(unknown_word(word, &known)),
        );
    }
}

fn environment<'a>(found: &mut Problems, base: &str, names: impl Iterator<Item = &'a String>) {
    for name in names {
        let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            let at = pointer(&format!("{base}/environment"), name);
            found.invalid(
                &at,
                format!("\"{at}\": '{name}' is no name of an environment variable"),
            );
        }
    }
}

fn aws_auth(found: &mut Problems, fields: &mut Fields, kind: &str) {
    let mut auth = fields.required_inside(found, "auth");
    let role = Text::form(is_role, usize::MAX, "role_arn is not a valid IAM Role ARN");
    auth.required_text(found, "role_arn", role);
    let session = Text {
        min: 3,
        max: 64,
        fits: |text| text.chars().all(is_arn_name),
        text: "session_name must contain only valid characters (letters, digits, and +=,.@-_/)",
    };
    auth.text(found, "session_name", session);
    let region = Text::form(
        is_region,
        usize::MAX,
        "sts_region is not a valid AWS STS region",
    );
    auth.text(found, "sts_region", region);
    only(found, &auth, kind);
}

fn job(found: &mut Problems, fields: &mut Fields, kind: &str) {
    let mut job = fields.required_inside(found, "job");
    job.required_text(found, "namespace", ANY);
    job.required_text(found, "service_account", ANY);
    if let Some(template) = job.inside(found, "pod_template") {
        pod_template(found, template);
    }
    only(found, &job, kind);
}

/// What a pod template must leave to the orchestrator.
fn pod_template(found: &mut Problems, mut template: Fields) {
    if let Some(metadata) = template.inside(found, "metadata")
        && metadata.has("namespace")
    {
        found.invalid(
            metadata.at("namespace"),
            "pod_template: the namespace is set by job.namespace",
        );
    }
    let Some(mut spec) = template.inside(found, "spec") else {
        return;
    };
    if spec.has("serviceAccountName") {
        found.invalid(
            spec.at("serviceAccountName"),
            "pod_template: the service account is set by job.service_account",
        );
    }
    for list in ["initContainers", "containers"] {
        let at = spec.at(list);
        for (position, container) in spec.list(found, list).into_iter().flatten().enumerate() {
            let at = format!("{at}/{position}");
            let name = container
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if name.is_empty() {
                found.invalid(&at, "pod_template: every container needs a name");
            }
            if !matches!(name, "main" | "platform-orchestrator-runner") {
                continue;
            }
            let variables = container.get("env").and_then(Value::as_array);
            for (number, variable) in variables.into_iter().flatten().enumerate() {
                let at = format!("{at}/env/{number}");
                let name = variable
                    .get("name")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                reserved(found, &at, name);
                if name == GIT_KEYS && variable.get("value").is_some() {
                    found.invalid(&at, format!("{GIT_KEYS} may only be set with valueFrom"));
                }
            }
        }
    }
}

fn reserved(found: &mut Problems, at: &str, name: &str) {
    if RESERVED.contains(&name) {
        found.invalid(at, format!("environment variable {name} is reserved"));
    }
}

/// A list of short texts.
fn texts(
    found: &mut Problems,
    fields: &mut Fields,
    key: &'static str,
    (fewest, most): (usize, usize),
    longest: usize,
) {
    let at = fields.at(key);
    let Some(list) = fields.list(found, key) else {
        return;
    };
    if list.len() < fewest {
        found.invalid(
            &at,
            format!("\"{at}\": minimum number of items is {fewest}"),
        );
    }
    if list.len() > most {
        found.invalid(&at, format!("\"{at}\": maximum number of items is {most}"));
    }
    let rule = Text {
        min: 1,
        ..Text::up_to(longest)
    };
    for (position, value) in list.iter().enumerate() {
        let at = format!("{at}/{position}");
        match value.as_str() {
            Some(text) => {
                if let Some(complaint) = rule.complaint(&at, text) {
                    found.invalid(&at, complaint);
                }
            }
            None => found.invalid(&at, format!("\"{at}\": value must be a string")),
        }
    }
}

/// Drops `null` wherever it stands for an absent optional field; a pod template is kept as it is.
fn without_nulls(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| match value {
            Value::Object(inside) if key != "pod_template" => {
                (key, Value::Object(without_nulls(inside)))
            }
            other => (key, other),
        })
        .collect()
}

fn is_arn_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+=,.@-_/".contains(c)
}

fn is_role(text: &str) -> bool {
    text.strip_prefix("arn:aws:iam::")
        .and_then(|rest| rest.split_once(":role/"))
        .is_some_and(|(account, name)| {
            account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && !name.is_empty()
                && name.chars().all(is_arn_name)
        })
}

fn is_region(text: &str) -> bool {
    let lower = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    match text.split('-').collect::<Vec<_>>()[..] {
        [partition, area, number] => {
            partition.len() == 2
                && lower(partition)
                && lower(area)
                && number.len() == 1
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

fn is_secret(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, aws, service, region, account, rest] = parts[..] else {
        return false;
    };
    if (arn, aws) != ("arn", "aws") || region.is_empty() || account.is_empty() {
        return false;
    }
    match service {
        "secretsmanager" => rest.strip_prefix("secret:").is_some_and(|name| {
            !name.contains(':')
                && name.rsplit_once('-').is_some_and(|(name, random)| {
                    !name.is_empty()
                        && random.len() == 6
                        && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
                })
        }),
        "ssm" => rest
            .strip_prefix("parameter/")
            .is_some_and(|name| !name.is_empty()),
        _ => false,
    }
}

fn is_image(text: &str) -> bool {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let digest_fits = digest.is_none_or(|digest| {
        digest.split_once(':').is_some_and(|(kind, hex)| {
            !kind.is_empty()
                && kind
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                && !hex.is_empty()
                && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    });
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._:/-".contains(c))
        && digest_fits
}

fn is_bucket(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() >= 2
        && text.starts_with(plain)
        && text.ends_with(plain)
        && text.chars().all(|c| plain(c) || c == '-')
}

fn is_prefix(text: &str) -> bool {
    let text = text.strip_suffix('/').unwrap_or(text);
    text.split('/').all(|part| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    })
}

/// One line between the markers, with or without a last newline.
fn is_pem(text: &str) -> bool {
    pem_body(text).is_some_and(|body| !body.is_empty() && !body.contains('\n'))
}

fn pem_body(text: &str) -> Option<&str> {
    text.strip_suffix('\n')
        .unwrap_or(text)
        .strip_prefix("-----BEGIN PUBLIC KEY-----\n")?
        .strip_suffix("\n-----END PUBLIC KEY-----")
}

/// Whether a PEM text holds the 32 bytes of an ed25519 key, in the one form that DER has for it.
fn is_ed25519(text: &str) -> bool {
    const HEAD: [u8; 12] = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    pem_body(text)
        .and_then(|body| STANDARD.decode(body).ok())
        .is_some_and(|der| der.len() == 44 && der.starts_with(&HEAD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_accept_and_refuse_what_their_patterns_do() {
        assert!(is_role("arn:aws:iam::123456789012:role/a/b"));
        assert!(!is_role("arn:aws:iam::12345678901:role/a"));
        assert!(is_region("eu-central-1"));
        assert!(!is_region("eu-central-12"));
        assert!(is_secret("arn:aws:secretsmanager:r:a:secret:name-AbC123"));
        assert!(is_secret("arn:aws:ssm:r:a:parameter/x"));
        assert!(!is_secret("arn:aws:secretsmanager:r:a:secret:name"));
        assert!(is_prefix("a/b/") && is_prefix("a") && !is_prefix("/a") && !is_prefix("a//b"));
        assert!(is_bucket("a-b") && !is_bucket("-b") && !is_bucket("a"));
        assert!(is_image("registry.example:5000/a/b@sha256:ab12") && !is_image("a b"));
    }

    #[test]
    fn only_an_ed25519_key_is_one() {
        let pem =
            |body: &str| format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        let good = pem("MCowBQYDK2VwAyEABwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert!(is_pem(&good) && is_ed25519(&good));
        assert!(is_pem(&pem("fake")) && !is_ed25519(&pem("fake")));
        assert!(!is_pem(&pem("a\nb")));
    }
}
