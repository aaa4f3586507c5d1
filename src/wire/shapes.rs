//! What documents look like that travel as plain JSON maps: manifests and the configurations of runners. For the
//! document of the API only; they are read and checked where they are used, in `manifest` and `api`.

#![expect(
    dead_code,
    reason = "types that describe; nothing is ever read into them"
)]

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::kubernetes::{KubernetesCluster, KubernetesConfiguration, KubernetesJob};
use super::objects::ObjectExtras;
use super::runners::{DockerConfiguration, ProcessConfiguration};
use super::words::{RunnerType, StateType};

/// What workloads need.
#[derive(ToSchema)]
pub(crate) struct DeploymentManifest {
    /// Workloads by name (lower case letters, digits and hyphens).
    workloads: BTreeMap<String, Workload>,
    /// Resources that workloads share, by alias.
    shared: Option<BTreeMap<String, ManifestResource>>,
}

/// One workload.
#[derive(ToSchema)]
pub(crate) struct Workload {
    /// What it needs, by alias.
    resources: Option<BTreeMap<String, ManifestResource>>,
    /// What it is told: texts, with placeholders.
    outputs: Option<BTreeMap<String, String>>,
    /// The older name of `outputs`; not both.
    #[schema(deprecated)]
    variables: Option<BTreeMap<String, String>>,
}

/// One resource that is asked for.
#[derive(ToSchema)]
pub(crate) struct ManifestResource {
    /// Resource type.
    #[serde(rename = "type")]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]$")]
    type_name: String,
    /// `default` where nothing is said.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]$")]
    class: Option<String>,
    /// Names the same resource for everybody who says it.
    #[schema(
        max_length = 63,
        pattern = r"^[a-z0-9]+(?:-+[a-z0-9]+)*(?:\.[a-z0-9]+(?:-+[a-z0-9]+)*)*$"
    )]
    id: Option<String>,
    /// Handed to the module.
    params: Option<Map<String, Value>>,
}

/// How and where runs are carried out.
#[derive(ToSchema)]
#[serde(tag = "type")]
pub(crate) enum RunnerConfiguration {
    /// Jobs in a cluster that is reached with credentials.
    #[serde(rename = "kubernetes")]
    Kubernetes(KubernetesConfiguration),
    /// Jobs in a cluster of Google.
    #[serde(rename = "kubernetes-gke")]
    Gke(GkeRunner),
    /// Jobs in a cluster of Amazon.
    #[serde(rename = "kubernetes-eks")]
    Eks(EksRunner),
    /// Jobs in a cluster whose agent comes and asks.
    #[serde(rename = "kubernetes-agent")]
    Agent(AgentRunner),
    /// Tasks of Amazon's container service.
    #[serde(rename = "serverless-ecs")]
    Ecs(EcsRunner),
    /// Containers on the host of the server.
    #[serde(rename = "docker")]
    Docker(DockerConfiguration),
    /// Processes on the host of the server.
    #[serde(rename = "process")]
    Process(ProcessConfiguration),
    /// Runs on hosts that no server reaches, carried by agents.
    #[serde(rename = "agent")]
    Far(FarRunner),
}

/// A runner whose agents come and ask.
#[derive(ToSchema)]
pub(crate) struct FarRunner {
    /// What carries runs on the host of the agent.
    launcher: FarLauncher,
}

/// What carries runs on the host of an agent.
#[derive(ToSchema)]
#[serde(tag = "type")]
pub(crate) enum FarLauncher {
    /// Containers.
    #[serde(rename = "docker")]
    Docker(DockerConfiguration),
    /// Processes.
    #[serde(rename = "process")]
    Process(ProcessConfiguration),
    /// Jobs in a cluster that the agent reaches.
    #[serde(rename = "kubernetes")]
    Kubernetes(KubernetesConfiguration),
}

/// A runner in a cluster of Google.
#[derive(ToSchema)]
pub(crate) struct GkeRunner {
    job: KubernetesJob,
    cluster: GkeCluster,
}

/// A cluster of Google.
#[derive(ToSchema)]
pub(crate) struct GkeCluster {
    name: String,
    project_id: String,
    location: String,
    proxy_url: Option<String>,
    /// Always said in answers.
    #[schema(default = false)]
    internal_ip: Option<bool>,
    auth: GcpAuth,
}

/// Who to be at Google.
#[derive(ToSchema)]
pub(crate) struct GcpAuth {
    gcp_audience: String,
    gcp_service_account: String,
}

/// A runner in a cluster of Amazon.
#[derive(ToSchema)]
pub(crate) struct EksRunner {
    job: KubernetesJob,
    cluster: EksCluster,
}

/// A cluster of Amazon.
#[derive(ToSchema)]
pub(crate) struct EksCluster {
    name: String,
    region: String,
    auth: AwsAuth,
}

