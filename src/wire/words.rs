//! The words that a field may hold, for the document of the API. They are texts in the types, because what is stored
//! or sent by others may be newer than this binary.

use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema, openapi::RefOr};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident: $($word:literal)+;)+) => {$(
        $(#[$doc])*
        pub(crate) enum $name {}

        impl $name {
            /// All of them.
            pub(crate) const ALL: &[&str] = &[$($word),+];
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .enum_values(Some(Self::ALL.iter().copied()))
                    .into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

words! {
    /// Life of an organisation.
    OrganizationStatus: "active" "deleting" "delete_failed" "deleted";
    /// Life of a project.
    ProjectStatus: "active" "deleting";
    /// Life of an environment.
    EnvironmentStatus: "active" "deleting" "delete_failed";
    /// What a request for a deployment may ask for.
    CreateMode: "deploy" "plan_only" "rollback";
    /// What a deployment is; the last three are ours.
    DeploymentMode: "deploy" "rollback" "destroy" "state_import" "state_dismiss" "state_move";
    /// What deployments can be filtered by.
    ModeFilter: "plan_only" "deploy" "rollback" "rollback_plan" "destroy";
    /// Where a deployment is, in the words of v1.
    DeploymentStatus: "executing" "succeeded" "failed";
    /// How much a runner logs.
    LogLevel: "debug" "info" "warn" "error";
    /// How two graphs differ in a node.
    ChangeKind: "added" "removed" "module_changed" "params_changed";
    /// The type of published metadata.
    MetadataType: "string";
    /// Types of runners: those of v1, then ours.
    RunnerType: "kubernetes" "kubernetes-gke" "kubernetes-eks" "kubernetes-agent" "serverless-ecs" "docker" "process" "agent";
    /// Where state is kept: the types of v1, then ours.
    StateType: "kubernetes" "s3" "gcs" "azurerm" "windlass" "local" "http" "pg";
    /// Engines.
    Engine: "opentofu" "terraform";
}
