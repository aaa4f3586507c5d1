//! The command line as people and scripts meet it: words, streams, exit codes. Nothing here needs an engine.

use std::process::Stdio;

use serde_json::json;

use crate::support::{CATALOGUE, Place, with_input};

fn with_catalogue() -> Place {
    let place = Place::without_engine();
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place
}

#[test]
fn without_arguments_and_on_mistakes_it_says_how_and_exits_with_1() {
    let place = Place::without_engine();
    let nothing: [&str; 0] = [];
    place
        .refused(nothing)
        .says(&["Usage: windlass", "deploy", "apply", "demo"]);
    place.refused(["deploi"]).says(&["deploi", "deploy"]);
    place
        .refused(["deploy", "shop"])
        .says(&["<MANIFEST>", "Usage"]);
    place
        .refused(["get", "projects", "-o", "xml"])
        .says(&["xml", "json"]);
    let help = place.ok(["help"]);
    assert!(help.stdout.contains("Exit codes"), "{help}");
    assert!(help.stderr.is_empty(), "{help}");
    let version = place.ok(["--version"]);
    assert!(version.stdout.starts_with("windlass "), "{version}");
}

#[test]
fn help_of_create_lists_the_fields() {
    let help = Place::without_engine().ok(["create", "module", "--help"]);
    for words in ["module_source", "coprovisioned", "required", "--set-yaml"] {
        assert!(help.stdout.contains(words), "{help}");
    }
}

#[test]
fn applying_twice_changes_nothing_and_what_was_altered_is_named_and_repaired() {
    let place = with_catalogue();
    let again = place.ok(["apply", "-f", "catalogue"]);
    again.says(&["Nothing changed"]);
    assert_eq!(again.stdout, "", "{again}");

    place.ok(["update", "project", "shop", "--set", "display_name=By hand"]);
    let dry = place.ok(["apply", "-f", "catalogue", "--dry-run"]);
    let line = "~ project shop: display_name: \"By hand\" → \"shop\"\n";
    assert_eq!(dry.stdout, line, "{dry}");
    assert_eq!(place.ok(["apply", "-f", "catalogue"]).stdout, line);
    place
        .ok(["apply", "-f", "catalogue"])
        .says(&["Nothing changed"]);
    let project = place.json(["get", "project", "shop", "-o", "json"]);
    assert_eq!(project["display_name"], "shop");
}

#[test]
fn a_rule_that_picks_another_module_takes_the_place_of_the_old_one() {
    let place = with_catalogue();
    place.write(
        "more/all.yaml",
        "kind: module\nid: note-two\nresource_type: note\nmodule_source: inline\nmodule_source_code: \"\"\n---\nkind: module-rule\nmodule_id: note-two\n",
    );
    let done = place.ok(["apply", "-f", "more"]);
    assert!(
        done.stdout
            .contains("~ module-rule note-two: module_id: \"note\" → \"note-two\""),
        "{done}"
    );
    let rules = place.json(["get", "rules", "--type", "note", "-o", "json"]);
    assert_eq!(rules.as_array().map(Vec::len), Some(1), "{rules:#}");
    assert_eq!(rules[0]["module_id"], "note-two");
}

#[test]
fn pruning_removes_what_the_same_owner_no_longer_describes_and_nothing_else() {
    let place = with_catalogue();
    place.write(
        "team/a.yaml",
        "kind: project\nid: aa\n---\nkind: project\nid: bb\n",
    );
    place.ok(["apply", "-f", "team", "--owner", "team"]);
    place.write("team/a.yaml", "kind: project\nid: aa\n");
    place
        .refused(["apply", "-f", "team", "--prune"])
        .says(&["--owner"]);
    let dry = place.ok([
        "apply",
        "-f",
        "team",
        "--owner",
        "team",
        "--prune",
        "--dry-run",
    ]);
    assert_eq!(dry.stdout, "- project bb\n", "{dry}");
    place.ok(["apply", "-f", "team", "--owner", "team", "--prune"]);
    let ids: Vec<_> = place
        .json(["get", "projects", "-o", "json"])
        .as_array()
        .expect("a list")
        .iter()
        .map(|project| project["id"].clone())
        .collect();
    assert_eq!(json!(ids), json!(["aa", "shop"]));
}

