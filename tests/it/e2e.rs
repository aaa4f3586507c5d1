//! The main job, end to end, through the real binary: each story with both launchers and both engines.

use serde_json::Value;

use crate::support::{CATALOGUE, Launcher, Place, by_both_launchers, everywhere, wait_until};

everywhere! {
    a_manifest_is_applied_changed_rolled_back_promoted_and_destroyed
    a_plan_changes_nothing_and_a_dry_run_records_nothing
    a_failing_module_is_named_in_clear_and_quoted_only_in_the_sealed_log
}

by_both_launchers! {
    exit_codes_tell_ci_what_happened
    a_score_file_becomes_a_workload
    what_the_caller_sets_and_drops_is_applied
    outputs_that_a_module_computes_survive_every_character
}

/// A manifest with one note.
fn greeting(text: &str) -> String {
    format!(
        "workloads:\n  web:\n    resources:\n      greeting:\n        type: note\n        params: {{text: {text}}}\n    outputs:\n      GREETING: ${{resources.greeting.outputs.text}}\n"
    )
}

/// A place with the test catalogue.
fn with_catalogue(place: &Place) {
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
}

/// The outputs of the last deployment of an environment.
fn outputs(place: &Place, env: &str) -> Value {
    place.json(["get", "outputs", "shop", env, "-o", "json"])
}

fn a_manifest_is_applied_changed_rolled_back_promoted_and_destroyed(place: &Place) {
    with_catalogue(place);
    place.write("one.yaml", greeting("hello"));
    place.write("two.yaml", greeting("goodbye"));

    let mut arguments = place.deploy("dev", "one.yaml");
    arguments.extend(["--result", "-", "-o", "json"].map(str::to_owned));
    let first = place.json(arguments);
    assert_eq!(first["web"]["GREETING"], "hello");
    let first_id = place.newest("dev");
    let record = place.deployment(&first_id);
    assert_eq!(record["status"], "succeeded");
    assert_eq!(record["windlass"]["outcome"], "applied");
    assert_eq!(
        record["windlass"]["run"]["engine"],
        place.engine().name(),
        "{record:#}"
    );
    assert_eq!(record["metrics"]["num_tf_resources_added"], 1);

    place.ok(place.deploy("dev", "two.yaml"));
    assert_eq!(outputs(place, "dev")["web"]["GREETING"], "goodbye");
    assert_eq!(
        place.deployment(&place.newest("dev"))["metrics"]["num_tf_resources_changed"],
        1
    );

    // The same again: nothing to change.
    place.ok(place.deploy("dev", "deployment://HEAD"));
    assert_eq!(
        place.deployment(&place.newest("dev"))["windlass"]["outcome"],
        "unchanged"
    );

    // Back to the first one.
    place.ok([
        "rollback",
        "shop",
        "dev",
        &first_id,
        "--no-prompt",
        "--runner",
        place.launcher().runner(),
    ]);
    let back = place.deployment(&place.newest("dev"));
    assert_eq!(back["mode"], "rollback");
    assert_eq!(back["rollback_to_deployment_id"], first_id);
    assert_eq!(outputs(place, "dev")["web"]["GREETING"], "hello");

    // On to the other environment.
    place.ok(place.deploy("live", "environment://dev"));
    assert_eq!(outputs(place, "live")["web"]["GREETING"], "hello");

    // The log of a deployment can be read by the client that made it.
    let log = place.ok(["logs", &first_id]);
    assert!(
        log.stdout.contains("terraform_data.this"),
        "the log names what was made\n{log}"
    );

    assert_eq!(place.resources("dev"), ["note"]);
    // The graph as a picture: printed, and in a file whose name says the form.
    for what in [
        &["get", "active-resources", "shop", "dev", "--graph"][..],
        &["get", "deployment", &first_id, "--graph"],
    ] {
        let mermaid = place.ok(what).stdout;
        assert!(
            mermaid.starts_with("flowchart") && mermaid.contains("greeting"),
            "{mermaid}"
        );
        let mut arguments = what.to_vec();
        arguments.push("graph.svg");
        assert_eq!(place.ok(arguments).stdout, "graph.svg\n");
        let picture = std::fs::read_to_string(place.work().join("graph.svg")).expect("written");
        assert!(
            picture.starts_with("<svg") && picture.contains("greeting"),
            "{picture}"
        );
        let mut arguments = what.to_vec();
        arguments.push("graph.png");
        place.refused(arguments).says(&[".svg", "mermaid"]);
    }
    let tf = place.ok(["get", "tf", &first_id]);
    assert!(
        tf.stdout
            .contains("module \"note_default_workloadswebgreeting_"),
        "{tf}"
    );

    for env in ["dev", "live"] {
        place.ok(["delete", "environment", "shop", env, "--no-prompt"]);
        place
            .refused(["get", "environment", "shop", env])
            .says(&["not found"]);
    }
}

