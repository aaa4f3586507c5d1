//! How a deployment ended: for people, for pull requests, for exit codes.

use std::fmt::Write as _;

use super::follow::Over;
use super::source::Request;
use super::{RunFlags, Summary};
use crate::cli::exit::{Exit, Told};
use crate::cli::print::{self, progress::elapsed, table};
use crate::model::phase::{FailureClass, Outcome};
use crate::ui::{Picture, mermaid, short};
use crate::wire::deployments::{Deployment, DeploymentGraph, DryRun, RunDiagnostic};

/// How much of the engine's own words is shown after a failure.
const TAIL_LINES: usize = 40;

/// Prints how it ended. Fails, having told why, when the deployment failed.
pub(crate) fn finish(
    session: &crate::cli::Session,
    over: &Over,
    preview: &DryRun,
    flags: &RunFlags,
) -> anyhow::Result<()> {
    let deployment = &over.deployment;
    if flags.summary == Some(Summary::Markdown) {
        print::data(&markdown(deployment, preview, over))?;
    }
    let took = elapsed(over.took);
    if deployment.status == "succeeded" {
        print::success(format!(
            "Deployment {} succeeded after {took}. {}",
            deployment.id,
            counts(deployment)
        ));
        return Ok(());
    }
    if !flags.show_logs && !over.log.is_empty() {
        print::say(print::paint(
            print::BOLD,
            "What the engine said (opened with your key):",
        ));
        print::say(over.log.last_lines(TAIL_LINES));
    }
    print::say(failure(deployment));
    print::suggestions(&advice(session, deployment));
    Err(Told.into())
}

/// The exit code of a deployment that succeeded.
pub(crate) fn exit(deployment: &Deployment, flags: &RunFlags) -> Exit {
    if flags.detailed_exitcode && has_changes(deployment) {
        Exit::CHANGES
    } else {
        Exit::OK
    }
}

/// Whether anything was planned or applied, outputs included.
fn has_changes(deployment: &Deployment) -> bool {
    let metrics = &deployment.metrics;
    let resources = [
        metrics.num_tf_resources_added,
        metrics.num_tf_resources_changed,
        metrics.num_tf_resources_removed,
    ]
    .into_iter()
    .flatten()
    .sum::<u64>();
    let outputs = deployment
        .windlass
        .as_ref()
        .and_then(|extras| extras.run.as_ref())
        .is_some_and(|run| run.outputs_changed);
    resources > 0 || outputs
}

/// `2 added, 1 changed, 0 removed.`
fn counts(deployment: &Deployment) -> String {
    let metrics = &deployment.metrics;
    let plan = if deployment.plan_only { "to be " } else { "" };
    match (
        metrics.num_tf_resources_added,
        metrics.num_tf_resources_changed,
        metrics.num_tf_resources_removed,
    ) {
        (None, None, None) => String::new(),
        (added, changed, removed) => {
            let (added, changed, removed) = (
                added.unwrap_or(0),
                changed.unwrap_or(0),
                removed.unwrap_or(0),
            );
            if added + changed + removed == 0 {
                let outputs = if has_changes(deployment) {
                    "; outputs change"
                } else {
                    ""
                };
                format!("Nothing to change in the infrastructure{outputs}.")
            } else {
                format!("Resources {plan}added {added}, changed {changed}, removed {removed}.")
            }
        }
    }
}

/// One that was stopped on request, and what it leaves.
pub(crate) fn stopped(deployment: &Deployment) -> String {
    let progress = deployment.windlass.as_ref().and_then(|it| it.progress);
    let done = match progress {
        Some(progress) => format!("{} of {} changes were made.", progress.done, progress.total),
        None => "Nothing was changed.".to_owned(),
    };
    format!(
        "Deployment {} was cancelled. {done}{}",
        deployment.id,
        open(deployment)
    )
}

