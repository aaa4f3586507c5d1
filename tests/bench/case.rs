//! What both sides deploy: N resources of one module, each with two inputs, one thing of a provider and two outputs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Which provider the module uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    /// The one inside the engine: costs nothing to start, so everything else shows.
    BuiltIn,
    /// One of 600 MB: hashing it is what shows.
    Large,
    /// The built-in one, and a command that prints what time it is: for the way of a log line.
    Clock,
}

/// A manifest of this many resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) nodes: usize,
    pub(crate) provider: Provider,
}

/// Files by path: what the engine gets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bundle(BTreeMap<String, String>);

impl Case {
    /// In words, for rows.
    pub(crate) fn name(self) -> String {
        match self.provider {
            Provider::BuiltIn | Provider::Clock => format!("N={}", self.nodes),
            Provider::Large => format!("N={}, 600 MB provider", self.nodes),
        }
    }

    /// The code of the module.
    fn code(self) -> &'static str {
        match self.provider {
            Provider::BuiltIn => {
                r#"variable "text" {
  type = string
}
variable "size" {
  type = number
}
resource "terraform_data" "this" {
  input = "${var.text} ${var.size}"
}
output "text" {
  value = terraform_data.this.output
}
output "size" {
  value = var.size
}
"#
            }
            Provider::Large => {
                r#"terraform {
  required_providers {
    time = {
      source = "hashicorp/time"
    }
  }
}
variable "text" {
  type = string
}
variable "size" {
  type = number
}
resource "time_static" "this" {
  triggers = {
    text = var.text
  }
}
output "text" {
  value = time_static.this.triggers.text
}
output "size" {
  value = var.size
}
"#
            }
            Provider::Clock => {
                r#"variable "text" {
  type = string
}
variable "size" {
  type = number
}
resource "terraform_data" "this" {
  input = var.text
  provisioner "local-exec" {
    command = "n=0; while [ $n -lt 20 ]; do read now rest < /proc/uptime; echo clock $now end; n=$((n+1)); sleep 0.07; done"
  }
}
output "text" {
  value = terraform_data.this.output
}
output "size" {
  value = var.size
}
"#
            }
        }
    }

    /// Everything that must exist before a deployment; `cold` is a runner that never has a container stand by.
    pub(crate) fn catalogue(self) -> String {
        let mut text = String::from(
            "kind: environment-type
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
kind: runner
id: cold
runner_configuration: {type: docker, standby_secs: 0}
state_storage_configuration: {type: local}
---
kind: resource-type
id: item
output_schema: {type: object, properties: {text: {type: string}, size: {type: number}}}
---
kind: module-rule
module_id: item
---
",
        );
        if self.provider == Provider::Large {
            text.push_str(
                "kind: provider\nprovider_type: time\nid: default\nsource: hashicorp/time\nversion_constraint: \">= 0.1\"\n---\n",
            );
        }
        text.push_str(
            "kind: module
id: item
resource_type: item
module_source: inline
module_params: {text: {type: string}, size: {type: number}}
",
        );
        if self.provider == Provider::Large {
            text.push_str("provider_mapping: {time: time.default}\n");
        }
        text.push_str("module_source_code: |\n");
        for line in self.code().lines() {
            let _ = writeln!(text, "  {line}");
        }
        text
    }

    /// The manifest; the first resource has `text`, so that another text is one change.
    pub(crate) fn manifest(self, text: &str) -> String {
        let mut manifest = String::from("workloads:\n  web:\n    resources:\n");
        for number in 0..self.nodes {
            let text = if number == 0 { text } else { "steady" };
            let _ = writeln!(
                manifest,
                "      r{number}: {{type: item, params: {{text: {text}, size: {number}}}}}"
            );
        }
        manifest.push_str("    outputs:\n");
        for number in 0..self.nodes {
            let _ = writeln!(
                manifest,
                "      R{number}: ${{resources.r{number}.outputs.text}}"
            );
        }
        manifest
    }

    /// The bundle of which this is the `main.tf`: with the module where it is looked for.
    pub(crate) fn bundle(self, main: String) -> Result<Bundle, String> {
        let directory = main
            .split("source = \"./")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .filter(|path| path.starts_with("modules/"))
            .ok_or("the HCL names no module below ./modules")?;
        let module = format!("{directory}/main.tf");
        Ok(Bundle(BTreeMap::from([
            (module, self.code().to_owned()),
            ("main.tf".to_owned(), main),
        ])))
    }
}

impl Bundle {
    pub(crate) fn write(&self, target: &Path) -> std::io::Result<()> {
        for (path, content) in &self.0 {
            let path = target.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, content)?;
        }
        Ok(())
    }
}

/// Fails unless the state holds the resources of the case and the text: a quick failure must not win.
pub(crate) fn check_state(path: &Path, case: Case, text: &str) -> Result<(), String> {
    let state = fs::read_to_string(path)
        .map_err(|error| format!("no state at `{}`: {error}", path.display()))?;
    let value: serde_json::Value =
        serde_json::from_str(&state).map_err(|error| format!("the state is not whole: {error}"))?;
    let found = value["resources"].as_array().map_or(0, Vec::len);
    if found != case.nodes {
        return Err(format!(
            "the state holds {found} resources instead of {}",
            case.nodes
        ));
    }
    if !state.contains(text) {
        return Err(format!("the state does not hold `{text}`"));
    }
    Ok(())
}