fn a_plan_changes_nothing_and_a_dry_run_records_nothing(place: &Place) {
    with_catalogue(place);
    let manifest = |round: &str, text: &str| {
        format!(
            "workloads:\n  web:\n    resources:\n      count: {{type: effect, params: {{round: {round}}}}}\n      greeting: {{type: note, params: {{text: {text}}}}}\n    outputs:\n      GREETING: ${{resources.greeting.outputs.text}}\n      ROUND: {round}\n"
        )
    };
    place.write("one.yaml", manifest("a", "hello"));
    place.write("two.yaml", manifest("b", "goodbye"));

    // A plan before anything was deployed leaves nothing behind that a deployment would.
    let mut arguments = place.deploy("live", "one.yaml");
    arguments.push("--plan-only".to_owned());
    place.ok(arguments);
    assert_eq!(place.effects(), 0);
    assert_eq!(
        place.json(["get", "active-resource-nodes", "shop", "live", "-o", "json"]),
        serde_json::json!([])
    );

    place.ok(place.deploy("dev", "one.yaml"));
    assert_eq!(place.effects(), 1);

    let state = || place.files(|path| !path.starts_with("state"));
    let active = || place.json(["get", "active-resource-nodes", "shop", "dev", "-o", "json"]);
    let before = (state(), active());
    let mut arguments = place.deploy("dev", "two.yaml");
    arguments.extend(["--plan-only", "--result", "-", "-o", "json"].map(str::to_owned));
    let planned = place.json(arguments);
    assert_eq!(
        planned["web"],
        serde_json::json!({"GREETING": "(known after apply)", "ROUND": "b"}),
        "a plan returns the outputs as the engine plans them"
    );
    assert_eq!(place.effects(), 1, "a plan has no effect");
    assert_eq!(
        (state(), active()),
        before,
        "a plan leaves state and active resources alone"
    );
    let plan = place.newest("dev");
    let record = place.deployment(&plan);
    assert_eq!(record["plan_only"], true);
    assert_eq!(record["windlass"]["outcome"], "planned");
    let log = place.ok(["logs", &plan]);
    assert!(
        log.stdout.contains("must be replaced"),
        "the log holds the engine's plan for people\n{log}"
    );
    assert_eq!(
        outputs(place, "dev")["web"]["GREETING"],
        "hello",
        "outputs are those of the last real deployment"
    );

    // A dry run: same tables, same files.
    let all = || place.files(|path| path.to_string_lossy().contains("-shm"));
    // Without a container standing by the worker ends, and folds the log of the database into it as it goes.
    if place.launcher() == Launcher::Process {
        wait_until("the worker has ended", || place.workers().is_empty());
    }
    let (tables, files) = (place.table_counts(), all());
    let mut arguments = place.deploy("dev", "two.yaml");
    arguments.push("--dry-run".to_owned());
    let dry = place.ok(arguments);
    assert!(
        format!("{}{}", dry.stdout, dry.stderr).contains("note"),
        "a dry run shows the graph\n{dry}"
    );
    assert_eq!(place.table_counts(), tables, "a dry run records nothing");
    assert_eq!(all(), files, "a dry run writes no file");
}

fn a_failing_module_is_named_in_clear_and_quoted_only_in_the_sealed_log(place: &Place) {
    with_catalogue(place);
    place.write(
        "broken.yaml",
        "workloads:\n  web:\n    resources:\n      bad: {type: broken}\n",
    );
    let done = place.refused(place.deploy("dev", "broken.yaml"));
    done.says(&["apply_failed", "broken"]);
    let record = place.deployment(&place.newest("dev"));
    assert_eq!(record["status"], "failed");
    assert_eq!(record["windlass"]["failure_class"], "apply_failed");
    let diagnostic = &record["windlass"]["diagnostics"][0];
    assert_eq!(diagnostic["module_id"], "broken", "{record:#}");
    assert!(
        diagnostic["address"]
            .as_str()
            .is_some_and(|address| address.contains("broken")),
        "{record:#}"
    );
    assert!(
        !record.to_string().contains("words-of-the-engine"),
        "the record holds no words of the engine: {record:#}"
    );
    let log = place.ok(["logs", &place.newest("dev")]);
    assert!(
        log.stdout.contains("words-of-the-engine"),
        "the sealed log holds them\n{log}"
    );

    // A destroy of what half failed works, and its log can be read.
    place.ok(["delete", "environment", "shop", "dev", "--no-prompt"]);
}

