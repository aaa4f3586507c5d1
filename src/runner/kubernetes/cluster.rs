//! A cluster: its client, made once from a runner's fields, and what its refusals mean to people.
//!
//! Every request has a time limit, because an API server that is gone may leave its connections open. No credential is in
//! any error: what the client says of the transport is said, what it says of the request is not.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Error};
use serde_json::json;

use crate::model::phase::FailureClass;
use crate::runner::LaunchError;
use crate::wire::kubernetes::KubernetesConfiguration;

/// How long one request may take.
pub(super) const REQUEST: Duration = Duration::from_secs(20);

/// One namespace of a cluster.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) server: String,
    pub(super) namespace: String,
    pub(super) jobs: Api<Job>,
    pub(super) pods: Api<Pod>,
    pub(super) events: Api<Event>,
}

/// Connects to nothing yet.
pub(super) async fn open(runner: &KubernetesConfiguration) -> Result<Cluster, LaunchError> {
    let data = &runner.cluster.cluster_data;
    let auth = &runner.cluster.auth;
    let unusable = |what: &str| LaunchError {
        class: FailureClass::ConfigInvalid,
        message: format!("the runner's `cluster` cannot be used: {what}"),
        transient: false,
    };
    if auth.service_account_token.is_none() && auth.client_certificate_data.is_none() {
        return Err(unusable(
            "`auth` has neither `service_account_token` nor `client_certificate_data` and `client_key_data`",
        ));
    }
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {
            "server": data.server,
            "certificate-authority-data": data.certificate_authority_data,
            "proxy-url": data.proxy_url,
        }}],
        "users": [{"name": "user", "user": {
            "token": auth.service_account_token,
            "client-certificate-data": auth.client_certificate_data,
            "client-key-data": auth.client_key_data,
        }}],
        "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "context",
    });
    // The words of these errors could quote what was read.
    let config: Kubeconfig =
        serde_json::from_value(config).map_err(|_| unusable("its fields do not fit together"))?;
    let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .map_err(|_| unusable("`server` must be a URL, `proxy_url` too, and `certificate_authority_data` base64 of PEM"))?;
    config.connect_timeout = Some(REQUEST);
    // Several programs of ours choose one; the first counts and all are the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_from(config).map_err(|_| {
        unusable("the certificate authority, the client certificate or its key is no base64 of PEM, or the proxy is not one of `http`, `https` and `socks5`")
    })?;
    let namespace = &runner.job.namespace;
    Ok(Cluster {
        server: data.server.clone(),
        namespace: namespace.clone(),
        jobs: Api::namespaced(client.clone(), namespace),
        pods: Api::namespaced(client.clone(), namespace),
        events: Api::namespaced(client, namespace),
    })
}

/// The status code of a refusal.
pub(super) fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        Error::UpgradeConnection(kube::client::UpgradeConnectionError::ProtocolSwitch(status)) => {
            Some(status.as_u16())
        }
        _ => None,
    }
}

impl Cluster {
    /// Asks, within the time limit.
    pub(super) async fn ask<T>(
        &self,
        what: &str,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, LaunchError> {
        match tokio::time::timeout(REQUEST, question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failed(what, &error)),
            Err(_) => Err(self.silent(what)),
        }
    }

    /// An API server that does not answer.
    pub(super) fn silent(&self, what: &str) -> LaunchError {
        LaunchError {
            class: FailureClass::RunnerUnreachable,
            message: format!(
                "could not {what}: the API server `{}` does not answer; check that it runs and that this host reaches it",
                self.server
            ),
            transient: true,
        }
    }

    /// What a refusal or a broken connection means.
    pub(super) fn failed(&self, what: &str, error: &Error) -> LaunchError {
        let namespace = &self.namespace;
        let said = match error {
            Error::Api(status) => status.message.clone(),
            _ => String::new(),
        };
        let refused = |class, message| LaunchError {
            class,
            message,
            transient: false,
        };
        match code(error) {
            Some(401) => refused(
                FailureClass::ConfigInvalid,
                format!(
                    "could not {what}: the API server `{}` does not know these credentials; put a valid token or certificate into `cluster.auth` of the runner",
                    self.server
                ),
            ),
            // A quota and an admission policy refuse as a missing right does, with other words.
            Some(403)
                if said.contains("exceeded quota") || said.contains("violates PodSecurity") =>
            {
                refused(
                    FailureClass::StartFailed,
                    format!(
                        "could not {what}: the namespace `{namespace}` does not admit it: {}",
                        clipped(&said)
                    ),
                )
            }
            Some(403) => refused(
                FailureClass::ConfigInvalid,
                format!(
                    "could not {what}: the credentials of the runner lack a right in the namespace `{namespace}` ({}); apply the Role of `examples/kubernetes/launcher.yaml` there and bind it to them",
                    clipped(&said)
                ),
            ),
            Some(404) => refused(
                FailureClass::ConfigInvalid,
                format!(
                    "could not {what}: the API server `{}` says that it is not there ({}); is `{namespace}` the right namespace?",
                    self.server,
                    clipped(&said)
                ),
            ),
            Some(code @ (400 | 405..=408 | 410..=428)) => refused(
                FailureClass::ConfigInvalid,
                format!(
                    "could not {what}: the API server refuses it ({code}): {}",
                    clipped(&said)
                ),
            ),
            Some(code) => LaunchError {
                class: FailureClass::RunnerUnreachable,
                message: format!(
                    "could not {what}: the API server `{}` answers {code}: {}",
                    self.server,
                    clipped(&said)
                ),
                transient: true,
            },
            None => {
                tracing::debug!(server = %self.server, %error, what, "no answer of the API server");
                self.silent(what)
            }
        }
    }
}

/// Words of the cluster, on one line and of bearable length.
pub(super) fn clipped(words: &str) -> String {
    let line: String = words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(600)
        .collect();
    line.trim().to_owned()
}
