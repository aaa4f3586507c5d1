//! What a module's code says about itself: variables, outputs, providers.

use std::collections::{BTreeMap, BTreeSet};

use hcl::expr::ObjectKey;
use hcl::{Body, Expression};

use super::shape::Shape;
use crate::model::diag::Document;
use crate::model::{Diagnostic, Place};

/// What can be known of a module without running it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModuleFacts {
    /// Variables: whether a value must be given.
    pub(crate) variables: BTreeMap<String, bool>,
    /// Variables whose type says which fields of an object they take.
    pub(crate) types: BTreeMap<String, Shape>,
    /// Names of outputs.
    pub(crate) outputs: BTreeSet<String>,
    /// Providers that it names in `required_providers`: local name to source, where given.
    pub(crate) providers: BTreeMap<String, Option<String>>,
    /// Whether it runs programs on the runner (`local-exec`), which needs a shell there.
    pub(crate) runs_programs: bool,
}

/// Reads one file of code.
pub(crate) fn check_module(code: &str) -> Result<ModuleFacts, Diagnostic> {
    let files = BTreeMap::from([("main.tf".to_owned(), code.as_bytes().to_vec())]);
    match check_module_files(&files) {
        Ok(facts) => Ok(facts.unwrap_or_default()),
        Err(mut problems) => Err(problems.swap_remove(0)),
    }
}

/// Reads the code of a module directory: its `*.tf` files, not those of folders below. `None` where
/// some of the code is in a form that is not read here (`*.tf.json`, `*.tofu`), so nothing can be
/// concluded from what is missing.
pub(crate) fn check_module_files(
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<Option<ModuleFacts>, Vec<Diagnostic>> {
    let mut facts = ModuleFacts::default();
    let mut problems = Vec::new();
    let mut is_whole = true;
    for (path, content) in files {
        if path.contains('/') {
            continue;
        }
        if path.ends_with(".tf.json") || path.ends_with(".tofu") || path.ends_with(".tofu.json") {
            is_whole = false;
        }
        if !path.ends_with(".tf") {
            continue;
        }
        let Ok(code) = std::str::from_utf8(content) else {
            problems.push(refuse(path, None, "it is not UTF-8"));
            continue;
        };
        match hcl::parse(code) {
            Ok(body) => facts.read(&body),
            Err(hcl::Error::Parse(error)) => {
                let at = error.location();
                problems.push(refuse(
                    path,
                    Some((at.line(), at.column())),
                    error.message(),
                ));
            }
            Err(error) => problems.push(refuse(path, None, &error.to_string())),
        }
    }
    if problems.is_empty() {
        Ok(is_whole.then_some(facts))
    } else {
        Err(problems)
    }
}

fn refuse(path: &str, at: Option<(usize, usize)>, why: &str) -> Diagnostic {
    let mut place = Place::at(
        Document::File {
            name: path.to_owned(),
        },
        "",
    );
    place.file = Some(path.to_owned());
    (place.line, place.column) = (at.map(|at| at.0), at.map(|at| at.1));
    let line = at.map_or_else(String::new, |at| format!(" in line {}", at.0));
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    Diagnostic::error(
        "Module code not readable",
        format!("`{path}` is no valid HCL{line}: {why}."),
        place,
    )
}

impl ModuleFacts {
    fn read(&mut self, body: &Body) {
        for block in body.blocks() {
            let label = block.labels().first().map(hcl::BlockLabel::as_str);
            match (block.identifier(), label) {
                ("variable", Some(name)) => {
                    let has_default = block.body().attributes().any(|a| a.key() == "default");
                    self.variables.insert(name.to_owned(), !has_default);
                    let types = block.body().attributes().filter(|a| a.key() == "type");
                    self.types.extend(
                        types
                            .map(|a| (name.to_owned(), Shape::of(a.expr())))
                            .filter(|(_, shape)| *shape != Shape::Open),
                    );
                }
                ("output", Some(name)) => {
                    self.outputs.insert(name.to_owned());
                }
                ("terraform", None) => {
                    for inner in block.body().blocks() {
                        if inner.identifier() == "required_providers" {
                            self.required(inner.body());
                        }
                    }
                }
                ("resource", Some(_)) => {
                    self.runs_programs |= block.body().blocks().any(|inner| {
                        inner.identifier() == "provisioner"
                            && inner.labels().first().map(hcl::BlockLabel::as_str)
                                == Some("local-exec")
                    });
                }
                _ => {}
            }
        }
    }

    fn required(&mut self, body: &Body) {
        for attribute in body.attributes() {
            let source = match attribute.expr() {
                Expression::Object(object) => object.iter().find_map(|(key, value)| {
                    let is_source = match key {
                        ObjectKey::Identifier(name) => name.as_str() == "source",
                        ObjectKey::Expression(Expression::String(name)) => name == "source",
                        _ => false,
                    };
                    match value {
                        Expression::String(text) if is_source => Some(text.clone()),
                        _ => None,
                    }
                }),
                _ => None,
            };
            self.providers.insert(attribute.key().to_owned(), source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_nests_without_end_is_refused_and_long_lines_are_not() {
        let read = |code: String| {
            // A stack like that of a thread that serves requests.
            let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
            let read = thread.spawn(move || check_module(&code).map_err(|refused| refused.detail));
            read.expect("a thread").join().expect("no panic")
        };
        for piece in ["(", "[", "!", "-", "{a=", "x ? x : ", "\"%{if x}"] {
            let inner = piece.repeat(50_000);
            let said = read(format!("variable \"a\" {{\n  default = {inner}\n}}\n"));
            let said = said.expect_err("it never ends");
            assert!(said.starts_with("`main.tf` is no valid HCL"), "{said}");
        }
        let (dashes, percents) = ("-".repeat(5_000), "%?".repeat(5_000));
        let facts = read(format!(
            "# {dashes}\nvariable \"a\" {{\n  default = \"{percents}\"\n}}\n"
        ));
        assert!(facts.expect("readable").variables.contains_key("a"));
    }

    #[test]
    fn code_tells_its_variables_outputs_and_providers() {
        let facts = check_module(
            r#"
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 5.0" }
    old = "~> 1"
  }
}
variable "must" { type = string }
variable "may" {
  type    = number
  default = 1
}
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "echo $${HOME}" }
}
output "host" { value = var.must }
"#,
        )
        .expect("readable");
        assert_eq!(
            facts.variables,
            BTreeMap::from([("must".into(), true), ("may".into(), false)])
        );
        assert_eq!(facts.outputs, BTreeSet::from(["host".into()]));
        assert_eq!(
            facts.providers,
            BTreeMap::from([
                ("aws".into(), Some("hashicorp/aws".into())),
                ("old".into(), None)
            ])
        );
        assert!(facts.runs_programs);
    }

    #[test]
    fn broken_code_is_told_with_its_line() {
        let problem = check_module("variable \"a\" {}\noutput \"b\" {\n  value = \n}\n")
            .expect_err("refused");
        assert_eq!(problem.places[0].line, Some(3));
        assert!(problem.detail.contains("in line 3"));
    }
}
