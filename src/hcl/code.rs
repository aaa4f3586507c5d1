//! What the engine's `init` wants to know of the code of one directory: module calls, providers, the backend.
//!
//! Reads only what it understands whole; anything else is [`NotRead`], with the reason: a form of the language that is not
//! known here must never lead to something that is left out.

use std::collections::{BTreeMap, BTreeSet};

use hcl::expr::ObjectKey;
use hcl::{Block, Body, Expression};
use serde_json::{Map, Value};

/// Why code is not read here, in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotRead(pub(crate) String);

impl NotRead {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Deeper code is left to the engine: the parser calls itself.
const MAX_DEPTH: usize = 250;
/// Longest run of operators that bind to what follows, for the same reason.
const MAX_OPERATORS: usize = 100;
/// Most conditions and directives in one file, for the same reason.
const MAX_CONDITIONS: usize = 2_000;
/// Stack of the thread that parses; it is only used as far as the code goes down.
const STACK: usize = 256 * 1024 * 1024;

/// What one directory of code says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Code {
    /// Module calls: name to source.
    pub(crate) calls: BTreeMap<String, String>,
    /// `required_providers` by local name.
    pub(crate) required: BTreeMap<String, Required>,
    /// Local names of providers that something here needs.
    pub(crate) uses: BTreeSet<String>,
    /// The backend block: its type and settings.
    pub(crate) backend: Option<(String, Map<String, Value>)>,
}

/// A required provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Required {
    /// Where it comes from, as written.
    pub(crate) source: Option<String>,
    /// Which versions, as written.
    pub(crate) version: Option<String>,
}

/// Files that lie in one directory, by name.
pub(crate) type CodeFiles<'a> = BTreeMap<&'a str, &'a [u8]>;

/// Reads the code of several directories.
pub(crate) fn read_code<'a>(
    directories: &BTreeMap<String, CodeFiles<'a>>,
) -> Result<BTreeMap<String, Code>, NotRead> {
    // A thread of its own, because code nests deeper than a usual stack; never one that code could use up.
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || {
                directories
                    .iter()
                    .map(|(path, files)| {
                        read(files)
                            .map(|code| (path.clone(), code))
                            .map_err(|NotRead(why)| match path.as_str() {
                                "." => NotRead(why),
                                path => NotRead(format!("in `{path}`: {why}")),
                            })
                    })
                    .collect()
            })
            .map_err(|_| NotRead::new("no thread could be started to read the code"))?
            .join()
            .unwrap_or_else(|_| Err(NotRead::new("the code could not be read")))
    })
}

fn read(files: &CodeFiles<'_>) -> Result<Code, NotRead> {
    let mut code = Code::default();
    for (name, content) in files {
        if !name.ends_with(".tf") {
            let is_code = [
                ".tf.json",
                ".tofu",
                ".tofu.json",
                ".tftest.hcl",
                ".tofutest.hcl",
            ];
            if is_code.iter().any(|end| name.ends_with(end)) {
                return Err(NotRead::new(format!(
                    "`{name}` is code in a form that is not read here"
                )));
            }
            continue;
        }
        if *name == "override.tf" || name.ends_with("_override.tf") {
            return Err(NotRead::new(format!("`{name}` overrides other code")));
        }
        let text = std::str::from_utf8(content)
            .map_err(|_| NotRead::new(format!("`{name}` is not UTF-8")))?;
        if is_too_deep(text) {
            return Err(NotRead::new(format!("`{name}` nests too deeply")));
        }
        let body =
            hcl::parse(text).map_err(|_| NotRead::new(format!("`{name}` is not read here")))?;
        code.add(&body)
            .map_err(|why| NotRead::new(format!("`{name}`: {}", why.0)))?;
    }
    Ok(code)
}

/// Whether a parser that calls itself could go too deep. Counts too much rather than too little: it knows no strings.
fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut deepest, mut operators, mut conditions) = (0_usize, 0, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'?' | b'%' => conditions += 1,
            _ => {}
        }
        match byte {
            b'!' | b'-' => operators += 1,
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => operators = 0,
        }
        if deepest > MAX_DEPTH || operators > MAX_OPERATORS || conditions > MAX_CONDITIONS {
            return true;
        }
    }
    false
}

