//! What was deployed can be gone back to and destroyed after its module, rule and provider have left the catalogue: by a
//! real engine and a real provider, from what the deployments themselves keep.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{Engine, Launcher, Place, kill, mirror};

mod by_process {
    use crate::support::{Engine, Launcher};

    #[test]
    #[ignore = "needs opentofu"]
    fn opentofu() {
        super::what_has_left_the_catalogue_is_gone_back_to_and_destroyed(
            Launcher::Process,
            Engine::OpenTofu,
        );
    }

    #[test]
    #[ignore = "needs terraform"]
    fn terraform() {
        super::what_has_left_the_catalogue_is_gone_back_to_and_destroyed(
            Launcher::Process,
            Engine::Terraform,
        );
    }
}

mod by_docker {
    use crate::support::{Engine, Launcher};

    #[test]
    #[ignore = "needs docker and opentofu"]
    fn opentofu() {
        super::what_has_left_the_catalogue_is_gone_back_to_and_destroyed(
            Launcher::Docker,
            Engine::OpenTofu,
        );
    }
}

/// A resource type whose module makes a file through a provider of the catalogue, and one that needs no provider.
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
kind: provider
provider_type: local
id: main
source: hashicorp/local
version_constraint: ">= 1.0"
configuration: {}
---
kind: resource-type
id: file
output_schema: {type: object, properties: {name: {type: string}}}
---
kind: module
id: file
resource_type: file
module_source: ./file
module_params: {name: {type: string}, text: {type: string}}
provider_mapping: {local: local.main}
---
kind: module-rule
module_id: file
---
kind: resource-type
id: note
output_schema: {type: object, properties: {text: {type: string}}}
---
kind: module
id: note
resource_type: note
module_source: inline
module_params: {text: {type: string}}
module_source_code: |
  variable "text" {
    type = string
  }
  resource "terraform_data" "this" {
    input = var.text
  }
  output "text" {
    value = terraform_data.this.output
  }
---
kind: module-rule
module_id: note
"#;

const CODE: &str = r#"terraform {
  required_providers {
    local = {
      source = "hashicorp/local"
    }
  }
}
variable "name" {
  type = string
}
variable "text" {
  type = string
}
resource "local_file" "this" {
  filename = var.name
  content  = var.text
}
output "name" {
  value = local_file.this.filename
}
"#;

fn with_file(name: &str, text: &str) -> String {
    format!(
        "workloads:\n  web:\n    resources:\n      proof:\n        type: file\n        params: {{name: '{name}', text: {text}}}\n    outputs:\n      NAME: ${{resources.proof.outputs.name}}\n"
    )
}

const WITHOUT: &str = "workloads:\n  web:\n    resources:\n      greeting:\n        type: note\n        params: {text: hello}\n";

/// Ids of everything of a kind.
fn listed(place: &Place, plural: &str, key: &str) -> Vec<String> {
    let all = place.json(["get", plural, "-o", "json"]);
    all.as_array()
        .expect("a list")
        .iter()
        .map(|one| one[key].as_str().expect("an id").to_owned())
        .collect()
}

/// Takes the module of the file, its rule, its provider and its type out of the catalogue, as a platform team does.
fn leave(place: &Place) {
    let rules = place.json(["get", "module-rules", "-o", "json"]);
    for rule in rules.as_array().expect("rules") {
        if rule["module_id"] == "file" {
            let id = rule["id"].as_str().expect("an id");
            place.ok(["delete", "module-rule", id]);
        }
    }
    place.ok(["delete", "module", "file"]);
    place.ok(["delete", "provider", "local", "main"]);
    place.ok(["delete", "resource-type", "file"]);
    assert_eq!(listed(place, "modules", "id"), ["note"]);
    assert!(listed(place, "providers", "id").is_empty());
}

/// Has the engine show, after each destroy, what is left in the state.
fn watched(place: &Place) {
    let engine = place.engine();
    let script = place.work().join("engine");
    let text = format!(
        "#!/bin/sh\n{real} \"$@\"\ncode=$?\nif [ \"$1\" = destroy ]; then\n  cp state/terraform.tfstate \"$0.state\"\n  {real} show -json > \"$0.shown\"\nfi\nexit $code\n",
        real = engine.binary().display()
    );
    fs::write(&script, text).expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it may run");
    place.settings(&format!(
        "engines:\n  {}: {}\nmirror: {}\nallow_downloads: false\n",
        engine.name(),
        script.display(),
        mirror().display()
    ));
}

fn what_has_left_the_catalogue_is_gone_back_to_and_destroyed(launcher: Launcher, engine: Engine) {
    let place = Place::new(launcher, engine);
    let name = match launcher {
        Launcher::Process => {
            watched(&place);
            place.work().join("proof").display().to_string()
        }
        // The one directory that a container shares with this host.
        Launcher::Docker => "state/proof".to_owned(),
    };
    let proof = || match launcher {
        Launcher::Process => fs::read_to_string(&name).ok(),
        Launcher::Docker => place
            .states()
            .first()
            .and_then(|state| fs::read_to_string(state.join("proof")).ok()),
    };
    place.write("catalogue/all.yaml", CATALOGUE);
    place.write("catalogue/file/main.tf", CODE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write("one.yaml", with_file(&name, "first"));
    place.write("two.yaml", WITHOUT);
    place.ok(place.deploy("dev", "one.yaml"));
    let first = place.newest("dev");
    assert_eq!(proof().as_deref(), Some("first"));
    place.ok(place.deploy("dev", "two.yaml"));
    assert_eq!(proof(), None);

    leave(&place);
    place.write("three.yaml", with_file(&name, "third"));
    place
        .refused(place.deploy("dev", "three.yaml"))
        .says(&["file"]);

    let back = [
        "rollback",
        "shop",
        "dev",
        &first,
        "--no-prompt",
        "--runner",
        launcher.runner(),
    ];
    place.ok(back);
    assert_eq!(proof().as_deref(), Some("first"));
    assert_eq!(place.resources("dev"), ["file"]);
    // Once more, where everything has to be found again by another worker.
    place.workers().into_iter().for_each(kill);
    place.ok(back);
    assert_eq!(
        place.deployment(&place.newest("dev"))["windlass"]["outcome"],
        "unchanged"
    );

    let destroy = place.ok(["delete", "environment", "shop", "dev", "--no-prompt"]);
    assert_eq!(proof(), None, "{destroy}");
    let gone = place.json(["get", "environments", "shop", "-o", "json"]);
    assert_eq!(gone, Value::Array(Vec::new()));
    assert!(place.states().is_empty(), "nothing of the state is left");
    if launcher == Launcher::Process {
        let read = |end: &str| -> Value {
            let text = fs::read(place.work().join(format!("engine.{end}"))).expect("it was kept");
            serde_json::from_slice(&text).expect("JSON")
        };
        assert_eq!(read("state")["resources"], Value::Array(Vec::new()));
        assert!(
            read("shown")["values"].is_null(),
            "the engine shows nothing"
        );
    }
}