/// Who to be at Amazon.
#[derive(ToSchema)]
pub(crate) struct AwsAuth {
    #[schema(pattern = r"^arn:aws:iam::[0-9]{12}:role/[a-zA-Z_0-9+=,.@\-_/]+$")]
    role_arn: String,
    #[schema(min_length = 3, max_length = 64, pattern = r"^[a-zA-Z_0-9+=,.@\-_/]+$")]
    session_name: Option<String>,
    #[schema(pattern = "^[a-z]{2}-[a-z]+-[0-9]$")]
    sts_region: Option<String>,
}

/// A runner whose agent comes and asks.
#[derive(ToSchema)]
pub(crate) struct AgentRunner {
    job: KubernetesJob,
    /// The agent's public key: ed25519, PEM with one line of base64.
    #[schema(min_length = 1, max_length = 200)]
    key: String,
}

/// A runner of Amazon's container service.
#[derive(ToSchema)]
pub(crate) struct EcsRunner {
    auth: AwsAuth,
    job: EcsJob,
}

/// How tasks are made.
#[derive(ToSchema)]
pub(crate) struct EcsJob {
    #[schema(min_length = 1, max_length = 24, pattern = "^[a-z]{2}-[a-z]+-[0-9]$")]
    region: String,
    #[schema(min_length = 1, max_length = 255)]
    cluster: String,
    #[schema(min_items = 1, max_items = 16)]
    subnets: Vec<String>,
    #[schema(max_items = 5)]
    security_groups: Option<Vec<String>>,
    is_public_ip_enabled: Option<bool>,
    #[schema(pattern = r"^arn:aws:iam::[0-9]{12}:role/[a-zA-Z_0-9+=,.@\-_/]+$")]
    execution_role_arn: String,
    #[schema(pattern = r"^arn:aws:iam::[0-9]{12}:role/[a-zA-Z_0-9+=,.@\-_/]+$")]
    task_role_arn: Option<String>,
    #[schema(max_length = 255)]
    image: Option<String>,
    /// Variables of the task; each value up to 1024 characters.
    environment: Option<BTreeMap<String, String>>,
    /// Variables of the task out of Amazon's secret stores, by ARN.
    secrets: Option<BTreeMap<String, String>>,
}

/// A change of a runner's configuration: the type that it has, and what replaces its top-level fields.
#[derive(ToSchema)]
pub(crate) struct RunnerConfigurationUpdate {
    #[serde(rename = "type")]
    kind: RunnerType,
    job: Option<AnyJob>,
    cluster: Option<AnyCluster>,
    auth: Option<AwsAuth>,
    key: Option<String>,
}

/// How jobs or tasks are made.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum AnyJob {
    /// In a cluster.
    Kubernetes(KubernetesJob),
    /// In Amazon's container service.
    Ecs(EcsJob),
}

/// A cluster of one of the kinds.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum AnyCluster {
    /// Any.
    Kubernetes(KubernetesCluster),
    /// Google's.
    Gke(GkeCluster),
    /// Amazon's.
    Eks(EksCluster),
}

/// Where state is kept.
#[derive(ToSchema)]
#[serde(tag = "type")]
pub(crate) enum StateStorageConfiguration {
    /// Secrets of a cluster.
    #[serde(rename = "kubernetes")]
    Kubernetes(KubernetesState),
    /// A bucket of Amazon's.
    #[serde(rename = "s3")]
    S3(BucketState),
    /// A bucket of Google's.
    #[serde(rename = "gcs")]
    Gcs(BucketState),
    /// A container of Microsoft's.
    #[serde(rename = "azurerm")]
    Azurerm(AzureState),
    /// With this server, which keeps versions.
    #[serde(rename = "windlass")]
    Windlass(WindlassState),
    /// A directory on the host of the runner.
    #[serde(rename = "local")]
    Local(LocalState),
    /// A server that speaks the engines' protocol.
    #[serde(rename = "http")]
    Http(HttpState),
    /// A database.
    #[serde(rename = "pg")]
    Pg(PgState),
}

/// State in secrets of a cluster.
#[derive(ToSchema)]
pub(crate) struct KubernetesState {
    namespace: String,
    /// Whether OpenTofu encrypts what lies there, under keys of this installation.
    encryption: Option<bool>,
}

/// State in a bucket.
#[derive(ToSchema)]
pub(crate) struct BucketState {
    #[schema(pattern = r"^[a-z0-9][a-z0-9\-]*[a-z0-9]$")]
    bucket: String,
    #[schema(pattern = r"^[a-zA-Z0-9._-]+(?:/[a-zA-Z0-9._-]+)*/?$")]
    path_prefix: Option<String>,
    /// Whether OpenTofu encrypts what lies there, under keys of this installation.
    encryption: Option<bool>,
}