#[test]
fn a_module_directory_is_sent_once_and_again_when_it_changes() {
    let place = with_catalogue();
    place.write(
        "dirs/all.yaml",
        "kind: module\nid: mine\nresource_type: note\nmodule_source: ./code\n",
    );
    place.write("dirs/code/main.tf", "output \"text\" {\n  value = 1\n}\n");
    place.ok(["apply", "-f", "dirs"]);
    let source = |place: &Place| {
        let module = place.json(["get", "module", "mine", "-o", "json"]);
        module["module_source"]
            .as_str()
            .expect("a source")
            .to_owned()
    };
    let first = source(&place);
    assert!(first.starts_with("dir::sha256:"), "{first}");
    place.ok(["apply", "-f", "dirs"]).says(&["Nothing changed"]);
    place.write("dirs/code/main.tf", "output \"text\" {\n  value = 2\n}\n");
    let done = place.ok(["apply", "-f", "dirs"]);
    assert!(
        done.stdout.contains("~ module mine: module_source"),
        "{done}"
    );
    assert_ne!(source(&place), first);
}

#[test]
fn what_the_server_refuses_is_told_at_its_place_in_the_file() {
    let place = with_catalogue();
    place.write(
        "bad/all.yaml",
        "kind: project\nid: good\n---\nkind: project\nid: BAD\n---\nkind: module\nid: unparsable\nresource_type: note\nmodule_source: inline\nmodule_source_code: \"resource {\"\n",
    );
    let before = place.table_counts();
    for dry in [
        &["apply", "-f", "bad", "--dry-run"][..],
        &["apply", "-f", "bad"],
    ] {
        place
            .refused(dry)
            .says(&["all.yaml:5", "all.yaml:11", "nothing was changed"]);
        assert_eq!(
            place.table_counts(),
            before,
            "not even the good one is kept"
        );
    }
}

#[test]
fn catalogue_from_standard_input_works_like_a_file() {
    let place = Place::without_engine();
    let done = with_input(
        place.command(["apply", "-f", "-"]),
        b"kind: project\nid: shop\n",
    );
    assert_eq!(done.code, Some(0), "{done}");
    assert_eq!(done.stdout, "+ project shop\n");
}

#[test]
fn create_get_update_and_delete_speak_the_words_of_the_field() {
    let place = Place::without_engine();
    let done = place.ok([
        "create",
        "project",
        "shop",
        "--set",
        "display_name=Web Shop",
        "-o",
        "json",
    ]);
    done.says(&["Project shop created in organization default."]);
    assert!(done.stdout.starts_with("{\n  \"id\": \"shop\""), "{done}");
    place
        .refused(["create", "project", "shop"])
        .says(&["conflict: project already exists"]);
    place
        .refused(["create", "env", "shop", "dev", "--set", "env_type_id=none"])
        .says(&[
            "environment type not found",
            "windlass get environment-types",
        ]);
    place
        .refused(["create", "project", "other", "--set", "nam=x"])
        .says(&["failed to map input fields: json: unknown field \"nam\""]);
    let table = place.ok(["get", "projects"]);
    assert!(table.stdout.starts_with("Id    DisplayName"), "{table}");
    let empty = place.ok(["get", "modules"]);
    assert!(
        empty.stdout.starts_with("Id"),
        "an empty table has its header\n{empty}"
    );
    assert_eq!(place.ok(["get", "modules", "-o", "json"]).stdout, "[]\n");
    assert_eq!(place.ok(["get", "modules", "-o", "yaml"]).stdout, "[]\n");
    place
        .refused(["get", "project", "nope"])
        .says(&["Project 'nope' not found in org 'default'"]);
    place
        .ok(["delete", "project", "shop"])
        .says(&["Project shop deleted"]);
    place
        .refused(["delete", "project", "shop"])
        .says(&["not found"]);
}

