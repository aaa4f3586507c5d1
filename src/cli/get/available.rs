//! What an environment offers, with the options in words.

use serde_json::Value;

use super::query;
use crate::cli::create::{Doing, explain};
use crate::cli::{Session, kinds};

/// Available types, each with its options in words for the table.
pub(super) async fn available(
    session: &Session,
    project: &str,
    env: &str,
    type_id: Option<String>,
    hidden_too: bool,
) -> anyhow::Result<Vec<Value>> {
    let client = session.client().await?;
    let ids = [project.to_owned(), env.to_owned()];
    let path = query(
        &format!("{}/available-resource-types", kinds::ENVIRONMENT.item(&ids)),
        &[
            ("type_id", type_id),
            (
                "include_non_developer_accessible",
                hidden_too.then(|| "true".to_owned()),
            ),
        ],
    );
    let mut items: Vec<Value> = client
        .list(&path)
        .await
        .map_err(|error| explain(error, &kinds::ENVIRONMENT, &ids, client.org(), Doing::Get))?;
    for item in &mut items {
        let text = options_text(&item["options"]);
        if let Some(map) = item.as_object_mut() {
            map.insert("options_text".into(), Value::String(text));
        }
    }
    Ok(items)
}

/// `default: postgres-local (size); large@shared.db: postgres-big`.
fn options_text(options: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    options
        .as_array()
        .into_iter()
        .flatten()
        .map(|option| {
            let id = option["resource_id"]
                .as_str()
                .map(|id| format!("@{id}"))
                .unwrap_or_default();
            let params: Vec<&str> = option["module_params"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str())
                .collect();
            let params = if params.is_empty() {
                String::new()
            } else {
                format!(" ({})", params.join(", "))
            };
            format!(
                "{}{id}: {}{params}",
                text(&option["resource_class"]),
                text(&option["module_id"])
            )
        })
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_told_in_one_cell() {
        let options = json!([
            {"resource_class": "default", "module_id": "pg", "module_params": {"size": {}, "tier": {}}},
            {"resource_class": "large", "resource_id": "db", "module_id": "big", "module_params": {}},
        ]);
        assert_eq!(
            options_text(&options),
            "default: pg (size, tier); large@db: big"
        );
    }
}