/// A failure in clear: class, place, module; never the engine's words.
pub(crate) fn failure(deployment: &Deployment) -> String {
    let mut text = print::paint(
        print::BAD.bold(),
        format!(
            "Deployment {} failed: {}",
            deployment.id,
            reason(deployment)
        ),
    );
    if let Some(class) = deployment
        .windlass
        .as_ref()
        .and_then(|extras| extras.failure_class)
    {
        let _ = write!(text, " ({})", class_name(class));
    }
    for diagnostic in diagnostics(deployment) {
        let _ = write!(text, "\n  {}", place(diagnostic));
    }
    text + &open(deployment)
}

/// What a run left open, a line each.
fn open(deployment: &Deployment) -> String {
    let mut text = String::new();
    if let Some(extras) = &deployment.windlass {
        for (addresses, words) in [
            (&extras.unrecorded, "exists and is not in the state"),
            (&extras.in_flight, "was being changed and may exist"),
        ] {
            for address in addresses {
                let _ = write!(text, "\n  {} {words}", print::harmless(address));
            }
        }
    }
    text
}

/// The class in words, or v1's message.
fn reason(deployment: &Deployment) -> String {
    let class = deployment
        .windlass
        .as_ref()
        .and_then(|extras| extras.failure_class)
        .map(class_words);
    let outcome = deployment
        .windlass
        .as_ref()
        .and_then(|extras| extras.outcome);
    let message = print::harmless(deployment.status_message.trim());
    let message = if message.starts_with('{') {
        String::new()
    } else {
        message
    };
    match (outcome, class) {
        (Some(Outcome::Cancelled), _) => "it was cancelled".to_owned(),
        (_, Some(class)) if message.is_empty() => class.to_owned(),
        (_, Some(class)) if message.contains(class) => message,
        (_, Some(class)) => format!("{class}. {message}"),
        (_, None) if message.is_empty() => "no reason was recorded".to_owned(),
        (_, None) => message,
    }
}

fn class_words(class: FailureClass) -> &'static str {
    match class {
        FailureClass::ConfigInvalid => "the request no longer compiles",
        FailureClass::RunnerUnreachable => "the container engine does not answer",
        FailureClass::ImageMissing => "the runner image is missing or cannot be built",
        FailureClass::StartFailed => "the runner could not be started",
        FailureClass::EngineMissing => "no engine (OpenTofu or Terraform) was found",
        FailureClass::BundleInvalid => "the bundle was refused",
        FailureClass::InitFailed => "the engine's init failed",
        FailureClass::PlanFailed => "the engine's plan failed",
        FailureClass::ApplyFailed => "the engine's apply failed",
        FailureClass::DestroyFailed => "the engine's destroy failed",
        FailureClass::LockHeld => "somebody else holds the state lock",
        FailureClass::StalePlan => "the state changed after the plan",
        FailureClass::OutOfMemory => "the memory limit was hit",
        FailureClass::Timeout => "a phase took longer than its deadline",
        FailureClass::Killed => "the run was killed",
        FailureClass::StateWriteFailed => "the state could not be written",
        FailureClass::StateMoveFailed => "the state could not be moved; it lies where it was",
        FailureClass::Unsettled => "what an earlier run left open is not settled",
        FailureClass::Lost => "the runner vanished without a result",
        FailureClass::Internal => "a fault of Windlass itself",
    }
}

