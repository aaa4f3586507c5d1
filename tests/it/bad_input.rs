//! Bad input: one clear answer, exit code 1, and nothing recorded, except where only the run can find it.
//!
//! Words that are expected here are what a person needs: the offending name, what is available, what to do.

use crate::support::{CATALOGUE, Engine, Launcher, Place, by_both_launchers, with_input};

by_both_launchers! {
    a_key_that_does_not_fit_says_so
    an_environment_that_is_being_deleted_takes_nothing
}

/// A place with the test catalogue and something that needs params of every kind.
fn place() -> Place {
    let place = Place::without_engine();
    place.write("catalogue/all.yaml", CATALOGUE);
    place.write(
        "catalogue/typed.yaml",
        r#"
kind: resource-type
id: typed
output_schema: {type: object, properties: {text: {type: string}}}
---
kind: module
id: typed
resource_type: typed
module_source: inline
module_params: {size: {type: number}, label: {type: string, is_optional: true}}
module_source_code: |
  variable "size" {
    type = number
  }
  variable "label" {
    type    = string
    default = ""
  }
  output "text" {
    value = var.label
  }
---
kind: module-rule
module_id: typed
"#,
    );
    place.ok(["apply", "-f", "catalogue"]);
    place
}

/// Deploys a file that must be refused with these words, and checks that nothing was recorded.
fn refused(place: &Place, name: &str, content: impl AsRef<[u8]>, words: &[&str]) {
    place.write(name, content);
    let before = place.table_counts();
    let done = place.refused([
        "deploy",
        "shop",
        "dev",
        name,
        "--no-prompt",
        "--runner",
        "process",
    ]);
    done.says(words);
    assert_eq!(place.table_counts(), before, "nothing is recorded\n{done}");
    // The same answer without a record for a dry run.
    let dry = place.refused(["deploy", "shop", "dev", name, "--dry-run"]);
    dry.says(words);
}

#[test]
fn text_that_is_no_manifest_is_refused_with_its_place() {
    let place = place();
    refused(
        &place,
        "unknown.yaml",
        "workloads:\n  web:\n    resuorces: {}\n",
        &["unknown.yaml:3", "resuorces", "resources"],
    );
    refused(
        &place,
        "twice.yaml",
        "workloads:\n  web: {}\n  web: {}\n",
        &["twice.yaml:3", "web"],
    );
    refused(
        &place,
        "types.yaml",
        "workloads:\n  web:\n    resources: [a]\n",
        &["types.yaml:3"],
    );
    refused(&place, "text.yaml", "just a text\n", &["text.yaml"]);
    refused(&place, "empty.yaml", "", &["empty.yaml", "empty"]);
    refused(
        &place,
        "latin.yaml",
        b"workloads:\n  caf\xe9: {}\n",
        &["latin.yaml", "UTF-8"],
    );
    refused(&place, "open.yaml", "workloads: {web: {\n", &["open.yaml"]);
}

#[test]
fn text_that_explodes_is_refused_quickly() {
    let place = place();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let references = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{references}]\n"));
    }
    bomb.push_str("workloads: {}\n");
    refused(&place, "bomb.yaml", bomb, &["bomb.yaml"]);
    refused(&place, "deep.yaml", "[".repeat(40_000), &["deep.yaml"]);
    refused(
        &place,
        "deep.json",
        format!("{{\"workloads\": {}", "{\"a\":".repeat(40_000)),
        &["deep.json"],
    );
    let large = format!(
        "workloads:\n  web:\n    outputs:\n      X: {}\n",
        "x".repeat(10 * 1024 * 1024)
    );
    refused(&place, "large.yaml", large, &["large.yaml", "MiB"]);
}

