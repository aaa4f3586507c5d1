//! One client, several servers and organisations: contexts of its settings file.

use super::{ORG, Server, TOKEN};
use crate::support::Place;

/// The administrator of the other organisation.
const OTHER: &str = "SU-token-of-another-organisation-987654321";

#[test]
fn a_client_goes_from_server_to_server_by_name_and_shows_no_token() {
    let (near, far) = (Place::without_engine(), Place::without_engine());
    let near = Server::start(&near, &[]);
    let far = Server::of(&far, "other", OTHER, &[]);
    let client = Place::without_engine();
    // A file from before there were contexts.
    client.settings(&format!(
        "api_url: {}\ndefault_org_id: {ORG}\ntoken: {TOKEN}\n",
        near.url()
    ));
    client.ok(["create", "project", "shop"]);
    client
        .refused(["--context", "far", "get", "projects"])
        .says(&["there is no context `far`", "windlass config use default"]);
    client
        .refused(["config", "use", "far"])
        .says(&["there is no context `far`"]);
    client.ok(["config", "set-context", "far", far.url(), "other"]);
    client.write("token", OTHER);
    let with_token = client.command(["--context", "far", "config", "set-token", "-"]);
    let done = crate::support::with_input(with_token, OTHER.as_bytes());
    assert_eq!(done.code, Some(0), "{done}");
    client.ok(["create", "project", "bank", "--context", "far"]);
    let names = |more: &[&str]| {
        let line = [&["get", "projects", "-o", "json"], more].concat();
        let listed = client.json(line);
        let items = listed.as_array().expect("a list").clone();
        let ids = items
            .iter()
            .map(|item| item["id"].as_str().expect("an id").to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["shop"]);
    assert_eq!(names(&["--context", "far"]), ["bank"]);
    client.ok(["config", "use", "far"]);
    assert_eq!(names(&[]), ["bank"]);
    assert_eq!(names(&["--context", "default"]), ["shop"]);

    for line in [
        &["config", "contexts"][..],
        &["config", "contexts", "-o", "json"],
        &["config", "show"],
    ] {
        let shown = client.ok(line.iter().copied());
        assert!(shown.stdout.contains("far"), "{shown}");
        assert!(shown.stdout.contains("SU-t…"), "{shown}");
        assert!(
            !shown.stdout.contains(OTHER) && !shown.stdout.contains(TOKEN),
            "{shown}"
        );
    }
    let listed = client.json(["config", "contexts", "-o", "json"]);
    assert_eq!(listed[0]["name"], "default");
    assert_eq!(listed[0]["api_url"], near.url());
    assert_eq!(listed[1]["current"], true);

    // A session of one server is not kept for another.
    client.with_variable("WINDLASS_URL", near.url());
    client.refused(["login", "--no-browser"]).says(&[
        "the context `far` is for",
        "windlass config set-context NAME",
    ]);
    client
        .refused(["get", "projects"])
        .says(&["a token is needed"]);
    // Whoever names a context by the flag means all of it.
    assert_eq!(names(&["--context", "far"]), ["bank"]);
    client.with_variable("WINDLASS_URL", "");
    client.with_variable("WINDLASS_CONTEXT", "default");
    assert_eq!(names(&[]), ["shop"]);
    client
        .ok(["config", "use", "far"])
        .says(&["WINDLASS_CONTEXT is set and wins"]);
    client.ok(["config", "delete-context", "far"]);
    client
        .refused(["config", "delete-context", "far"])
        .says(&["there is no context `far`"]);
    client.with_variable("WINDLASS_CONTEXT", "");
    assert_eq!(
        names(&[]),
        ["shop"],
        "what is set without a name is in effect again"
    );
    client.ok(["--context", "new", "config", "set-url", far.url()]);
    client.with_variable("WINDLASS_CONTEXT", "new");
    client
        .refused(["get", "projects"])
        .says(&["a token is needed"]);
}