/// The class as on the wire, for those who search for it.
fn class_name(class: FailureClass) -> String {
    serde_json::to_value(class)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// What can be done about a failure of this class.
pub(crate) fn class_advice(class: FailureClass) -> Option<String> {
    match class {
        FailureClass::RunnerUnreachable => {
            Some("start Docker, or run without a container: add --runner process".to_owned())
        }
        FailureClass::EngineMissing => Some(INSTALL_ENGINE.to_owned()),
        FailureClass::ImageMissing => Some("windlass runner-image build".to_owned()),
        _ => None,
    }
}

/// The one command that installs an engine.
pub(crate) const INSTALL_ENGINE: &str = "install OpenTofu: curl -fsSL https://get.opentofu.org/install-opentofu.sh | sh -s -- --install-method standalone";

/// What can be done about a failure.
fn advice(session: &crate::cli::Session, deployment: &Deployment) -> Vec<String> {
    let Some(extras) = &deployment.windlass else {
        return Vec::new();
    };
    let mut advice: Vec<String> = extras
        .failure_class
        .and_then(class_advice)
        .into_iter()
        .collect();
    if matches!(
        extras.failure_class,
        Some(FailureClass::Lost | FailureClass::Killed)
    ) {
        advice.push(format!(
            "windlass deploy {} {} deployment://{} deploys the same again",
            deployment.project_id, deployment.env_id, deployment.id
        ));
    }
    if !extras.unrecorded.is_empty() || !extras.in_flight.is_empty() {
        let of = format!("{} {}", deployment.project_id, deployment.env_id);
        advice.push(format!(
            "windlass state import {of} takes those that exist into the state"
        ));
        if !extras.in_flight.is_empty() {
            advice.push(format!(
                "windlass state import {of} ADDRESS=ID takes one in flight that you found"
            ));
        }
        advice.push(format!(
            "windlass state dismiss {of} ADDRESS... forgets one by name"
        ));
    }
    if !extras.log_recipients.is_empty() {
        advice.push(format!(
            "windlass logs {} shows the whole log",
            deployment.id
        ));
    }
    if matches!(
        extras.failure_class,
        Some(FailureClass::Internal | FailureClass::StartFailed)
    ) {
        advice.push(format!(
            "what the worker said is in {}",
            session.settings.data_dir.join("work.log").display()
        ));
    }
    advice
}

fn diagnostics(deployment: &Deployment) -> &[RunDiagnostic] {
    deployment
        .windlass
        .as_ref()
        .map(|extras| extras.diagnostics.as_slice())
        .unwrap_or_default()
}

/// Where a diagnostic of the engine points.
fn place(diagnostic: &RunDiagnostic) -> String {
    let mut text = diagnostic.severity.clone();
    if let Some(resource) = &diagnostic.resource {
        let _ = write!(text, " in {}", resource.short());
    }
    if let Some(module) = &diagnostic.module_id {
        let _ = write!(text, ", module {module}");
        if let Some(version) = &diagnostic.module_version {
            let _ = write!(text, "@{version}");
        }
    }
    if let Some(address) = &diagnostic.address {
        let _ = write!(text, ", {}", print::harmless(address));
    }
    if let Some(file) = &diagnostic.file {
        let _ = write!(text, ", {}", print::harmless(file));
        if let Some(line) = diagnostic.line {
            let _ = write!(text, ":{line}");
        }
    }
    text
}

/// What `get deployment` shows under its table.
pub(crate) fn details(deployment: &Deployment, graph: Option<&DeploymentGraph>) -> String {
    let mut text = String::new();
    if deployment.status == "failed" {
        let _ = writeln!(text, "\n{}", failure(deployment));
    } else if deployment.status == "succeeded" {
        let counts = counts(deployment);
        if !counts.is_empty() {
            let _ = writeln!(text, "\n{counts}");
        }
    }
    if let Some(run) = deployment
        .windlass
        .as_ref()
        .and_then(|extras| extras.run.as_ref())
    {
        let _ = writeln!(
            text,
            "\nEngine {} {}, {} process{}, init {}; runner {}; {} until the engine started, {} in all.",
            run.engine,
            run.engine_version,
            run.engine_processes,
            if run.engine_processes == 1 { "" } else { "es" },
            run.init,
            run.launcher,
            elapsed(std::time::Duration::from_millis(run.started_ms)),
            elapsed(std::time::Duration::from_millis(run.total_ms)),
        );
        for (what, how) in &run.shortcuts {
            let _ = writeln!(text, "  {what}: {how}");
        }
        if run.refusals > 0 {
            let _ = writeln!(text, "  refusals: {}", run.refusals);
        }
        if !run.prepared.is_empty() {
            let _ = writeln!(text, "  prepared from {}", run.prepared);
        }
    }
    if let Some(digest) = deployment
        .windlass
        .as_ref()
        .and_then(|extras| extras.bundle_digest.as_ref())
    {
        let _ = writeln!(text, "Bundle {digest}");
    }
    if let Some(graph) = graph {
        let by_id = |id: &str| {
            graph
                .graph
                .nodes
                .iter()
                .find(|node| node.id == id)
                .map(|node| node.key.id.clone())
        };
        let rows: Vec<Vec<String>> = graph
            .graph
            .nodes
            .iter()
            .map(|node| {
                let needs: Vec<String> = node.edges.values().filter_map(|to| by_id(to)).collect();
                vec![
                    node.key.short(),
                    node.module_id.clone().unwrap_or_else(|| "-".into()),
                    node.module_version.clone().unwrap_or_else(|| "-".into()),
                    node.why
                        .as_ref()
                        .map_or_else(|| "-".into(), |why| why.scope.clone()),
                    if needs.is_empty() {
                        "-".into()
                    } else {
                        needs.join(", ")
                    },
                ]
            })
            .collect();
        let _ = write!(
            text,
            "\n{}",
            table::lines(
                &["Resource", "ModuleId", "ModuleVersion", "Why", "Needs"],
                &rows
            )
        );
    }
    text
}

/// A summary for a pull request, of a deployment.
fn markdown(deployment: &Deployment, preview: &DryRun, over: &Over) -> String {
    let verb = match (deployment.plan_only, deployment.mode.as_str()) {
        (true, _) => "Plan for",
        (false, "rollback") => "Rollback of",
        (false, _) => "Deployment to",
    };
    let sign = if deployment.status == "succeeded" {
        "✅"
    } else {
        "❌"
    };
    let mut text = format!(
        "### {sign} {verb} `{}/{}`\n\n",
        deployment.project_id, deployment.env_id
    );
    if deployment.status == "succeeded" {
        let _ = writeln!(text, "{}\n", counts(deployment));
    } else {
        let _ = writeln!(text, "**Failed:** {}\n", cell(&reason(deployment)));
        for diagnostic in diagnostics(deployment) {
            let _ = writeln!(text, "- {}", cell(&place(diagnostic)));
        }
        text.push('\n');
    }
    if !over.resources.is_empty() && !deployment.plan_only {
        text.push_str("| Resource address | Action | Result |\n| --- | --- | --- |\n");
        for resource in over.resources.iter().take(100) {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} |",
                cell(&resource.address),
                cell(&resource.action),
                cell(&resource.state)
            );
        }
        text.push('\n');
    }
    text.push_str(&graph_markdown(preview));
    let _ = writeln!(
        text,
        "<sub>Deployment `{}`, {}</sub>",
        deployment.id,
        elapsed(over.took)
    );
    text
}