impl Code {
    fn add(&mut self, body: &Body) -> Result<(), NotRead> {
        if body.attributes().next().is_some() {
            return Err(NotRead::new("an attribute outside of blocks"));
        }
        for block in body.blocks() {
            let label = block.labels().first().map(hcl::BlockLabel::as_str);
            match (block.identifier(), label) {
                ("terraform", None) => self.settings(block.body())?,
                ("module", Some(name)) => {
                    let Some(Expression::String(source)) = attribute(block.body(), "source") else {
                        return Err(NotRead::new(format!(
                            "the module `{name}` has no source that is a plain text"
                        )));
                    };
                    if self.calls.insert(name.to_owned(), source.clone()).is_some() {
                        return Err(NotRead::new(format!("two modules `{name}`")));
                    }
                }
                ("provider", Some(name)) => {
                    self.uses.insert(name.to_owned());
                }
                ("resource" | "data" | "ephemeral", Some(kind)) => self.resource(kind, block)?,
                ("check", Some(_)) => {
                    for inner in block.body().blocks() {
                        if let ("data", Some(kind)) = (
                            inner.identifier(),
                            inner.labels().first().map(hcl::BlockLabel::as_str),
                        ) {
                            self.resource(kind, inner)?;
                        }
                    }
                }
                ("import", None) => {
                    if let Some(provider) = attribute(block.body(), "provider") {
                        self.uses.insert(root(provider)?);
                    }
                }
                ("variable" | "output", Some(_)) | ("locals" | "moved" | "removed", None) => {}
                (other, _) => {
                    return Err(NotRead::new(format!(
                        "the block `{other}` is not known here"
                    )));
                }
            }
        }
        Ok(())
    }

    fn resource(&mut self, kind: &str, block: &Block) -> Result<(), NotRead> {
        let name = match attribute(block.body(), "provider") {
            Some(provider) => root(provider)?,
            None => kind.split('_').next().unwrap_or(kind).to_owned(),
        };
        self.uses.insert(name);
        Ok(())
    }

    fn settings(&mut self, body: &Body) -> Result<(), NotRead> {
        for block in body.blocks() {
            let label = block.labels().first().map(hcl::BlockLabel::as_str);
            match (block.identifier(), label) {
                ("required_providers", None) => self.required(block.body())?,
                ("backend", Some(kind)) if self.backend.is_none() => {
                    if block.body().blocks().next().is_some() {
                        return Err(NotRead::new("the backend has blocks inside"));
                    }
                    let mut settings = Map::new();
                    for attribute in block.body().attributes() {
                        let value = plain(attribute.expr()).ok_or_else(|| {
                            NotRead::new(format!(
                                "the setting `{}` of the backend is no plain value",
                                attribute.key()
                            ))
                        })?;
                        settings.insert(attribute.key().to_owned(), value);
                    }
                    self.backend = Some((kind.to_owned(), settings));
                }
                (other, _) => {
                    return Err(NotRead::new(format!(
                        "the setting `{other}` is not known here"
                    )));
                }
            }
        }
        match body
            .attributes()
            .find(|attribute| attribute.key() != "required_version")
        {
            Some(attribute) => Err(NotRead::new(format!(
                "the setting `{}` is not known here",
                attribute.key()
            ))),
            None => Ok(()),
        }
    }

    fn required(&mut self, body: &Body) -> Result<(), NotRead> {
        for attribute in body.attributes() {
            let local = attribute.key().to_owned();
            let odd = || NotRead::new(format!("what is required as `{local}` is not read here"));
            let mut required = Required::default();
            match attribute.expr() {
                Expression::String(version) => required.version = Some(version.clone()),
                Expression::Object(object) => {
                    for (key, value) in object {
                        let key = match key {
                            ObjectKey::Identifier(name) => name.as_str(),
                            ObjectKey::Expression(Expression::String(name)) => name,
                            _ => return Err(odd()),
                        };
                        match (key, value) {
                            ("source", Expression::String(text)) => {
                                required.source = Some(text.clone());
                            }
                            ("version", Expression::String(text)) => {
                                required.version = Some(text.clone());
                            }
                            ("configuration_aliases", _) => {}
                            _ => return Err(odd()),
                        }
                    }
                }
                _ => return Err(odd()),
            }
            if self.required.insert(local.clone(), required).is_some() {
                return Err(NotRead::new(format!("`{local}` is required twice")));
            }
        }
        Ok(())
    }
}

