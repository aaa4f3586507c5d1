//! The contract: what the document of the API says, what clients of v1 rely on, and what every route has in common.

mod c12;
mod c12_catalogue;
mod c12_projects;
mod c12_rules;
mod c12_runners;
mod checklist;
mod coverage;
pub(crate) mod document;
mod e20;
pub(crate) mod http;
mod inputs;
mod parts;
mod paths;
mod runner_types;
mod security;

use self::document::Document;
use crate::api::Api;

/// The document as it is served.
async fn document() -> Document {
    let api = Api::new().await;
    let reply = http::send(api.address, "GET", "/openapi.json", &[], None).await;
    assert_eq!(reply.status, 200);
    Document(reply.json())
}

#[tokio::test]
async fn the_document_is_served_to_everybody_and_is_complete_in_itself() {
    let document = document().await;
    assert_eq!(document.0["openapi"], "3.1.0");
    let mut ids = Vec::new();
    for operation in document.operations() {
        let said = &operation.said;
        ids.push(said["operationId"].as_str().expect("an id").to_owned());
        assert!(said["summary"].is_string(), "{}", operation.name());
        for parameter in said["parameters"].as_array().into_iter().flatten() {
            let name = &parameter["name"];
            assert_ne!(
                parameter["description"],
                "",
                "{}: what is {name}?",
                operation.name()
            );
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "ids are unique");
    let text = document.0.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().expect("a pointer");
        assert!(
            document.0.pointer(pointer).is_some(),
            "{pointer} is not there"
        );
    }
}

/// Which parameters handlers read is only in their code: none of them is left out of the document.
#[tokio::test]
async fn every_parameter_that_is_read_is_in_the_document() {
    let document = document().await;
    let known: Vec<String> = document
        .operations()
        .iter()
        .flat_map(|operation| operation.parameters("query"))
        .map(|(name, _)| name.to_owned())
        .collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut read = 0;
    for entry in files(&folder) {
        let text = std::fs::read_to_string(&entry).expect("source");
        for call in [
            "params.one(\"",
            "params.all(\"",
            "params.flag(\"",
            "params.number(\"",
            "text(\"by",
        ] {
            for rest in text.split(call).skip(1) {
                let name = rest.split('"').next().expect("a name");
                let name = if call.ends_with("by") {
                    format!("by{name}")
                } else {
                    name.to_owned()
                };
                assert!(known.contains(&name), "{}: {name}", entry.display());
                read += 1;
            }
        }
    }
    assert!(read > 15, "the calls were found");
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