/// A summary for a pull request, of a dry run.
pub(crate) fn markdown_of_preview(request: &Request, preview: &DryRun) -> String {
    format!(
        "### Dry run for `{}/{}`\n\n{}",
        request.project,
        request.env,
        graph_markdown(preview)
    )
}

/// Changed nodes as a table, the graph as mermaid in a fold.
fn graph_markdown(preview: &DryRun) -> String {
    let diff = &preview.diff;
    let mut text = String::new();
    if diff.changes.is_empty() {
        text.push_str("The resource graph does not change.\n\n");
    } else {
        let _ = writeln!(
            text,
            "Resource graph: **{}** to add, **{}** to change, **{}** to remove.\n\n| | Resource | Module | Why |\n| --- | --- | --- | --- |",
            diff.num_added, diff.num_changed, diff.num_removed
        );
        let node = |id: &str| {
            preview
                .windlass
                .as_ref()
                .and_then(|extras| extras.graph.nodes.iter().find(|node| node.id == id))
        };
        for change in &diff.changes {
            let sign = match change.kind.as_str() {
                "added" => "➕",
                "removed" => "➖",
                _ => "✏️",
            };
            let node = node(&change.id);
            let module = node
                .and_then(|node| node.module_id.clone().zip(node.module_version.clone()))
                .map(|(id, version)| format!("`{id}@{}`", short(&version)))
                .unwrap_or_default();
            let why = node
                .and_then(|node| node.why.as_ref())
                .map(|why| why.scope.clone())
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "| {sign} | `{}` | {} | {} |",
                cell(&change.resource),
                module,
                cell(&why)
            );
        }
        text.push('\n');
    }
    if let Some(extras) = &preview.windlass {
        let picture = Picture::of(&extras.graph, Some(diff));
        let _ = writeln!(
            text,
            "<details><summary>Graph</summary>\n\n```mermaid\n{}```\n\n</details>\n",
            mermaid::render(&picture)
        );
    }
    text
}

