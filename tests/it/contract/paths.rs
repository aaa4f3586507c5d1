//! Paths, parameters and methods that are not as the document says.

use super::http::send;
use super::inputs::{JSON, World};

#[tokio::test]
async fn parameters_that_cannot_be_read_are_refused_and_unknown_ones_ignored() {
    let world = World::new().await;
    for operation in world
        .operations()
        .iter()
        .filter(|operation| operation.method == "GET")
    {
        // It would wait.
        let waits = operation.path.to_lowercase().contains("wait");
        let needed = if operation.path.ends_with("/active-resources") {
            "&project_id=shop&env_id=test"
        } else if waits {
            "&timeout_in_seconds=2"
        } else {
            ""
        };
        let plain = world
            .send(
                operation,
                &format!("?{}", needed.trim_start_matches('&')),
                &[],
                None,
            )
            .await;
        let more = world
            .send(operation, &format!("?colour=red{needed}"), &[], None)
            .await;
        assert_eq!(plain.status, more.status, "{}", operation.name());
        assert!(
            operation.answers(&plain.status.to_string()),
            "{}: {}",
            operation.name(),
            plain.status
        );
        for (name, schema) in operation.parameters("query") {
            let of = world.document.either(schema);
            let is = |kind: &str| of.iter().any(|one| one["type"].to_string().contains(kind));
            let mut wrong = Vec::new();
            if is("integer") {
                wrong.extend(["many", "1.5", "99999999999999999999"]);
            }
            if is("boolean") {
                wrong.push("maybe");
            }
            if name == "page" {
                wrong.extend(["zzz", "%00", "WyJhIiwxXQ", "%E2%82%AC"]);
            }
            let items = of
                .iter()
                .map(|one| &one["items"])
                .find(|items| items.is_object());
            if items.is_some_and(|items| !world.document.words(items).is_empty()) {
                wrong.extend(["no-such-word", ""]);
            }
            for value in wrong {
                let what = format!("{} {name}={value}", operation.name());
                let reply = world
                    .send(operation, &format!("?{name}={value}{needed}"), &[], None)
                    .await;
                assert_eq!(
                    reply.status,
                    400,
                    "{what}: {}",
                    String::from_utf8_lossy(&reply.body)
                );
                reply.is_refusal(&what);
                let said = reply.json()["message"].to_string();
                let named = match (name, value) {
                    (_, "%00") => "parameters must not contain NUL",
                    ("page", _) => "page token",
                    (name, _) => name,
                };
                assert!(said.contains(named), "{what}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_method_that_a_path_has_not_is_refused_and_those_that_it_has_are_told() {
    let world = World::new().await;
    let all = world.operations();
    for operation in &all {
        let has: Vec<&str> = all
            .iter()
            .filter(|other| other.path == operation.path)
            .map(|other| other.method.as_str())
            .collect();
        let path = world.path(&operation.path, |_| None);
        for method in [
            "GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
        ] {
            if has.contains(&method) {
                continue;
            }
            let reply = send(world.api.address, method, &path, &[], None).await;
            let what = format!("{method} {path}");
            assert_eq!(reply.status, 405, "{what}");
            reply.is_refusal(&what);
            let allowed = reply.header("allow").unwrap_or_default();
            for method in &has {
                assert!(allowed.contains(method), "{what}: {allowed:?}");
            }
        }
        if has.contains(&"GET") && !path.contains("wait") {
            let get = send(world.api.address, "GET", &path, &[], None).await;
            let head = send(world.api.address, "HEAD", &path, &[], None).await;
            assert_eq!(
                (head.status, head.body.len()),
                (get.status, 0),
                "HEAD {path}"
            );
            assert_eq!(
                head.header("content-type"),
                get.header("content-type"),
                "HEAD {path}"
            );
        }
    }
}

#[tokio::test]
async fn strange_names_in_paths_are_not_there_and_break_nothing() {
    let world = World::new().await;
    let long = "a".repeat(4000);
    for operation in world.operations() {
        // These two ask for nothing that would have to be there, as in v1.
        let is_content = [
            "DELETE /orgs/{org}/metadata-keys/{name}",
            "GET /orgs/{org}/resource-types",
        ];
        if is_content.contains(&operation.name().as_str()) {
            continue;
        }
        for (part, _) in operation.parameters("path") {
            for strange in [
                "a%2Fb",
                "%00",
                "%E2%98%83",
                "%F0%9F%9A%80",
                "..%2F..",
                "%25",
                "'%20OR%201=1",
                "%0A",
                long.as_str(),
            ] {
                let path = world.path(&operation.path, |name| {
                    (name == part).then(|| strange.to_owned())
                });
                let body = operation.takes_json().then_some(&b"{}"[..]);
                let reply = send(world.api.address, &operation.method, &path, &[JSON], body).await;
                let what = format!("{} {path}", operation.method);
                assert!(
                    (400..500).contains(&reply.status),
                    "{what}: {}",
                    reply.status
                );
                reply.is_refusal(&what);
                let documented = operation.answers(&reply.status.to_string());
                assert!(documented, "{what}: {} is documented", reply.status);
            }
            // What is not UTF-8 is no name.
            let path = world.path(&operation.path, |name| {
                (name == part).then(|| "%FF".to_owned())
            });
            let reply = send(world.api.address, &operation.method, &path, &[], None).await;
            assert!(
                [400, 404].contains(&reply.status),
                "{path}: {}",
                reply.status
            );
            reply.is_refusal(&path);
        }
    }
}