fn attribute<'a>(body: &'a Body, key: &str) -> Option<&'a Expression> {
    body.attributes()
        .find(|attribute| attribute.key() == key)
        .map(hcl::Attribute::expr)
}

/// The first name of `aws.west`, which is a provider's local one.
fn root(expression: &Expression) -> Result<String, NotRead> {
    match expression {
        Expression::Variable(name) => Ok(name.as_str().to_owned()),
        Expression::Traversal(traversal) => root(&traversal.expr),
        _ => Err(NotRead::new(
            "a provider is named in a form that is not read here",
        )),
    }
}

/// A value that is written out.
fn plain(expression: &Expression) -> Option<Value> {
    Some(match expression {
        Expression::Null => Value::Null,
        Expression::Bool(flag) => Value::Bool(*flag),
        Expression::Number(number) => serde_json::to_value(number).ok()?,
        Expression::String(text) => Value::String(text.clone()),
        Expression::Array(items) => Value::Array(items.iter().map(plain).collect::<Option<_>>()?),
        Expression::Object(object) => {
            let mut map = Map::new();
            for (key, value) in object {
                let key = match key {
                    ObjectKey::Identifier(name) => name.as_str().to_owned(),
                    ObjectKey::Expression(Expression::String(name)) => name.clone(),
                    _ => return None,
                };
                map.insert(key, plain(value)?);
            }
            Value::Object(map)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Result<Code, NotRead> {
        let files = BTreeMap::from([("main.tf", text.as_bytes())]);
        let all = BTreeMap::from([("m".to_owned(), files)]);
        read_code(&all).map(|mut all| all.remove("m").expect("asked for"))
    }

    #[test]
    fn everything_that_init_looks_at_is_read() {
        let code = code(
            r#"
terraform {
  required_version = ">= 1"
  required_providers {
    aws = { source = "Corp/AWS", version = "~> 5.0", configuration_aliases = [aws.west] }
    old = "~> 1"
  }
  backend "s3" {
    bucket = "b"
    encrypt = true
  }
}
provider "dns" {}
module "a" { source = "./a" }
resource "terraform_data" "x" {}
resource "null_resource" "y" { provider = other.alias }
data "http" "z" {}
check "c" {
  data "tls_key" "k" {}
}
import {
  to       = null_resource.y
  id       = "1"
  provider = imported
}
"#,
        )
        .expect("read");
        assert_eq!(code.calls["a"], "./a");
        assert_eq!(code.required["aws"].source.as_deref(), Some("Corp/AWS"));
        assert_eq!(code.required["aws"].version.as_deref(), Some("~> 5.0"));
        assert_eq!(code.required["old"].source, None);
        let uses: Vec<&str> = code.uses.iter().map(String::as_str).collect();
        assert_eq!(
            uses,
            ["dns", "http", "imported", "other", "terraform", "tls"]
        );
        let (kind, settings) = code.backend.expect("there");
        assert_eq!(kind, "s3");
        assert_eq!(
            Value::Object(settings),
            serde_json::json!({"bucket": "b", "encrypt": true})
        );
    }

    #[test]
    fn what_is_not_understood_whole_is_left_to_the_engine() {
        let deep = format!(
            "locals {{ a = {}1{} }}",
            "[".repeat(40_000),
            "]".repeat(40_000)
        );
        let bangs = format!("locals {{ a = {}true }}", "!".repeat(40_000));
        for text in [
            "a = 1",
            "module \"a\" { source = var.x }",
            "module \"a\" {}",
            "terraform { cloud {} }",
            "terraform {\n  backend \"local\" {\n    path = var.x\n  }\n}",
            "terraform {\n  experiments = [x]\n}",
            "whatever {}",
            "action \"a\" \"b\" {}",
            "resource \"a_b\" \"c\" { provider = \"x\" }",
            "broken {",
            &deep,
            &bangs,
        ] {
            assert!(code(text).is_err(), "{text:.40}");
        }
        let files = |name| BTreeMap::from([("m".to_owned(), BTreeMap::from([(name, &b""[..])]))]);
        for name in ["a.tf.json", "a.tofu", "x_override.tf", "override.tf"] {
            assert!(read_code(&files(name)).is_err(), "{name}");
        }
    }
}