fn exit_codes_tell_ci_what_happened(place: &Place) {
    with_catalogue(place);
    place.write("one.yaml", greeting("hello"));
    let run = |extra: &[&str]| {
        let mut arguments = place.deploy("dev", "one.yaml");
        arguments.extend(extra.iter().map(|word| (*word).to_owned()));
        place.run(arguments)
    };
    assert_eq!(
        run(&["--dry-run", "--detailed-exitcode"]).code,
        Some(2),
        "something would be added"
    );
    assert_eq!(
        run(&["--plan-only", "--detailed-exitcode"]).code,
        Some(2),
        "the engine plans something"
    );
    let first = run(&["--detailed-exitcode", "--summary", "markdown"]);
    assert_eq!(first.code, Some(2), "something was applied\n{first}");
    assert!(
        first.stdout.contains('|') && first.stdout.contains("note"),
        "a summary in markdown\n{first}"
    );
    assert_eq!(
        run(&["--dry-run", "--detailed-exitcode"]).code,
        Some(0),
        "nothing would change"
    );
    assert_eq!(
        run(&["--plan-only", "--detailed-exitcode"]).code,
        Some(0),
        "the engine plans nothing"
    );
    assert_eq!(
        run(&["--detailed-exitcode"]).code,
        Some(0),
        "nothing was applied"
    );
    assert_eq!(
        run(&["--no-such-flag"]).code,
        Some(1),
        "a usage error is an error, not a change"
    );
    // Only an output changes: the engine has something to do, although no resource changes.
    let output = run(&[
        "--plan-only",
        "--detailed-exitcode",
        "--set",
        "workloads.web.outputs.MORE=x",
    ]);
    assert_eq!(output.code, Some(2), "an output counts\n{output}");
}

fn a_score_file_becomes_a_workload(place: &Place) {
    with_catalogue(place);
    place.write(
        "catalogue/score.yaml",
        r#"
kind: resource-type
id: score-workload
output_schema: {type: object, properties: {}}
---
kind: module
id: score-workload
resource_type: score-workload
module_source: inline
module_params: {metadata: {type: map}, containers: {type: map}, service: {type: map, is_optional: true}}
module_source_code: |
  variable "metadata" {
    type = any
  }
  variable "containers" {
    type = any
  }
  variable "service" {
    type    = any
    default = {}
  }
  resource "terraform_data" "this" {
    input = var.containers
  }
---
kind: module-rule
module_id: score-workload
"#,
    );
    place.ok(["apply", "-f", "catalogue"]);
    place.write(
        "score.yaml",
        "apiVersion: score.dev/v1b1\nmetadata: {name: web}\ncontainers:\n  main:\n    image: .\n    variables:\n      GREETING: ${resources.greeting.text}\nresources:\n  greeting:\n    type: note\n    params: {text: from-score}\n",
    );
    place.ok([
        "score",
        "deploy",
        "shop",
        "dev",
        "score.yaml",
        "--default-image",
        "registry.example/web:1",
        "--no-prompt",
        "--runner",
        place.launcher().runner(),
    ]);
    let manifest = place.json(["get", "manifest", "shop", "dev", "-o", "json"]);
    let text = manifest.to_string();
    assert!(text.contains("registry.example/web:1"), "{manifest:#}");
    assert!(
        text.contains("${resources.greeting.outputs.text}"),
        "{manifest:#}"
    );
}

fn what_the_caller_sets_and_drops_is_applied(place: &Place) {
    with_catalogue(place);
    place.write("one.yaml", greeting("hello"));
    place.write(
        "api.yaml",
        "workloads:\n  api:\n    resources:\n      note: {type: note, params: {text: api}}\n",
    );
    place.ok(place.deploy("dev", "one.yaml"));
    let mut arguments = place.deploy("dev", "api.yaml");
    arguments.extend(
        [
            "--merge",
            "--set",
            "workloads.web.resources.greeting.params.text=set",
        ]
        .map(str::to_owned),
    );
    place.ok(arguments);
    let manifest = place.json(["get", "manifest", "shop", "dev", "-o", "json"]);
    assert_eq!(
        manifest["workloads"]["web"]["resources"]["greeting"]["params"]["text"],
        "set"
    );
    assert!(manifest["workloads"]["api"].is_object(), "{manifest:#}");
    let mut arguments = place.deploy("dev", "deployment://HEAD");
    arguments.extend(["--drop-workload", "web"].map(str::to_owned));
    place.ok(arguments);
    let manifest = place.json(["get", "manifest", "shop", "dev", "-o", "json"]);
    assert_eq!(
        manifest["workloads"].as_object().map(|all| all.len()),
        Some(1),
        "{manifest:#}"
    );
    assert_eq!(
        place.resources("dev"),
        ["note"],
        "the dropped resource is gone"
    );
}

fn outputs_that_a_module_computes_survive_every_character(place: &Place) {
    with_catalogue(place);
    // What HCL, YAML, JSON and a shell read specially, and more than one line.
    let awkward =
        "a \"b\" 'c' \\ ${d} %{ if true } $${e} \n\ttab é 漢 \u{1f600} #{f} `g` {{h}} <i>&";
    let manifest = serde_json::json!({
        "workloads": {"web": {
            "resources": {"greeting": {"type": "note", "params": {"text": awkward.replace("${", "$\\{")}}},
            "outputs": {"GREETING": "${resources.greeting.outputs.text}"},
        }},
    });
    place.write("one.json", manifest.to_string());
    let mut arguments = place.deploy("dev", "one.json");
    arguments.extend(["--result", "-", "-o", "json"].map(str::to_owned));
    let outputs = place.json(arguments);
    assert_eq!(outputs["web"]["GREETING"], awkward);
}
