//! Diagnostics in two forms: in the engine's words, for the sealed log; and what of them may stand in clear.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::stream::Diagnostic;
use crate::runner::job::Label;
use crate::wire::deployments::RunDiagnostic;

/// A diagnostic as people know it from the engine's own output.
pub(crate) fn diagnostic(diagnostic: &Diagnostic) -> String {
    let mut text = format!(
        "{}: {}",
        if diagnostic.error { "Error" } else { "Warning" },
        diagnostic.summary
    );
    let mut place = String::new();
    if let Some(address) = &diagnostic.address {
        let _ = write!(place, "\n  with {address}");
    }
    if let Some((file, line)) = &diagnostic.place {
        let _ = write!(place, "\n  on {file} line {line}");
        if let Some(context) = &diagnostic.context {
            let _ = write!(place, ", in {context}");
        }
    }
    if let Some((code, from)) = &diagnostic.code {
        for (number, line) in (*from..).zip(code.lines()) {
            let _ = write!(place, "\n  {number:>4}: {line}");
        }
    }
    if !place.is_empty() {
        text.push('\n');
        text.push_str(&place);
    }
    if !diagnostic.detail.is_empty() {
        text.push_str("\n\n");
        text.push_str(diagnostic.detail.trim_end());
    }
    text.push('\n');
    text
}

/// What of a diagnostic stands in clear: where, never what was said.
pub(crate) fn in_clear(diagnostic: &Diagnostic, labels: &BTreeMap<String, Label>) -> RunDiagnostic {
    let mut clear = RunDiagnostic {
        severity: if diagnostic.error { "error" } else { "warning" }.to_owned(),
        address: diagnostic.address.clone(),
        file: diagnostic.place.as_ref().map(|(file, _)| file.clone()),
        line: diagnostic.place.as_ref().map(|(_, line)| *line),
        ..RunDiagnostic::default()
    };
    let by_address = diagnostic.address.as_deref().and_then(module_label);
    let by_context = diagnostic.context.as_deref().and_then(|context| {
        context
            .strip_prefix("module \"")
            .and_then(|rest| rest.strip_suffix('"'))
    });
    if let Some(label) = by_address.or(by_context).and_then(|name| labels.get(name)) {
        clear.resource = Some(label.resource.clone());
        clear.module_id = Some(label.module_id.clone());
        clear.module_version = Some(label.module_version.clone());
        return clear;
    }
    if let Some((id, version)) = clear.file.as_deref().and_then(vendored) {
        // Several nodes may use one module: name the node only where there is no choice.
        let mut users = labels
            .values()
            .filter(|label| label.module_id == id && label.module_version == version);
        if let (Some(only), None) = (users.next(), users.next()) {
            clear.resource = Some(only.resource.clone());
        }
        clear.module_id = Some(id.to_owned());
        clear.module_version = Some(version.to_owned());
    }
    clear
}

/// `module.LABEL.…` or `module.LABEL["key"].…` → `LABEL`.
fn module_label(address: &str) -> Option<&str> {
    let rest = address.strip_prefix("module.")?;
    rest.split(['.', '[']).next()
}

/// `modules/ID/VERSION/FILE` → ID and VERSION.
fn vendored(file: &str) -> Option<(&str, &str)> {
    let mut parts = file.strip_prefix("modules/")?.splitn(3, '/');
    let (id, version) = (parts.next()?, parts.next()?);
    parts.next()?;
    Some((id, version))
}

/// Who holds the state lock, if that is what the diagnostic is about: a sentence in clear. The lock names a user, a
/// host, an operation and a time; other words of the engine are left out.
pub(crate) fn lock_holder(diagnostic: &Diagnostic) -> Option<String> {
    if !diagnostic
        .summary
        .to_ascii_lowercase()
        .contains("acquiring the state lock")
    {
        return None;
    }
    let field = |name: &str| {
        let value = diagnostic
            .detail
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(name))?
            .trim();
        let plain = value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || " @._:+/\\-".contains(c));
        (!value.is_empty() && value.len() <= 200 && plain).then(|| value.to_owned())
    };
    let mut sentence = "the state is locked".to_owned();
    if let Some(who) = field("Who:") {
        let _ = write!(sentence, " by `{who}`");
    }
    if let Some(operation) = field("Operation:") {
        let _ = write!(sentence, ", doing {operation}");
    }
    if let Some(created) = field("Created:") {
        let _ = write!(sentence, ", since {created}");
    }
    if let Some(id) = field("ID:") {
        let _ = write!(sentence, " (lock {id})");
    }
    Some(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ResourceKey;

    fn labels() -> BTreeMap<String, Label> {
        BTreeMap::from([(
            "postgres_default_db_1".to_owned(),
            Label {
                resource: ResourceKey::new("postgres", "default", "db"),
                module_id: "pg".into(),
                module_version: "v1".into(),
            },
        )])
    }

    #[test]
    fn the_node_is_found_by_address_by_block_and_by_file() {
        let secret = "s3cret";
        for diagnostic in [
            Diagnostic {
                address: Some("module.postgres_default_db_1.terraform_data.x[0]".into()),
                ..Diagnostic::default()
            },
            Diagnostic {
                context: Some("module \"postgres_default_db_1\"".into()),
                place: Some(("main.tf".into(), 7)),
                ..Diagnostic::default()
            },
            Diagnostic {
                place: Some(("modules/pg/v1/main.tf".into(), 3)),
                ..Diagnostic::default()
            },
        ] {
            let said = Diagnostic {
                error: true,
                summary: secret.into(),
                detail: secret.into(),
                ..diagnostic
            };
            let clear = in_clear(&said, &labels());
            assert_eq!(
                clear.resource,
                Some(ResourceKey::new("postgres", "default", "db")),
                "{said:?}"
            );
            assert_eq!(clear.module_id.as_deref(), Some("pg"));
            assert!(
                !serde_json::to_string(&clear)
                    .expect("JSON")
                    .contains(secret)
            );
        }
    }

    #[test]
    fn the_holder_of_a_lock_is_named() {
        let held = Diagnostic {
            error: true,
            summary: "Error acquiring the state lock".into(),
            detail: "Error message: resource temporarily unavailable\nLock Info:\n  ID:        6f7b\n  Path:      state/terraform.tfstate\n  Operation: OperationTypeApply\n  Who:       root@vm\n  Version:   1.12.6\n  Created:   2026-11-24 08:18:07 +0000 UTC\n  Info:      \n".into(),
            ..Diagnostic::default()
        };
        assert_eq!(
            lock_holder(&held).as_deref(),
            Some(
                "the state is locked by `root@vm`, doing OperationTypeApply, since 2026-11-24 08:18:07 +0000 UTC (lock 6f7b)"
            )
        );
        assert_eq!(lock_holder(&Diagnostic::default()), None);
    }
}
