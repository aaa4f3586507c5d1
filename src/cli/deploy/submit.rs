//! Preview and submission: the same request twice, first as a dry run, then for good.

use axum::http::Method;
use uuid::Uuid;

use super::RunFlags;
use super::source::Request;
use super::{deadline, place};
use crate::cli::client::{CallError, Content};
use crate::cli::create::{Doing, explain};
use crate::cli::exit::{Advised, Findings};
use crate::cli::keys::KeyStore;
use crate::cli::{Session, files, kinds, print};
use crate::seal::key::Identity;
use crate::wire::deployments::{
    Deployment, DeploymentCreate, DeploymentCreateExtras, DryRun, OnBusy, RecipientSpec,
};
use crate::wire::objects::Environment;

/// A deployment of ours, and the keys that only we have.
pub(crate) struct Submitted {
    /// As accepted.
    pub(crate) deployment: Deployment,
    /// Opens the log.
    pub(crate) log_key: Option<Identity>,
    /// Opens the outputs.
    pub(crate) output_key: Option<Identity>,
}

/// Answers early, and with advice, when there is no such environment.
pub(crate) async fn check_environment(
    session: &Session,
    request: &Request,
) -> anyhow::Result<Environment> {
    let client = session.client().await?;
    let ids = [request.project.clone(), request.env.clone()];
    match client.get(&kinds::ENVIRONMENT.item(&ids)).await {
        Ok(environment) => Ok(environment),
        Err(error) if error.refused(404).is_some() => {
            let project = client
                .find::<serde_json::Value>(&kinds::PROJECT.item(&ids[..1]))
                .await?;
            if project.is_none() {
                return Err(Advised::new(
                    format!(
                        "project '{}' not found in org '{}'",
                        request.project,
                        client.org()
                    ),
                    [
                        "windlass get projects".to_owned(),
                        format!("windlass create project {}", request.project),
                    ],
                )
                .into());
            }
            Err(explain(
                error,
                &kinds::ENVIRONMENT,
                &ids,
                client.org(),
                Doing::Get,
            ))
        }
        Err(error) => Err(error.into()),
    }
}

/// Compiles without recording anything.
pub(crate) async fn preview(
    session: &Session,
    request: &Request,
    flags: &RunFlags,
) -> anyhow::Result<DryRun> {
    let mut body = body(request, flags);
    body.is_dry_run = true;
    let answer = send(session, request, &body, None).await?;
    Ok(answer.json()?)
}

/// Stores the keys, then submits.
pub(crate) async fn submit(
    session: &Session,
    request: &Request,
    preview: &DryRun,
    flags: &RunFlags,
    store: &KeyStore,
) -> anyhow::Result<Submitted> {
    let log_key = (!flags.skip_logs).then(Identity::generate);
    let wants_outputs = flags.result.is_some() || (!flags.skip_outputs && has_outputs(preview));
    let output_key = wants_outputs.then(Identity::generate);
    if !flags.no_keep_key {
        for key in [&log_key, &output_key].into_iter().flatten() {
            store.keep(key)?;
        }
    }
    if let (Some(path), Some(key)) = (&flags.logs_key_file, &log_key) {
        let text = zeroize::Zeroizing::new(format!("{}\n", key.expose_secret().as_str()));
        files::write_private(path, text.as_bytes()).map_err(|error| {
            anyhow::anyhow!("could not write the key to `{}`: {error}", path.display())
        })?;
    }
    let mut body = body(request, flags);
    let extras = body.windlass.get_or_insert_default();
    extras.log_recipients = recipients(
        log_key.as_ref(),
        if flags.skip_logs {
            &[]
        } else {
            &flags.recipient
        },
    );
    extras.output_recipients = recipients(output_key.as_ref(), &[]);
    let key = Uuid::new_v4().to_string();
    let answer = send(session, request, &body, Some(&key)).await?;
    Ok(Submitted {
        deployment: answer.json()?,
        log_key,
        output_key,
    })
}

/// Says what was accepted and how to read its log.
pub(crate) fn announce(
    session: &Session,
    submitted: &Submitted,
    flags: &RunFlags,
) -> anyhow::Result<()> {
    let id = &submitted.deployment.id;
    print::success(format!("Deployment {id} created."));
    let extras = submitted.deployment.windlass.as_ref();
    if let Some(waiting) = extras.and_then(|extras| extras.waiting.as_ref()) {
        print::note(format!("It waits: {}.", waiting.message));
    }
    let Some(key) = &submitted.log_key else {
        return Ok(());
    };
    if let Some(path) = &flags.logs_key_file {
        print::note(format!("Log: windlass logs {id} --key @{}", path.display()));
    } else if flags.no_keep_key {
        print::note(format!("Log key: {}", key.expose_secret().as_str()));
        print::note(format!(
            "Log: windlass logs {id} --key -   (and paste the key)"
        ));
    } else {
        print::note(format!("Log key: {}", key.expose_secret().as_str()));
        print::note(format!(
            "Log: windlass logs {id}   (this machine keeps the key for {} days)",
            session.settings.keep_keys_days()
        ));
    }
    Ok(())
}

