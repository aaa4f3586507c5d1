//! What a request says, checked without looking at anything else. Pure.

use crate::model::diag::{Document, pointer};
use crate::model::phase::Mode;
use crate::model::{Diagnostic, Place};
use crate::seal::Recipient;
use crate::wire::deployments::{Base, DeploymentCreate, DeploymentCreateExtras, RecipientSpec};
use crate::wire::runners::Deadlines;

/// A request that says something that can be done.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) mode: Mode,
    pub(super) extras: DeploymentCreateExtras,
    pub(super) log_level: String,
    /// Of the request; those of the environment type are added later.
    pub(super) log_recipients: Vec<RecipientSpec>,
    pub(super) output_recipients: Vec<RecipientSpec>,
}

const LOG_LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];

/// Checks a request; all problems at once, in the order in which v1 looks.
pub(super) fn check(body: &DeploymentCreate) -> Result<Checked, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let extras = body.windlass.clone().unwrap_or_default();
    let mode = mode(body);
    shape(body, &extras, &mut problems);
    let mut log_recipients = Vec::new();
    let mut output_recipients = Vec::new();
    for (field, asked, ours, into) in [
        (
            "encrypted_outputs_recipient",
            &body.encrypted_outputs_recipient,
            &extras.output_recipients,
            &mut output_recipients,
        ),
        (
            "encrypted_logs_recipient",
            &body.encrypted_logs_recipient,
            &extras.log_recipients,
            &mut log_recipients,
        ),
    ] {
        if let Some(text) = asked {
            let reader = RecipientSpec {
                recipient: text.clone(),
                age_file: true,
            };
            recipient(reader, field, &format!("/{field}"), into, &mut problems);
        }
        let list = match field {
            "encrypted_outputs_recipient" => "output_recipients",
            _ => "log_recipients",
        };
        for (at, reader) in ours.iter().enumerate() {
            let place = format!("/windlass/{list}/{at}/recipient");
            recipient(reader.clone(), list, &place, into, &mut problems);
        }
    }
    for name in extras.deadlines.iter().flat_map(Deadlines::wrong) {
        problems.push(at(
            &format!("/windlass/deadlines/{name}"),
            "Invalid deadline",
            format!("A deadline is 1 to {} seconds (a week).", Deadlines::MOST),
        ));
    }
    if let Err(problem) = &mode {
        problems.push(problem.clone());
    }
    let log_level = body
        .runner_log_level
        .clone()
        .unwrap_or_else(|| "info".to_owned());
    if !LOG_LEVELS.contains(&log_level.as_str()) {
        problems.push(at(
            "/runner_log_level",
            "Invalid log level",
            format!("`{log_level}` is no log level. Use `debug`, `info`, `warn` or `error`."),
        ));
    }
    match mode {
        Ok(mode) if problems.is_empty() => Ok(Checked {
            mode,
            extras,
            log_level,
            log_recipients,
            output_recipients,
        }),
        _ => Err(problems),
    }
}

fn at(pointer: &str, summary: &str, detail: String) -> Diagnostic {
    Diagnostic::error(summary, detail, Place::at(Document::Request, pointer))
}

fn mode(body: &DeploymentCreate) -> Result<Mode, Diagnostic> {
    let plan = body.plan_only;
    match body.mode.as_str() {
        "deploy" if plan == Some(true) => Ok(Mode::PlanOnly),
        "deploy" => Ok(Mode::Deploy),
        "plan_only" if plan == Some(false) => Err(at(
            "/plan_only",
            "Contradicting mode",
            "`plan_only` is false although the mode is `plan_only`. Leave it out, or use the mode `deploy`."
                .to_owned(),
        )
        .v1("plan_only cannot be false if mode is plan_only")),
        "plan_only" => Ok(Mode::PlanOnly),
        "rollback" if plan == Some(true) => Ok(Mode::RollbackPlan),
        "rollback" => Ok(Mode::Rollback),
        other => Err(at(
            "/mode",
            "Invalid mode",
            format!("`{other}` is no mode. Use `deploy`, `plan_only` or `rollback`."),
        )
        .v1(format!("invalid mode '{other}'"))),
    }
}

/// Which of manifest, operations and rollback target a mode must and must not have.
fn shape(body: &DeploymentCreate, extras: &DeploymentCreateExtras, problems: &mut Vec<Diagnostic>) {
    let mode = &body.mode;
    let rolls_back = mode == "rollback";
    let edited = !extras.operations.is_empty() || extras.base != Base::Empty;
    if rolls_back && (body.manifest.is_some() || edited) {
        problems.push(
            at(
                "/manifest",
                "Manifest not expected",
                "A rollback takes the manifest of the deployment it goes back to. Leave the manifest out.".to_owned(),
            )
            .v1(format!("manifest cannot be provided when mode is {mode}")),
        );
    }
    if !rolls_back && body.manifest.is_none() && !edited {
        problems.push(
            at(
                "/manifest",
                "Manifest missing",
                format!("The mode `{mode}` needs a manifest. Add one; `{{\"workloads\": {{}}}}` is the empty one."),
            )
            .v1(format!("manifest must be provided when mode is {mode}")),
        );
    }
    match (&body.rollback_to_deployment_id, rolls_back) {
        (None, true) => problems.push(
            at(
                "/rollback_to_deployment_id",
                "Rollback target missing",
                "Say which deployment to go back to.".to_owned(),
            )
            .v1(format!("rollback_to_deployment_id must be set when mode is {mode}")),
        ),
        (Some(_), false) => problems.push(
            at(
                "/rollback_to_deployment_id",
                "Rollback target not expected",
                format!("The mode `{mode}` goes back to nothing. Leave the field out, or use the mode `rollback`."),
            )
            .v1(format!("rollback_to_deployment_id must not be set when mode is {mode}")),
        ),
        (None, false) | (Some(_), true) => {}
    }
}

