//! Carries a plan out: first every object is checked where it will be kept, and nothing is changed when one is
//! refused; then step by step, each said when it is done.
//!
//! What only the change itself finds (somebody else changed the catalogue meanwhile) does not end it: what does not
//! depend on the refused object is still applied, and every refusal is told at the end with its place in the files.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Map, Value};

use super::plan::{Action, Plan, Step};
use super::read::{Entry, Files, describe};
use crate::cli::client::{CallError, Client, Content};
use crate::cli::exit::{Findings, Found, Told};
use crate::cli::kinds;
use crate::cli::print;
use crate::model::diag::{Diagnostic, Document, Place};

/// What is said when not all of it was done.
const GOES_ON: &str = "What is listed above was applied; applying again goes on from there.";

/// Carries it out.
pub(crate) async fn carry_out(client: &Client, files: &Files, plan: &Plan) -> anyhow::Result<()> {
    let mut refused: Vec<Found> = Vec::new();
    let mut broken: BTreeSet<String> = BTreeSet::new();
    for step in &plan.steps {
        if let Some(entry) = entry_of(files, step)
            && let Some(cause) = needs(entry).into_iter().find(|name| broken.contains(name))
        {
            print::say(print::paint(
                print::BAD,
                format!("! {} skipped: {cause} was refused", step.title),
            ));
            broken.insert(step.title.clone());
            continue;
        }
        match take(client, files, step).await {
            Ok(()) => print::data(&step.line())?,
            Err(CallError::Refused(refusal)) if refusal.is_of_input() => {
                broken.insert(step.title.clone());
                refused.extend(tell(files, step, refusal.message, refusal.diagnostics));
            }
            Err(error) => {
                print::say(GOES_ON);
                print::diagnostic::each(&refused);
                return Err(error.into());
            }
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    print::say(GOES_ON);
    print::diagnostic::each(&refused);
    Err(Told.into())
}

/// Asks about every object that would be made or changed, and tells every refusal. Changes nothing.
pub(crate) async fn check(client: &Client, files: &Files, plan: &Plan) -> anyhow::Result<()> {
    let mut refused: Vec<Found> = Vec::new();
    for step in &plan.steps {
        let Some((method, path, body)) = request(files, step) else {
            continue;
        };
        match call(client, method, &format!("{path}?check=true"), Some(body)).await {
            Ok(()) => {}
            Err(CallError::Refused(refusal)) if refusal.is_of_input() => {
                refused.extend(tell(files, step, refusal.message, refusal.diagnostics));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if refused.is_empty() {
        Ok(())
    } else {
        Err(Findings(refused).into())
    }
}

fn entry_of<'a>(files: &'a Files, step: &Step) -> Option<&'a Entry> {
    match &step.action {
        Action::Create { entry, .. }
        | Action::Update { entry, .. }
        | Action::Replace { entry, .. } => files.entries.get(*entry),
        Action::Remove { .. } => None,
    }
}

/// Titles of the objects that an entry refers to.
fn needs(entry: &Entry) -> Vec<String> {
    let text = |field: &str| entry.body.get(field).and_then(Value::as_str);
    let mut names = Vec::new();
    for (field, kind) in [
        ("env_type_id", "environment-type"),
        ("resource_type", "resource-type"),
        ("module_id", "module"),
        ("runner_id", "runner"),
    ] {
        names.extend(text(field).map(|name| format!("{kind} {name}")));
    }
    if entry.kind.name == "environment" {
        names.extend(text("project_id").map(|name| format!("project {name}")));
    }
    if let Some(mapping) = entry
        .body
        .get("provider_mapping")
        .and_then(Value::as_object)
    {
        names.extend(
            mapping
                .values()
                .filter_map(Value::as_str)
                .map(|name| format!("provider {name}")),
        );
    }
    names
}

/// What makes or changes the object of a step: method, path and body.
fn request(files: &Files, step: &Step) -> Option<(Method, String, Map<String, Value>)> {
    match &step.action {
        Action::Create { body, .. } | Action::Replace { body, .. } => {
            let ids = step.kind.ids_of(body).unwrap_or_default();
            let mut body = body.clone();
            if *step.kind == kinds::ENVIRONMENT {
                body.shift_remove("project_id"); // It is in the path.
            }
            Some((Method::POST, step.kind.collection(&ids), body))
        }
        Action::Update {
            entry,
            ids,
            differences,
        } => {
            let entry = &files.entries[*entry];
            let mut body: Map<String, Value> = differences
                .iter()
                .map(|difference| (difference.field.to_owned(), difference.wanted.clone()))
                .collect();
            // Source and code of a module are set together.
            if changes_code(&body) {
                for field in ["module_source", "module_source_code"] {
                    match entry.body.get(field) {
                        Some(value) => body.insert(field.to_owned(), value.clone()),
                        None => body.shift_remove(field),
                    };
                }
            }
            Some((Method::PATCH, step.kind.item(ids), body))
        }
        Action::Remove { .. } => None,
    }
}

fn changes_code(body: &Map<String, Value>) -> bool {
    body.contains_key("module_source") || body.contains_key("module_source_code")
}

async fn take(client: &Client, files: &Files, step: &Step) -> Result<(), CallError> {
    if let Action::Remove { ids } = &step.action {
        return match call(client, Method::DELETE, &step.kind.item(ids), None).await {
            // Removed along with what it belonged to.
            Err(error) if error.refused(404).is_some() => Ok(()),
            other => other,
        };
    }
    let Some((method, path, body)) = request(files, step) else {
        return Ok(());
    };
    if let Some(entry) = entry_of(files, step)
        && (method == Method::POST || changes_code(&body))
    {
        upload(client, entry).await?;
    }
    if let Action::Replace { old, .. } = &step.action {
        let item = step.kind.item(std::slice::from_ref(old));
        call(client, Method::DELETE, &item, None).await?;
    }
    call(client, method, &path, Some(body)).await
}

async fn call(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<Map<String, Value>>,
) -> Result<(), CallError> {
    let content = body.map_or(Content::Empty, |body| Content::Json(Value::Object(body)));
    client.call(method, path, content, &[]).await.map(|_| ())
}

/// Sends the code of a module given as a directory; the name is its digest, so sending twice is harmless.
async fn upload(client: &Client, entry: &Entry) -> Result<(), CallError> {
    let Some(code) = &entry.code else {
        return Ok(());
    };
    let path = format!("module-sources/{}", code.digest());
    client
        .call(
            Method::PUT,
            &path,
            Content::Bytes("application/x-tar", code.to_tar().into()),
            &[],
        )
        .await
        .map(|_| ())
}

/// A refusal at its place in the files.
fn tell(files: &Files, step: &Step, message: String, diagnostics: Vec<Diagnostic>) -> Vec<Found> {
    let Some(entry) = entry_of(files, step) else {
        return vec![Found::from(Diagnostic::error(
            "Refused",
            format!("{}: {message}", step.title),
            Place::at(Document::Request, ""),
        ))];
    };
    if diagnostics.is_empty() {
        // v1's messages begin with a pointer where one field is meant.
        let (field, words) = match message
            .strip_prefix('/')
            .and_then(|rest| rest.split_once(": "))
        {
            Some((field, words)) => (field.to_owned(), words.to_owned()),
            None => (String::new(), message),
        };
        let title = describe(entry.kind, &entry.body);
        return vec![files.problem(entry, "Refused", format!("{title}: {words}"), &field)];
    }
    diagnostics
        .into_iter()
        .map(|diagnostic| files.found(entry, diagnostic))
        .collect()
}