/// State in a storage account.
#[derive(ToSchema)]
pub(crate) struct AzureState {
    storage_account_name: String,
    container_name: String,
    resource_group_name: Option<String>,
    #[schema(pattern = r"^[a-zA-Z0-9._-]+(?:/[a-zA-Z0-9._-]+)*/?$")]
    path_prefix: Option<String>,
    /// Whether OpenTofu encrypts what lies there, under keys of this installation.
    encryption: Option<bool>,
}

/// State on the host of the runner.
#[derive(ToSchema)]
pub(crate) struct LocalState {}

/// State with this server.
#[derive(ToSchema)]
pub(crate) struct WindlassState {
    /// Whether OpenTofu encrypts what lies there, under keys of this installation.
    encryption: Option<bool>,
}

/// State behind HTTP.
#[derive(ToSchema)]
pub(crate) struct HttpState {
    /// One document per environment is kept below this address.
    #[schema(pattern = "^https?://[^/]+")]
    address: String,
    /// Behind the address of a state: where its lock is.
    #[schema(pattern = "^/[a-zA-Z0-9/._-]*$", max_length = 255)]
    lock_path: Option<String>,
    /// Instead of `LOCK`.
    #[schema(pattern = "^[A-Z]+$", max_length = 20)]
    lock_method: Option<String>,
    /// Instead of `UNLOCK`.
    #[schema(pattern = "^[A-Z]+$", max_length = 20)]
    unlock_method: Option<String>,
    /// Whether OpenTofu encrypts what lies there, under keys of this installation.
    encryption: Option<bool>,
}

/// State in a database; its address is in the environment of the runner (`PG_CONN_STR`).
#[derive(ToSchema)]
pub(crate) struct PgState {
    /// Begins the name of the schema of each environment; `windlass` where nothing is said.
    #[schema(pattern = "^[a-z_][a-z0-9_]*$", max_length = 30)]
    schema_name: Option<String>,
    /// Whether OpenTofu encrypts what lies there, under keys of this installation.
    encryption: Option<bool>,
}

/// A request for a runner.
#[derive(ToSchema)]
pub(crate) struct RunnerCreate {
    #[schema(pattern = "^[a-z][a-z0-9_-]+$", max_length = 100)]
    id: String,
    #[schema(max_length = 200)]
    description: Option<String>,
    runner_configuration: RunnerConfiguration,
    /// `local` where nothing is said, for runners of types `docker` and `process`; else needed.
    state_storage_configuration: Option<StateStorageConfiguration>,
    windlass: Option<ObjectExtras>,
}

/// A change of a runner.
#[derive(ToSchema)]
pub(crate) struct RunnerUpdate {
    #[schema(max_length = 200)]
    description: Option<String>,
    runner_configuration: Option<RunnerConfigurationUpdate>,
    state_storage_configuration: Option<StateStorageConfiguration>,
    windlass: Option<ObjectExtras>,
}

/// A runner in a list.
#[derive(ToSchema)]
pub(crate) struct RunnerSummary {
    id: String,
    org_id: String,
    description: Option<String>,
    runner_configuration: RunnerTypeOnly,
    state_storage_configuration: StateTypeOnly,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    windlass: Option<ObjectExtras>,
}

/// What a list says of the configuration of a runner.
#[derive(ToSchema)]
pub(crate) struct RunnerTypeOnly {
    #[serde(rename = "type")]
    kind: RunnerType,
}

/// What a list says of the state storage of a runner.
#[derive(ToSchema)]
pub(crate) struct StateTypeOnly {
    #[serde(rename = "type")]
    kind: StateType,
}

/// A request for a module.
#[derive(ToSchema)]
pub(crate) struct ModuleCreate {
    #[schema(pattern = "^[a-z](?:-?[a-z0-9]+)+$", max_length = 100)]
    id: String,
    #[schema(max_length = 200)]
    description: Option<String>,
    #[schema(min_length = 2)]
    resource_type: String,
    /// `inline`, `/PATH`, `git::…`, `HOST/NAMESPACE/NAME/PROVIDER@VERSION` or `dir::sha256:…`.
    #[schema(min_length = 2, max_length = 200)]
    module_source: String,
    /// With `inline`, and only then.
    module_source_code: Option<String>,
    module_params: Option<BTreeMap<String, super::objects::ModuleParam>>,
    module_inputs: Option<Map<String, Value>>,
    provider_mapping: Option<BTreeMap<String, String>>,
    dependencies: Option<BTreeMap<String, super::objects::Dependency>>,
    coprovisioned: Option<Vec<super::objects::Coprovisioned>>,
    windlass: Option<super::objects::ModuleExtras>,
}