#[test]
fn names_that_nobody_offers_are_answered_with_those_that_are() {
    let place = place();
    let resource = |text: &str| format!("workloads:\n  web:\n    resources:\n      r: {text}\n");
    refused(
        &place,
        "type.yaml",
        resource("{type: note2, params: {text: x}}"),
        &["type.yaml:4", "note2", "note"],
    );
    refused(
        &place,
        "class.yaml",
        resource("{type: note, class: lagre, params: {text: x}}"),
        &["class.yaml:4", "lagre", "default"],
    );
    let output = |text: &str| {
        format!(
            "{}    outputs:\n      X: {text}\n",
            resource("{type: note, params: {text: x}}")
        )
    };
    refused(
        &place,
        "placeholder.yaml",
        output("${resuorces.r.outputs.text}"),
        &["placeholder.yaml:6", "resuorces"],
    );
    refused(
        &place,
        "output.yaml",
        output("${resources.r.outputs.txet}"),
        &["output.yaml:6", "txet", "text"],
    );
    refused(
        &place,
        "alias.yaml",
        output("${resources.q.outputs.text}"),
        &["alias.yaml:6", "`q`"],
    );
    refused(
        &place,
        "shared.yaml",
        output("${shared.db.outputs.text}"),
        &["shared.yaml:6", "db"],
    );
    refused(
        &place,
        "select.yaml",
        output("${select.consumers('workload').outputs.text}"),
        &["select.yaml:6", "select"],
    );
    let before = place.table_counts();
    place.write("good.yaml", resource("{type: note, params: {text: x}}"));
    place
        .refused(["deploy", "shop", "dve", "good.yaml", "--no-prompt"])
        .says(&["dve"]);
    place
        .refused(["deploy", "sohp", "dev", "good.yaml", "--no-prompt"])
        .says(&["sohp"]);
    place
        .refused([
            "deploy",
            "shop",
            "dev",
            "good.yaml",
            "--no-prompt",
            "--runner",
            "proces",
        ])
        .says(&["proces", "process"]);
    place
        .refused(["deploy", "shop", "dev", "missing.yaml", "--no-prompt"])
        .says(&["missing.yaml"]);
    place
        .refused(["deploy", "shop", "dev", "ftp://x", "--no-prompt"])
        .says(&["ftp"]);
    place
        .refused([
            "rollback",
            "shop",
            "dev",
            "00000000-0000-7000-8000-000000000000",
            "--no-prompt",
        ])
        .says(&["not found"]);
    assert_eq!(place.table_counts(), before, "nothing is recorded");
}

#[test]
fn params_are_checked_against_the_module() {
    let place = place();
    let typed = |params: &str| {
        format!(
            "workloads:\n  web:\n    resources:\n      r: {{type: typed, params: {{{params}}}}}\n"
        )
    };
    refused(
        &place,
        "missing.yaml",
        typed("label: x"),
        &["missing.yaml:4", "size"],
    );
    refused(
        &place,
        "extra.yaml",
        typed("size: 1, lable: x"),
        &["extra.yaml:4", "lable", "label"],
    );
    refused(
        &place,
        "wrong.yaml",
        typed("size: big"),
        &["wrong.yaml:4", "size", "number"],
    );
    let twice = "workloads:\n  web:\n    resources:\n      a: {type: note, id: one, params: {text: x}}\n      b: {type: note, id: one, params: {text: y}}\n";
    refused(
        &place,
        "twice.yaml",
        twice,
        &["twice.yaml", "one", "different"],
    );
}

#[test]
fn a_cycle_is_shown_as_a_path() {
    let place = place();
    let manifest = "workloads: {}\nshared:\n  aa: {type: note, params: {text: \"${shared.bb.outputs.text}\"}}\n  bb: {type: note, params: {text: \"${shared.aa.outputs.text}\"}}\n";
    refused(
        &place,
        "cycle.yaml",
        manifest,
        &["cycle", "shared.aa", "shared.bb", "->"],
    );
}

#[test]
fn names_that_hcl_cannot_say_are_refused_and_never_reach_it() {
    let place = place();
    let manifest = "workloads:\n  \"we b\":\n    resources: {}\n";
    refused(
        &place,
        "workload.yaml",
        manifest,
        &["workload.yaml:2", "we b"],
    );
    let manifest = "workloads:\n  web:\n    outputs:\n      \"a\\\"b = 1\": x\n";
    place.write("key.yaml", manifest);
    let done = place.run(["deploy", "shop", "dev", "key.yaml", "--dry-run"]);
    assert_eq!(
        done.code,
        Some(1),
        "a key that could leave its quotes is refused\n{done}"
    );
    let manifest =
        "workloads:\n  web:\n    resources:\n      r: {type: note, params: {\"te-xt\\n}\": x}}\n";
    refused(&place, "param.yaml", manifest, &["param.yaml:4"]);
}

