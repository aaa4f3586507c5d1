//! What lies in `modules/` and `examples/` for people to copy: every file there is used by a test of this file.
//!
//! Variants that need a provider of a cluster or a database server are saved and compared with their code, and a manifest
//! that picks them compiles; they are not applied, as the README says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Place, by_both_launchers, everywhere, walk};

everywhere! {
    the_shop_lives_through_everything_that_a_deployment_can
}

by_both_launchers! {
    hello_is_deployed_as_the_readme_says
    the_score_files_are_deployed_as_they_say
}

/// A directory of this repository.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Applies directories of this repository; none may bring a warning.
fn apply(place: &Place, directories: &[&str]) {
    let mut arguments = vec!["apply".to_owned()];
    for directory in directories {
        arguments.extend(["-f".to_owned(), text(&shipped(directory))]);
    }
    let done = place.ok(&arguments);
    assert!(
        !done.stderr.contains("warning"),
        "what we ship fits together\n{done}"
    );
    place.ok(&arguments).says(&["Nothing changed"]);
}

/// The arguments of a deployment without a prompt.
fn deploy(place: &Place, project: &str, env: &str, source: &str, more: &[&str]) -> Vec<String> {
    let mut arguments: Vec<String> = ["deploy", project, env, source, "--no-prompt", "--runner"]
        .map(str::to_owned)
        .to_vec();
    arguments.push(place.launcher().runner().to_owned());
    arguments.extend(more.iter().map(|word| (*word).to_owned()));
    arguments
}

