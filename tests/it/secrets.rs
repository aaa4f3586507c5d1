//! A planted secret is in the state of the engine and nowhere else. A control run with sealing switched off finds it, so
//! the search itself is known to work.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::support::{Launcher, Place, by_both_launchers, docker, processes, wait_until, walk};

by_both_launchers! {
    a_secret_is_in_the_state_and_nowhere_else
    without_sealing_the_search_finds_it
}

/// Computes a value that stands nowhere in what the user gave, prints it, gives it back, and stands at a gate while the
/// test looks at containers and processes; then ends as its param says.
const CATALOGUE: &str = r#"
kind: environment-type
id: development
---
kind: project
id: shop
---
kind: environment
project_id: shop
id: dev
env_type_id: development
---
kind: resource-type
id: secret
output_schema: {type: object, properties: {value: {type: string}}}
---
kind: module
id: secret
resource_type: secret
module_source: inline
module_params: {status: {type: string}}
module_source_code: |
  variable "status" {
    type = string
  }
  locals {
    secret = sha256("windlass")
  }
  resource "terraform_data" "kept" {
    input = local.secret
  }
  resource "terraform_data" "printed" {
    triggers_replace = [terraform_data.kept.output, var.status]
    provisioner "local-exec" {
      command = "echo printed $SECRET; touch state/gate.waiting; n=0; until [ -e state/gate.go ] || [ $n -gt 6000 ]; do n=$((n+1)); sleep 0.02; done; rm -f state/gate.*; exit $STATUS"
      environment = {
        SECRET = local.secret
        STATUS = var.status
      }
    }
  }
  output "value" {
    value = terraform_data.kept.output
  }
---
kind: module-rule
module_id: secret
"#;

/// What the module computes.
fn secret() -> String {
    Sha256::digest(b"windlass")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The secret as it stands, and as base64 of a longer text shows it at each of three offsets.
fn forms() -> Vec<String> {
    let secret = secret();
    let mut forms = vec![secret.clone()];
    for offset in 0..3 {
        let text = format!("{}{secret}", " ".repeat(offset));
        let encoded = STANDARD_NO_PAD.encode(text);
        // The first and last groups also depend on the neighbours.
        forms.push(encoded[4..encoded.len() - 4].to_owned());
    }
    forms
}

fn holds_secret(bytes: &[u8]) -> bool {
    forms().iter().any(|form| {
        bytes
            .windows(form.len())
            .any(|window| window == form.as_bytes())
    })
}

/// Everything below a directory that holds the secret.
fn found_below(folder: &Path) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| holds_secret(&fs::read(path).unwrap_or_default());
    walk(folder).into_iter().filter(holds).collect()
}

/// Every place outside the state directory that holds the secret now.
fn found(place: &Place) -> Vec<String> {
    let state = place.data().join("state");
    let files = found_below(&place.data())
        .into_iter()
        .filter(|path| !path.starts_with(&state));
    let mut found: Vec<String> = files.map(|path| path.display().to_string()).collect();
    for (pid, line) in processes() {
        if holds_secret(line.join(" ").as_bytes()) {
            found.push(format!("command line of process {pid}"));
        }
    }
    if place.launcher() == Launcher::Docker {
        for container in place.containers() {
            for what in ["logs", "inspect", "diff", "top"] {
                if holds_secret(docker(&[what, &container]).as_bytes()) {
                    found.push(format!("docker {what} {container}"));
                }
            }
            let mounts = docker(&[
                "inspect",
                "--format",
                "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Source}}\n{{end}}{{end}}",
                &container,
            ]);
            for source in mounts.lines().filter(|line| line.starts_with('/')) {
                assert!(
                    fs::read_dir(source).is_ok(),
                    "the search needs to read the volume {source}: run it as root"
                );
                found.extend(
                    found_below(Path::new(source))
                        .into_iter()
                        .map(|path| path.display().to_string()),
                );
            }
        }
    }
    found
}

/// Deploys the secret and returns what was found while the module ran and after its end.
fn search(place: &Place, status: &str) -> Vec<String> {
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write(
        "secret.yaml",
        format!(
            "workloads:\n  web:\n    resources:\n      secret: {{type: secret, params: {{status: \"{status}\"}}}}\n    outputs:\n      VALUE: ${{resources.secret.outputs.value}}\n"
        ),
    );
    let mut client = place.start(place.deploy("dev", "secret.yaml"));
    place.wait_at_gate("gate", &mut client);
    let mut found_now = found(place);
    place.open_gate("gate");
    let done = client.wait();
    assert_eq!(done.code, Some(i32::from(status != "0")), "{done}");
    wait_until("the worker has nothing left to do", || {
        let id = place.newest("dev");
        place.deployment(&id)["status"] != "executing"
    });
    found_now.extend(found(place));
    assert!(
        !found_below(&place.data().join("state")).is_empty(),
        "the state does hold it"
    );
    found_now
}

fn a_secret_is_in_the_state_and_nowhere_else(place: &Place) {
    assert_eq!(search(place, "0"), Vec::<String>::new(), "after success");
    let outputs = place.json(["get", "outputs", "shop", "dev", "-o", "json"]);
    assert_eq!(
        outputs["web"]["VALUE"],
        secret(),
        "the requester can read it"
    );
    let log = place.ok(["logs", &place.newest("dev")]);
    assert!(
        log.stdout.contains(&secret()),
        "and so it stands in the log\n{log}"
    );

    assert_eq!(search(place, "3"), Vec::<String>::new(), "after failure");
    let log = place.ok(["logs", &place.newest("dev")]);
    assert!(
        log.stdout.contains(&secret()),
        "a failed run's log is kept as well\n{log}"
    );
}

fn without_sealing_the_search_finds_it(place: &Place) {
    let place = place.with_variable("WINDLASS_TEST_UNSEALED", "1");
    let found = search(place, "0");
    assert!(
        found
            .iter()
            .any(|place| place.contains("windlass.db") || place.contains("blobs")),
        "{found:?}"
    );
}
