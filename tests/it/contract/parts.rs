//! Bad input below a field: whatever the document says of the parts of a field is given wrongly, and the refusal names the part.

use serde_json::{Value, json};

use super::document::Document;
use super::inputs::{JSON, World, wrong};

/// Wrong values below a field: the way to a part of it, and the field with that part wrong.
fn wrong_below(document: &Document, schema: &Value) -> Vec<(String, Value)> {
    let either = document.either(schema);
    let [one] = either[..] else {
        return Vec::new();
    };
    let mut all = Vec::new();
    let (parts, _) = document.properties(one);
    for (name, rule) in &parts {
        for value in wrong(document, rule) {
            all.push((name.clone(), json!({name: value})));
        }
        for (below, value) in wrong_below(document, rule) {
            all.push((format!("{name}/{below}"), json!({name: value})));
        }
    }
    // In lists, and in maps whose keys a user chooses.
    if one["items"].is_object() {
        for value in wrong(document, &one["items"]) {
            all.push(("0".into(), json!([value])));
        }
        for (below, value) in wrong_below(document, &one["items"]) {
            all.push((format!("0/{below}"), json!([value])));
        }
    }
    if one["additionalProperties"].is_object() {
        for value in wrong(document, &one["additionalProperties"]) {
            all.push(("key".into(), json!({"key": value})));
        }
        for (below, value) in wrong_below(document, &one["additionalProperties"]) {
            all.push((format!("key/{below}"), json!({"key": value})));
        }
    }
    all
}

#[tokio::test]
async fn a_part_of_a_field_that_is_wrong_is_named() {
    let world = World::new().await;
    let mut tried = 0;
    let mut silent = Vec::new();
    for operation in world
        .operations()
        .iter()
        .filter(|operation| operation.takes_json())
    {
        let schema = &operation.said["requestBody"]["content"]["application/json"]["schema"];
        for one in world.document.either(schema) {
            let (fields, _) = world.document.properties(one);
            for (field, rule) in &fields {
                for (part, value) in wrong_below(&world.document, rule) {
                    let what = format!("{} {field}={value}", operation.name());
                    let path = world.path(&operation.path, |_| None);
                    let above = path.rsplit_once('/').map(|(above, _)| above.to_owned());
                    let is_new = operation.method == "POST";
                    let made_of = world.bodies.get(if is_new {
                        &path
                    } else {
                        above.as_ref().expect("a path")
                    });
                    let mut body = made_of.filter(|_| is_new).cloned().unwrap_or(json!({}));
                    // Where the others of its parts are needed, they are as they were.
                    let whole = made_of.map_or(&Value::Null, |made_of| &made_of[field]);
                    body[field] = match (whole, &value) {
                        (Value::Object(whole), Value::Object(part)) => {
                            let mut whole = whole.clone();
                            whole.extend(part.clone());
                            whole.into()
                        }
                        _ => value.clone(),
                    };
                    let body = body.to_string();
                    let reply = world
                        .send(operation, "", &[JSON], Some(body.as_bytes()))
                        .await;
                    tried += 1;
                    let answer = reply.json();
                    let told = answer["details"]["diagnostics"].as_array();
                    let is_named = told.into_iter().flatten().any(|told| {
                        let place = &told["places"][0];
                        let at = place["pointer"].as_str().unwrap_or_default();
                        // A manifest is a document of its own.
                        let is_manifest = place["document"]["kind"] == "manifest";
                        let at = if is_manifest {
                            format!("/manifest{at}")
                        } else {
                            at.to_owned()
                        };
                        let detail = told["detail"].as_str().unwrap_or_default();
                        let names: Vec<&str> = part.split('/').collect();
                        let (first, last) = (names[0], names[names.len() - 1]);
                        // What may not be there at all is named where it begins.
                        let is_unknown = detail.contains(&format!("unknown field `{first}`"));
                        at.starts_with(&format!("/{field}"))
                            && (at.contains(&part) || detail.contains(last) || is_unknown)
                    });
                    if reply.status != 400 || !is_named {
                        silent.push(format!("{what}: {} {answer}", reply.status));
                    }
                }
            }
        }
    }
    assert!(
        silent.is_empty(),
        "{} of {tried}:\n{}",
        silent.len(),
        silent.join("\n")
    );
    assert!(tried > 100, "only {tried} were tried");
}