/// The modules of the last deployment, workloads left out.
fn modules(place: &Place, project: &str, env: &str) -> BTreeSet<String> {
    place
        .json(["get", "active-resource-nodes", project, env, "-o", "json"])
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|node| node["module_id"].as_str())
        .filter(|module| !module.is_empty())
        .map(str::to_owned)
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn the_shop_lives_through_everything_that_a_deployment_can(place: &Place) {
    apply(place, &["modules", "examples/shop/platform"]);
    let manifest = text(&shipped("examples/shop/manifest.yaml"));
    let run = |env: &str, source: &str, more: &[&str]| {
        place.run(deploy(place, "shop", env, source, more))
    };
    let outputs = |env: &str| place.json(["get", "outputs", "shop", env, "-o", "json"]);

    let planned = run(
        "staging",
        &manifest,
        &["--plan-only", "--detailed-exitcode"],
    );
    assert_eq!(planned.code, Some(2), "{planned}");
    let first = run("staging", &manifest, &["--detailed-exitcode"]);
    assert_eq!(first.code, Some(2), "{first}");
    let first_id = place.json(["get", "deployments", "shop", "staging", "-o", "json"])[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(
        modules(place, "shop", "staging"),
        set(&[
            "dns-builtin",
            "namespace-builtin",
            "postgres-builtin",
            "route-builtin",
            "score-workload-builtin",
        ])
    );
    let staging = outputs("staging");
    assert_eq!(staging["storefront"]["URL"], "http://www.staging.example/");
    let password = staging["orders"]["DATABASE_PASSWORD"]
        .as_str()
        .expect("a password");
    assert!(
        staging["storefront"]["DATABASE_URL"]
            .as_str()
            .expect("an address")
            .contains(password),
        "both workloads share one database: {staging:#}"
    );

    // A Score file beside it, then back.
    let mut score: Vec<String> = ["score", "deploy", "shop", "staging"]
        .map(str::to_owned)
        .to_vec();
    score.extend([
        text(&shipped("examples/score/mailer.yaml")),
        "--no-prompt".to_owned(),
        "--runner".to_owned(),
        place.launcher().runner().to_owned(),
    ]);
    place.ok(&score);
    let workloads = |place: &Place| {
        let manifest = place.json(["get", "manifest", "shop", "staging", "-o", "json"]);
        manifest["workloads"]
            .as_object()
            .expect("workloads")
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(workloads(place), set(&["mailer", "orders", "storefront"]));
    place.ok([
        "rollback",
        "shop",
        "staging",
        &first_id,
        "--no-prompt",
        "--runner",
        place.launcher().runner(),
    ]);
    assert_eq!(workloads(place), set(&["orders", "storefront"]));
    assert_eq!(outputs("staging"), staging, "the database was kept");
    let again = run("staging", &manifest, &["--detailed-exitcode"]);
    assert_eq!(again.code, Some(0), "nothing is left to change\n{again}");

    // Promotion: the same manifest, other modules.
    let live = run("live", "environment://staging", &[]);
    assert_eq!(live.code, Some(0), "{live}");
    assert_eq!(
        modules(place, "shop", "live"),
        set(&[
            "dns-builtin",
            "namespace-builtin",
            "postgres-cluster",
            "route-tls",
            "score-workload-builtin",
        ])
    );
    let url = outputs("live")["storefront"]["URL"].clone();
    assert!(
        url.as_str().expect("a URL").starts_with("https://"),
        "{url}"
    );

    for env in ["staging", "live"] {
        place.ok(["delete", "environment", "shop", env, "--no-prompt"]);
        place
            .refused(["get", "environment", "shop", env])
            .says(&["not found"]);
    }
    assert_eq!(
        place.states(),
        Vec::<PathBuf>::new(),
        "with an environment its state goes, old copies too"
    );
}

fn hello_is_deployed_as_the_readme_says(place: &Place) {
    apply(place, &["examples/hello/catalogue"]);
    let manifest = text(&shipped("examples/hello/manifest.yaml"));
    place.ok(deploy(place, "hello", "dev", &manifest, &["--dry-run"]));
    place.ok(deploy(place, "hello", "dev", &manifest, &[]));
    let outputs = place.json(["get", "outputs", "hello", "dev", "-o", "json"]);
    let said = outputs["web"]["TEXT"].as_str().expect("a text");
    assert!(
        said.contains("world") && said.contains("hello/dev"),
        "{said}"
    );
    place.ok(["delete", "environment", "hello", "dev", "--no-prompt"]);
}

fn the_score_files_are_deployed_as_they_say(place: &Place) {
    apply(place, &["modules", "examples/score/platform"]);
    let run = |more: &[&str]| {
        let mut arguments: Vec<String> = ["score", "deploy", "guestbook", "dev"]
            .map(str::to_owned)
            .to_vec();
        arguments.extend([
            text(&shipped("examples/score/guestbook.yaml")),
            text(&shipped("examples/score/mailer.yaml")),
        ]);
        arguments.extend(
            [
                "--default-image",
                "registry.example/guestbook:1",
                "--no-prompt",
                "--runner",
                place.launcher().runner(),
            ]
            .map(str::to_owned),
        );
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        place.ok(arguments)
    };
    let printed = run(&["--print-manifest", "-"]);
    assert!(
        printed.stdout.contains("registry.example/guestbook:1"),
        "{printed}"
    );
    let dry = run(&["--dry-run"]);
    assert!(
        dry.stderr.contains("livenessProbe"),
        "what the module does not honour is said\n{dry}"
    );
    run(&[]);
    let databases = place
        .json([
            "get",
            "active-resource-nodes",
            "guestbook",
            "dev",
            "-o",
            "json",
        ])
        .as_array()
        .expect("a list")
        .iter()
        .filter(|node| node["resource_type"] == "postgres")
        .count();
    assert_eq!(databases, 1, "both files mean the same database");
}

/// Rules that pick the variants which need a provider.
const ELSEWHERE: &str = "
kind: environment-type
id: elsewhere
---
kind: project
id: shop
---
kind: environment
project_id: shop
id: cluster
env_type_id: elsewhere
---
kind: module-rule
module_id: namespace-kubernetes
---
kind: module-rule
module_id: score-workload-kubernetes
---
kind: module-rule
module_id: postgres-postgresql
---
kind: module-rule
module_id: dns-builtin
---
kind: module-rule
module_id: route-builtin
";

#[test]
fn variants_that_need_a_provider_fit_their_code_and_compile() {
    let place = Place::without_engine();
    place.write("elsewhere.yaml", ELSEWHERE);
    // A server that is there already has its version.
    let manifest = fs::read_to_string(shipped("examples/shop/manifest.yaml")).expect("UTF-8");
    let manifest = manifest.replace("    params:\n      server_version: \"17\"\n", "");
    place.write("manifest.yaml", manifest);
    let done = place.ok([
        "apply",
        "-f",
        &text(&shipped("modules")),
        "-f",
        "elsewhere.yaml",
    ]);
    assert!(!done.stderr.contains("warning"), "{done}");
    let dry = place.ok([
        "deploy",
        "shop",
        "cluster",
        "manifest.yaml",
        "--dry-run",
        "-o",
        "json",
    ]);
    for module in [
        "namespace-kubernetes",
        "score-workload-kubernetes",
        "postgres-postgresql",
    ] {
        assert!(dry.stdout.contains(module), "{module} is chosen\n{dry}");
    }
    for provider in ["kubernetes", "postgresql"] {
        let listed: Value = place.json(["get", "providers", "-o", "json"]);
        assert!(
            listed
                .as_array()
                .expect("a list")
                .iter()
                .any(|found| found["provider_type"] == json!(provider)),
            "{provider}"
        );
    }
}

#[test]
fn every_module_directory_has_an_entry_and_every_entry_a_directory() {
    let root = shipped("modules");
    let mut directories = BTreeSet::new();
    let mut entries = BTreeSet::new();
    for path in walk(&root) {
        let inside = path.strip_prefix(&root).expect("below it");
        if path.extension().is_some_and(|ending| ending == "tf") {
            directories.insert(inside.parent().expect("a directory").to_owned());
        } else {
            let document = fs::read_to_string(&path).expect("UTF-8");
            for line in document.lines() {
                if let Some(source) = line.strip_prefix("module_source: ./") {
                    entries.insert(inside.with_file_name(source));
                }
            }
        }
    }
    assert_eq!(directories, entries);
    assert!(directories.len() >= 10, "{directories:?}");
}