/// Checks one reader and adds it, unless it is there already; then an age file is made if either asks for one.
pub(super) fn recipient(
    reader: RecipientSpec,
    field: &str,
    place: &str,
    into: &mut Vec<RecipientSpec>,
    problems: &mut Vec<Diagnostic>,
) {
    let text = reader.recipient.trim().to_owned();
    if text.parse::<Recipient>().is_err() {
        let is_secret = text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-");
        // A private key that came by mistake is not repeated.
        let shown = if is_secret { "…" } else { &text };
        let advice = if is_secret {
            " This is a private key: treat it as compromised, make a new one, and give the line that begins with `age1`."
        } else {
            " It must begin with `age1`, as `age-keygen` prints it."
        };
        problems.push(
            at(
                place,
                "Invalid recipient",
                format!("`{shown}` is not a public key of age.{advice}"),
            )
            .v1(format!(
                "{field}: failed to parse '{shown}' as age public key"
            )),
        );
        return;
    }
    merge(
        into,
        RecipientSpec {
            recipient: text,
            age_file: reader.age_file,
        },
    );
}

/// The readers of a log that were asked for; what is no reader is noted.
pub(super) fn log_readers(
    asked: Vec<RecipientSpec>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<RecipientSpec> {
    let mut readers = Vec::new();
    for (number, reader) in asked.into_iter().enumerate() {
        let place = format!("/log_recipients/{number}/recipient");
        recipient(reader, "log_recipients", &place, &mut readers, problems);
    }
    readers
}

/// Adds a reader once.
pub(super) fn merge(into: &mut Vec<RecipientSpec>, reader: RecipientSpec) {
    match into
        .iter_mut()
        .find(|known| known.recipient == reader.recipient)
    {
        Some(known) => known.age_file |= reader.age_file,
        None => into.push(reader),
    }
}

/// The pointer of an operation in the request.
pub(super) fn operation_pointer(index: usize) -> String {
    pointer("/windlass/operations", &index.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &DeploymentCreate) -> Vec<String> {
        check(body)
            .expect_err("refused")
            .into_iter()
            .map(|problem| problem.v1.unwrap_or(problem.detail))
            .collect()
    }

    fn body(mode: &str) -> DeploymentCreate {
        DeploymentCreate {
            mode: mode.into(),
            manifest: Some(serde_json::json!({"workloads": {}})),
            ..DeploymentCreate::default()
        }
    }

    #[test]
    fn all_mistakes_of_a_request_are_told_at_once() {
        let request = DeploymentCreate {
            mode: "nonsense".into(),
            rollback_to_deployment_id: Some("x".into()),
            encrypted_logs_recipient: Some("age1nothing".into()),
            runner_log_level: Some("loud".into()),
            ..DeploymentCreate::default()
        };
        let told = refused(&request);
        assert_eq!(told.len(), 5, "{told:?}");
        assert_eq!(told[0], "manifest must be provided when mode is nonsense");
        assert!(told.contains(&"invalid mode 'nonsense'".to_owned()));
        assert!(told.contains(
            &"encrypted_logs_recipient: failed to parse 'age1nothing' as age public key".to_owned()
        ));
    }

    #[test]
    fn modes_are_read_as_v1_reads_them() {
        let mode = |name: &str, plan_only| {
            check(&DeploymentCreate {
                plan_only,
                ..body(name)
            })
            .map(|checked| checked.mode)
        };
        assert_eq!(mode("deploy", None).ok(), Some(Mode::Deploy));
        assert_eq!(mode("deploy", Some(true)).ok(), Some(Mode::PlanOnly));
        assert_eq!(mode("plan_only", None).ok(), Some(Mode::PlanOnly));
        assert!(mode("plan_only", Some(false)).is_err());
        assert!(mode("destroy", None).is_err());
        let rollback = DeploymentCreate {
            mode: "rollback".into(),
            rollback_to_deployment_id: Some("x".into()),
            ..DeploymentCreate::default()
        };
        assert_eq!(
            check(&rollback).ok().map(|checked| checked.mode),
            Some(Mode::Rollback)
        );
    }

    #[test]
    fn a_private_key_is_never_repeated() {
        let request = DeploymentCreate {
            encrypted_logs_recipient: Some("AGE-SECRET-KEY-1ABC".into()),
            ..body("deploy")
        };
        let told = check(&request).expect_err("refused");
        assert!(!format!("{told:?}").contains("1ABC"));
    }

    #[test]
    fn one_reader_named_twice_is_one_reader() {
        let key = crate::seal::key::Identity::generate()
            .recipient()
            .to_string();
        let request = DeploymentCreate {
            encrypted_logs_recipient: Some(key.clone()),
            windlass: Some(DeploymentCreateExtras {
                log_recipients: vec![RecipientSpec {
                    recipient: key,
                    age_file: false,
                }],
                ..DeploymentCreateExtras::default()
            }),
            ..body("deploy")
        };
        let checked = check(&request).expect("good");
        assert_eq!(checked.log_recipients.len(), 1);
        assert!(checked.log_recipients[0].age_file);
    }
}