#[test]
fn a_question_without_a_terminal_is_an_error_that_names_the_flag() {
    let place = with_catalogue();
    place.write("good.yaml", "workloads: {}\n");
    place
        .refused(["deploy", "shop", "dev", "good.yaml"])
        .says(&["no terminal", "--no-prompt"]);
    place
        .refused(["delete", "env", "shop", "dev"])
        .says(&["no terminal", "--no-prompt"]);
    place
        .refused([
            "create",
            "module-rule",
            "--set",
            "module_id=note",
            "--set",
            "project_id=nowhere",
        ])
        .says(&["no terminal", "--no-prompt"]);
    assert_eq!(place.deployments("dev"), Vec::<serde_json::Value>::new());
}

#[test]
fn settings_are_kept_private_and_the_token_is_masked() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::without_engine();
    let with = |words: &[&str]| {
        let mut command = place.command(words);
        let file = place.work().join("conf/config.yaml");
        command.env("WINDLASS_CONFIG_FILE", &file);
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    with(&["config", "set-token", "SU-0123456789abcdef"]);
    with(&["config", "set-org", "acme"]);
    let shown = with(&["config", "show"]);
    assert!(shown.contains("default_org_id: acme"), "{shown}");
    assert!(
        shown.contains("SU-0…") && !shown.contains("0123456789"),
        "{shown}"
    );
    let mode = std::fs::metadata(place.work().join("conf/config.yaml"))
        .expect("written")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_fields_variables_are_read_and_ours_win() {
    let place = Place::without_engine();
    place.with_variable("PO_ORG_ID", "theirs");
    let shown = place.json(["config", "show", "-o", "json"]);
    assert_eq!(shown["default_org_id"], "theirs");
    place.with_variable("WINDLASS_ORG", "ours");
    assert_eq!(
        place.json(["config", "show", "-o", "json"])["default_org_id"],
        "ours"
    );
    assert_eq!(
        place.json(["--org", "flag", "config", "show", "-o", "json"])["default_org_id"],
        "flag"
    );
    place.with_variable("PO_API_URL", "https://elsewhere.example/");
    place
        .refused(["get", "projects"])
        .says(&["https://elsewhere.example", "set-url local"]);
}

#[test]
fn a_reader_that_goes_away_is_a_normal_end() {
    let place = Place::without_engine();
    let mut child = place
        .command(["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stderr, b"", "{output:?}");
}

#[test]
fn a_typo_in_a_manifest_is_shown_under_its_line() {
    let place = with_catalogue();
    place.write(
        "typo.yaml",
        "workloads:\n  web:\n    resources:\n      greeting:\n        type: note\n        parms: {text: hello}\n",
    );
    let done = place.refused(["deploy", "shop", "dev", "typo.yaml", "--dry-run"]);
    done.says(&[
        "typo.yaml:6:9",
        "        parms: {text: hello}",
        "^^^^^",
        "`params`",
    ]);
    assert!(
        !done.stderr.contains('\u{1b}'),
        "no colour without a terminal\n{done}"
    );
}

#[test]
fn what_a_flag_brought_is_shown_as_the_flag() {
    let place = with_catalogue();
    place.write("good.yaml", "workloads:\n  web: {}\n");
    place
        .refused([
            "deploy",
            "shop",
            "dev",
            "good.yaml",
            "--dry-run",
            "--set",
            "workloads.web.resources.r.type=nope",
        ])
        .says(&[
            "command line",
            "--set workloads.web.resources.r.type=nope",
            "^^^^",
        ]);
    place
        .refused([
            "deploy",
            "shop",
            "dev",
            "good.yaml",
            "--dry-run",
            "--drop-workload",
            "wbe",
        ])
        .says(&["--drop-workload wbe", "web"]);
}
