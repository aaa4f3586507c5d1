//! How long a phase may take: said by the settings, by a runner, or for one deployment; the nearest one counts.

use crate::support::{CATALOGUE, Engine, Launcher, Place};

const RUNNERS: &str = "---\nkind: runner\nid: quick\nrunner_configuration: {type: process, deadlines: {apply: 2}}\nstate_storage_configuration: {type: local}\n";
const GATED: &str =
    "workloads:\n  web:\n    resources:\n      gate: {type: gate, params: {name: never}}\n";

fn furnished() -> Place {
    let place = Place::new(Launcher::Process, Engine::OpenTofu);
    place.write("catalogue/all.yaml", format!("{CATALOGUE}{RUNNERS}"));
    place.ok(["apply", "-f", "catalogue"]);
    place.write("gated.yaml", GATED);
    place
}

fn deploy<'a>(runner: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = [
        "deploy",
        "shop",
        "dev",
        "gated.yaml",
        "--no-prompt",
        "--runner",
        runner,
    ];
    words.into_iter().chain(more.iter().copied()).collect()
}

#[test]
#[ignore = "needs opentofu"]
fn the_nearest_word_counts() {
    let place = furnished();
    place.settings(&format!(
        "engines:\n  opentofu: {}\ndeadlines: {{apply: 1}}\n",
        Engine::OpenTofu.binary().display()
    ));
    for (runner, more, secs) in [
        ("process", vec![], 1),
        ("quick", vec![], 2),
        (
            "quick",
            vec!["--deadline", "apply=1h", "--deadline", "apply=3s"],
            3,
        ),
        ("quick", vec![], 2),
    ] {
        let words = format!("`apply` took longer than the {secs} s it is allowed and was stopped");
        place.refused(deploy(runner, &more)).says(&[&words]);
        let record = place.deployment(&place.newest("dev"));
        assert_eq!(record["windlass"]["failure_class"], "timeout", "{record:#}");
    }
}

#[test]
fn what_is_no_deadline_is_refused_with_its_place() {
    let place = Place::without_engine();
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write("gated.yaml", GATED);
    let runner = |deadlines: &str| {
        place.write(
            "runner.yaml",
            format!("kind: runner\nid: slow\nrunner_configuration: {{type: process, deadlines: {deadlines}}}\nstate_storage_configuration: {{type: local}}\n"),
        );
        place.refused(["apply", "-f", "runner.yaml"])
    };
    runner("{apply: 0, grace: 604801}").says(&["deadlines/apply", "deadlines/grace", "604800"]);
    runner("{aply: 5}").says(&["aply", "apply"]);
    runner("{apply: -1}").says(&["runner.yaml"]);
    runner("{apply: soon}").says(&["runner.yaml"]);
    place
        .refused(deploy("process", &["--deadline", "aply=3s"]))
        .says(&["`aply` is no phase", "apply"]);
    assert_eq!(place.deployments("dev"), Vec::<serde_json::Value>::new());
}