/// Whether a manifest has anything to output.
fn has_outputs(preview: &DryRun) -> bool {
    let Some(extras) = &preview.windlass else {
        return true;
    };
    extras
        .manifest
        .get("workloads")
        .and_then(serde_json::Value::as_object)
        .into_iter()
        .flatten()
        .any(|(_, workload)| {
            ["outputs", "variables"].iter().any(|key| {
                workload
                    .get(*key)
                    .and_then(serde_json::Value::as_object)
                    .is_some_and(|map| !map.is_empty())
            })
        })
}

fn recipients(own: Option<&Identity>, others: &[String]) -> Vec<RecipientSpec> {
    let own = own.map(|identity| RecipientSpec {
        recipient: identity.recipient().to_string(),
        age_file: false,
    });
    own.into_iter()
        .chain(others.iter().map(|recipient| RecipientSpec {
            recipient: recipient.clone(),
            age_file: true,
        }))
        .collect()
}

/// The request without keys.
fn body(request: &Request, flags: &RunFlags) -> DeploymentCreate {
    let is_rollback = request.rollback_to.is_some();
    DeploymentCreate {
        project_id: request.project.clone(),
        env_id: request.env.clone(),
        mode: if is_rollback { "rollback" } else { "deploy" }.to_owned(),
        plan_only: flags.plan_only.then_some(true),
        rollback_to_deployment_id: request.rollback_to.clone(),
        runner_log_level: Some(flags.runner_logs_level.as_str().to_owned()),
        windlass: Some(DeploymentCreateExtras {
            on_busy: OnBusy::Queue,
            runner: flags.runner.clone(),
            base: request.base.clone(),
            operations: request.operations.clone(),
            strict: request.strict,
            deadlines: deadline::all(&flags.deadline),
            ..DeploymentCreateExtras::default()
        }),
        ..DeploymentCreate::default()
    }
}

async fn send(
    session: &Session,
    request: &Request,
    body: &DeploymentCreate,
    idempotency_key: Option<&str>,
) -> anyhow::Result<crate::cli::client::Answer> {
    let client = session.client().await?;
    let json = serde_json::to_value(body)?;
    let headers: Vec<(&'static str, &str)> = idempotency_key
        .map(|key| ("idempotency-key", key))
        .into_iter()
        .collect();
    client
        .call(Method::POST, "deployments", Content::Json(json), &headers)
        .await
        .map_err(|error| refused(error, request))
}

/// A refusal, with its problems at their places in the user's own text.
fn refused(error: CallError, request: &Request) -> anyhow::Error {
    let CallError::Refused(refusal) = error else {
        return error.into();
    };
    if !refusal.diagnostics.is_empty() {
        return Findings(place::locate(request, refusal.diagnostics)).into();
    }
    let message = match refusal.status {
        409 => format!("conflict: {}", refusal.message),
        400 => format!("request is invalid: {}", refusal.message),
        404 => refusal.message,
        status => format!(
            "unexpected status code {status} when creating the deployment: {}",
            refusal.message
        ),
    };
    let mut advice = Vec::new();
    if message.contains("runner") {
        advice.push("windlass get runners lists the runners; `local` (Docker) and `process` are always there".to_owned());
    }
    if message.contains("deployment") && message.contains("not found")
        || message.contains("not part of")
    {
        advice.push(format!(
            "windlass get deployments {} {}",
            request.project, request.env
        ));
    }
    Advised::new(message, advice).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::edit::Operation;
    use crate::wire::deployments::Base;

    #[test]
    fn the_request_carries_operations_and_asks_to_queue() {
        let request = Request {
            project: "shop".into(),
            env: "dev".into(),
            base: Base::Last,
            operations: vec![
                Operation::Merge(serde_json::json!({"workloads": {}})),
                Operation::DropShared("db".into()),
            ],
            rollback_to: None,
            strict: true,
            texts: Vec::new(),
            score: None,
        };
        let flags = RunFlags {
            plan_only: true,
            runner: Some("process".into()),
            ..RunFlags::default()
        };
        let json = serde_json::to_value(body(&request, &flags)).expect("serialises");
        insta::assert_json_snapshot!(json, @r#"
        {
          "project_id": "shop",
          "env_id": "dev",
          "mode": "deploy",
          "plan_only": true,
          "runner_log_level": "info",
          "windlass": {
            "on_busy": "queue",
            "runner": "process",
            "base": "last",
            "operations": [
              {
                "merge": {
                  "workloads": {}
                }
              },
              {
                "drop_shared": "db"
              }
            ],
            "strict": true
          }
        }
        "#);
    }
}