#[test]
fn every_mistake_is_in_one_answer() {
    let place = place();
    let manifest = "workloads:\n  web:\n    resources:\n      a: {type: nope}\n      b: {type: typed, params: {size: big, other: 1}}\n    outputs:\n      X: ${resources.zz.outputs.y}\n";
    refused(
        &place,
        "many.yaml",
        manifest,
        &[
            "many.yaml:4",
            "nope",
            "many.yaml:5",
            "size",
            "other",
            "many.yaml:7",
            "zz",
        ],
    );
}

#[test]
fn a_catalogue_with_mistakes_changes_nothing() {
    let place = place();
    let before = place.table_counts();
    let refused = |name: &str, content: &str, words: &[&str]| {
        place.write(&format!("{name}/all.yaml"), content);
        place.refused(["apply", "-f", name]).says(words);
        assert_eq!(place.table_counts(), before, "nothing is recorded");
    };
    refused(
        "key",
        "kind: project\nid: other\ndisplay: Other\n",
        &["all.yaml:3", "display", "display_name"],
    );
    refused(
        "kind",
        "kind: projekt\nid: other\n",
        &["all.yaml:1", "projekt", "project"],
    );
    refused(
        "twice",
        "kind: project\nid: other\n---\nkind: project\nid: other\n",
        &["all.yaml:4", "all.yaml:1", "other"],
    );
    refused(
        "rules",
        "kind: module-rule\nmodule_id: note\nproject_id: shop\n---\nkind: module-rule\nmodule_id: note\nproject_id: shop\n",
        &["all.yaml", "note"],
    );
    let module = |source: &str| {
        format!("kind: module\nid: mine\nresource_type: note\nmodule_source: {source}\n")
    };
    refused("missing", &module("./nowhere"), &["all.yaml:4", "nowhere"]);
    refused("outside", &module("./../escape"), &["all.yaml:4", ".."]);
    place.write("links/code/main.tf", "output \"text\" {\n  value = 1\n}\n");
    std::os::unix::fs::symlink("/etc/passwd", place.work().join("links/code/passwd"))
        .expect("a link");
    refused(
        "links",
        &module("./code"),
        &["all.yaml:4", "passwd", "link"],
    );
    place
        .refused(["apply", "-f", "nothing-here"])
        .says(&["nothing-here"]);
}

#[test]
fn a_manifest_from_standard_input_is_checked_like_a_file() {
    let place = place();
    let before = place.table_counts();
    let command = place.command([
        "deploy",
        "shop",
        "dev",
        "-",
        "--no-prompt",
        "--runner",
        "process",
    ]);
    let done = with_input(command, b"workloads:\n  web:\n    resuorces: {}\n");
    assert_eq!(done.code, Some(1), "{done}");
    done.says(&["standard input:3", "resuorces"]);
    assert_eq!(place.table_counts(), before, "nothing is recorded");
}

/// A manifest without mistakes.
const GOOD: &str =
    "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: x}}\n";

#[test]
fn what_only_the_run_can_find_is_recorded_with_its_class() {
    let place = place();
    place.write("good.yaml", GOOD);
    // This place has no engine, and its Docker daemon is nowhere.
    let engines = "engines:\n  opentofu: /nowhere/tofu\n  terraform: /nowhere/terraform\n";
    place.settings(engines);
    let done = place.refused([
        "deploy",
        "shop",
        "dev",
        "good.yaml",
        "--no-prompt",
        "--runner",
        "process",
    ]);
    done.says(&["/nowhere/tofu"]);
    let record = place.deployment(&place.newest("dev"));
    assert_eq!(record["status"], "failed", "{record:#}");
    assert_eq!(
        record["windlass"]["failure_class"], "engine_missing",
        "{record:#}"
    );

    let done = place.refused([
        "deploy",
        "shop",
        "dev",
        "good.yaml",
        "--no-prompt",
        "--runner",
        "local",
    ]);
    done.says(&["--runner process"]);
    let record = place.deployment(&place.newest("dev"));
    assert_eq!(
        record["windlass"]["failure_class"], "runner_unreachable",
        "{record:#}"
    );
}