/// Text that cannot leave a table cell or a code span.
fn cell(text: &str) -> String {
    print::harmless(text)
        .replace('|', "\\|")
        .replace('`', "'")
        .replace('<', "&lt;")
        .replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(
        status: &str,
        extras: serde_json::Value,
        metrics: serde_json::Value,
    ) -> Deployment {
        serde_json::from_value(json!({
            "org_id": "o", "project_id": "shop", "env_id": "dev", "id": "d-1",
            "created_at": "t", "created_by": "u", "mode": "deploy", "plan_only": false,
            "status": status, "status_message": "", "metrics": metrics, "windlass": extras,
        }))
        .expect("a deployment")
    }

    fn metrics(added: u64) -> serde_json::Value {
        json!({"num_workloads": 1, "num_resource_nodes": 2, "num_tf_resources_added": added,
               "num_tf_resources_changed": 0, "num_tf_resources_removed": 0})
    }

    #[test]
    fn a_failure_names_class_node_module_and_place() {
        let extras = json!({
            "phase": "ended", "outcome": "failed", "failure_class": "apply_failed", "attempt": 1,
            "diagnostics": [{"severity": "error", "resource": "type=postgres,class=default,id=shared.db",
                "module_id": "pg", "module_version": "v1", "address": "module.x.terraform_data.db",
                "file": "modules/pg/v1/main.tf", "line": 3}],
            "unrecorded": ["module.x.terraform_data.made"],
        });
        let text = failure(&deployment("failed", extras, metrics(0)));
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string(), @r"
        Deployment d-1 failed: the engine's apply failed (apply_failed)
          error in postgres.default@shared.db, module pg@v1, module.x.terraform_data.db, modules/pg/v1/main.tf:3
          module.x.terraform_data.made exists and is not in the state
        ");
    }

    #[test]
    fn the_detailed_exit_code_sees_resources_and_outputs() {
        let flags = RunFlags {
            detailed_exitcode: true,
            ..RunFlags::default()
        };
        let run = |changed| {
            json!({"phase": "ended", "attempt": 1, "run": {"engine": "opentofu", "engine_version": "1",
            "engine_processes": 1, "init": "ran", "outputs_changed": changed, "started_ms": 1, "total_ms": 2, "launcher": "docker"}})
        };
        let code = |deployment: &Deployment| exit(deployment, &flags);
        assert_eq!(
            code(&deployment("succeeded", run(false), metrics(0))),
            Exit::OK
        );
        assert_eq!(
            code(&deployment("succeeded", run(false), metrics(1))),
            Exit::CHANGES
        );
        assert_eq!(
            code(&deployment("succeeded", run(true), metrics(0))),
            Exit::CHANGES
        );
        assert_eq!(
            exit(
                &deployment("succeeded", run(true), metrics(1)),
                &RunFlags::default()
            ),
            Exit::OK
        );
    }

    #[test]
    fn a_cell_cannot_break_the_table() {
        assert_eq!(cell("a|b`c\n<d>"), "a\\|b'c &lt;d>");
    }
}
