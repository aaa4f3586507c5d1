//! What would change, before anybody is asked: the manifest as a diff, the graph as a list.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::source::Request;
use crate::cli::{Session, get, print};
use crate::wire::deployments::{Diff, DryRun};

/// Shows both, or says that nothing changes.
pub(crate) async fn show(
    session: &Session,
    request: &Request,
    preview: &DryRun,
) -> anyhow::Result<()> {
    if print::is_quiet() {
        return Ok(());
    }
    let last = get::last_deployment(session, &request.project, &request.env).await?;
    let before = match &last {
        Some(last) => {
            get::find_deployment(session, &last.id, None)
                .await?
                .manifest
        }
        None => {
            print::note("No previous stateful deployment; everything is new.");
            None
        }
    };
    let after = preview.windlass.as_ref().map(|extras| &extras.manifest);
    if let Some(after) = after {
        let text = manifest_diff(before.as_ref().unwrap_or(&Value::Null), after);
        if text.is_empty() {
            print::note("No manifest changes detected.");
        } else {
            print::note(text.trim_end());
        }
    }
    print::note(graph_diff(&preview.diff).trim_end());
    Ok(())
}

/// Two manifests as a diff of their YAML, three lines around each change. Empty when they are equal.
pub(crate) fn manifest_diff(before: &Value, after: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        value => print::value::yaml(value),
    };
    let (before, after) = (text(before), text(after));
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(&before, &after);
    let mut lines = String::new();
    for (number, group) in diff.grouped_ops(3).iter().enumerate() {
        if number > 0 {
            lines.push_str(&print::paint(print::DIM, "  …\n"));
        }
        for op in group {
            for change in diff.iter_changes(op) {
                let line = print::harmless(change.value().trim_end_matches('\n'));
                let line = match change.tag() {
                    ChangeTag::Equal => format!("    {line}"),
                    ChangeTag::Delete => print::paint(print::BAD, format!("  - {line}")),
                    ChangeTag::Insert => print::paint(print::GOOD, format!("  + {line}")),
                };
                lines.push_str(&line);
                lines.push('\n');
            }
        }
    }
    lines
}

/// Changed nodes, one a line, and the counts.
pub(crate) fn graph_diff(diff: &Diff) -> String {
    if diff.changes.is_empty() {
        return "Resource graph: no changes.\n".to_owned();
    }
    let mut text = format!(
        "Resource graph: {} to add, {} to change, {} to remove.\n",
        diff.num_added, diff.num_changed, diff.num_removed
    );
    for change in &diff.changes {
        let (style, sign) = match change.kind.as_str() {
            "added" => (print::GOOD, '+'),
            "removed" => (print::BAD, '-'),
            _ => (print::CHANGED, '~'),
        };
        let summary = match change.kind.as_str() {
            "module_changed" | "params_changed" => {
                format!("  {}", print::harmless(&change.summary))
            }
            _ => String::new(),
        };
        text.push_str(&print::paint(
            style,
            format!("  {sign} {}", change.resource),
        ));
        text.push_str(&format!("{summary}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::deployments::Change;
    use serde_json::json;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_changed_manifest_is_shown_by_its_changed_lines() {
        let before = json!({"workloads": {"web": {"outputs": {"a": "1", "b": "2"}}}});
        let after = json!({"workloads": {"web": {"outputs": {"a": "1", "b": "3"}}}});
        insta::assert_snapshot!(plain(&manifest_diff(&before, &after)), @r#"
              web:
                outputs:
                  a: "1"
          -       b: "2"
          +       b: "3"
        "#);
        assert_eq!(manifest_diff(&before, &before), "");
    }

    #[test]
    fn the_graph_is_a_list_with_signs() {
        let change = |kind: &str, resource: &str| Change {
            id: "x".into(),
            resource: resource.into(),
            kind: kind.into(),
            summary: "module a@1 to a@2".into(),
        };
        let diff = Diff {
            changes: vec![
                change("added", "dns.default@shared.dns"),
                change("module_changed", "postgres.default@shared.db"),
                change("removed", "route.default@workloads.web.r"),
            ],
            num_added: 1,
            num_changed: 1,
            num_removed: 1,
            ..Diff::default()
        };
        insta::assert_snapshot!(plain(&graph_diff(&diff)), @r"
        Resource graph: 1 to add, 1 to change, 1 to remove.
          + dns.default@shared.dns
          ~ postgres.default@shared.db  module a@1 to a@2
          - route.default@workloads.web.r
        ");
    }
}