#[test]
#[ignore = "needs docker and opentofu"]
fn an_image_that_is_not_there_is_named() {
    let place = Place::new(Launcher::Docker, Engine::OpenTofu);
    place.write("catalogue/all.yaml", CATALOGUE);
    place.write(
        "catalogue/runner.yaml",
        "kind: runner\nid: custom\nrunner_configuration: {type: docker, image: \"windlass-test/nowhere:1\"}\nstate_storage_configuration: {type: local}\n",
    );
    place.ok(["apply", "-f", "catalogue"]);
    place.write("good.yaml", GOOD);
    let done = place.refused([
        "deploy",
        "shop",
        "dev",
        "good.yaml",
        "--no-prompt",
        "--runner",
        "custom",
    ]);
    done.says(&["windlass-test/nowhere:1"]);
    let record = place.deployment(&place.newest("dev"));
    assert_eq!(
        record["windlass"]["failure_class"], "image_missing",
        "{record:#}"
    );
}

/// A registry that knows nobody.
fn closed_registry() -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"closed\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            );
        }
    });
    address
}

#[test]
#[ignore = "needs docker and opentofu"]
fn a_registry_that_wants_another_login_is_named() {
    let place = Place::new(Launcher::Docker, Engine::OpenTofu);
    let image = format!("{}/windlass-test/closed:1", closed_registry());
    place.write("catalogue/all.yaml", CATALOGUE);
    place.write(
        "catalogue/runner.yaml",
        format!("kind: runner\nid: custom\nrunner_configuration: {{type: docker, image: \"{image}\"}}\nstate_storage_configuration: {{type: local}}\n"),
    );
    place.ok(["apply", "-f", "catalogue"]);
    place.write("good.yaml", GOOD);
    let mut line = place.deploy("dev", "good.yaml");
    *line.last_mut().expect("the runner") = "custom".to_owned();
    place
        .refused(line)
        .says(&[&image, "could not be fetched", "`docker pull` it first"]);
    let record = place.deployment(&place.newest("dev"));
    assert_eq!(
        record["windlass"]["failure_class"], "image_missing",
        "{record:#}"
    );
}

fn a_key_that_does_not_fit_says_so(place: &Place) {
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write("good.yaml", GOOD);
    place.ok(place.deploy("dev", "good.yaml"));
    let id = place.newest("dev");
    let other = std::process::Command::new("age-keygen")
        .output()
        .expect("age-keygen");
    let other = String::from_utf8(other.stdout).expect("a key in text");
    let other = other
        .lines()
        .find(|line| line.starts_with("AGE-SECRET-KEY-"))
        .expect("an identity");
    place.write("other.key", other);
    place
        .refused(["logs", &id, "--key", "@other.key"])
        .says(&["key"]);
    place
        .refused(["logs", &id, "--key", "@missing.key"])
        .says(&["missing.key"]);
    place
        .refused(["logs", &id, "--key", "nonsense"])
        .says(&["key"]);
}

fn an_environment_that_is_being_deleted_takes_nothing(place: &Place) {
    place.write("catalogue/all.yaml", CATALOGUE);
    place.write(
        "catalogue/stubborn.yaml",
        r#"
kind: resource-type
id: stubborn
output_schema: {type: object, properties: {}}
---
kind: module
id: stubborn
resource_type: stubborn
module_source: inline
module_source_code: |
  resource "terraform_data" "this" {
    provisioner "local-exec" {
      when    = destroy
      command = "[ -e state/allowed ]"
    }
  }
---
kind: module-rule
module_id: stubborn
"#,
    );
    place.ok(["apply", "-f", "catalogue"]);
    place.write(
        "stubborn.yaml",
        "workloads:\n  web:\n    resources:\n      r: {type: stubborn}\n",
    );
    place.write("good.yaml", GOOD);
    place.ok(place.deploy("dev", "stubborn.yaml"));

    // The destroy fails; the environment says so and keeps what it has.
    let done = place.refused(["delete", "environment", "shop", "dev", "--no-prompt"]);
    done.says(&["destroy_failed"]);
    let environment = place.json(["get", "environment", "shop", "dev", "-o", "json"]);
    assert_eq!(environment["status"], "delete_failed", "{environment:#}");
    let log = place.ok(["logs", &place.newest("dev")]);
    assert!(
        log.stdout.contains("stubborn"),
        "the log of a destroy can be read\n{log}"
    );

    // Once the cause is gone, the same command works.
    for state in place.states() {
        std::fs::write(state.join("allowed"), "").expect("a file");
    }
    place.ok(["delete", "environment", "shop", "dev", "--no-prompt"]);
    place
        .refused(place.deploy("dev", "good.yaml"))
        .says(&["dev"]);
}
