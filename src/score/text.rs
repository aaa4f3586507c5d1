//! Strings of a Score file as strings of a manifest: Score's placeholders and escapes become ours.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use super::shape::{short, ticked};
use crate::model::diag::nearest;
use crate::placeholder;

/// Why a string could not be said in a manifest; in sentences.
pub(super) type Reason = String;

/// What `${resources.A}`, without an output, means where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bare {
    /// Nothing.
    Refused,
    /// The output `source`: a volume's source.
    Source,
}

/// What placeholders can refer to.
pub(super) struct Scope<'a> {
    pub(super) metadata: &'a Map<String, Value>,
    pub(super) resources: Option<&'a Map<String, Value>>,
}

/// Whether a text is standard base64, with padding.
pub(super) fn is_base64(text: &str) -> bool {
    BASE64_STANDARD.decode(text).is_ok()
}

/// Bytes as standard base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// A text in which nothing is a placeholder.
///
/// Our language has no way to say `$\{` itself: such a text is refused.
pub(super) fn literal(text: &str) -> Result<String, Reason> {
    if text.contains("$\\{") {
        return Err(
            "The characters `$\\{` cannot be carried by a manifest: they are its own escape. Move the text into a file with `noExpand: true` or `binaryContent`."
                .into(),
        );
    }
    #[cfg(feature = "fuzz")]
    if crate::model::planted::is_planted("score") {
        return Ok(text.replacen("${", "$\\{", 1));
    }
    Ok(text.replace("${", "$\\{"))
}

/// A text with Score's placeholders; all problems at once.
pub(super) fn expand(text: &str, scope: &Scope<'_>, bare: Bare) -> Result<String, Vec<Reason>> {
    let mut out = String::new();
    let mut reasons = Vec::new();
    // What is text so far; escaped as a whole, because a `$` and a `{` may come from different pieces.
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(inside) = braced(&rest[1..]) {
            match scope.resolve(inside, bare) {
                Ok(Resolved::Text(value)) => plain.push_str(&value),
                Ok(Resolved::Placeholder(ours)) => {
                    flush(&mut plain, &mut out, &mut reasons);
                    out.push_str(&ours);
                }
                Err(reason) => reasons.push(reason),
            }
            rest = &rest[inside.len() + 3..];
        } else if let Some(inside) = rest.strip_prefix("$$").and_then(braced) {
            plain.push_str("${");
            plain.push_str(inside);
            plain.push('}');
            rest = &rest[inside.len() + 4..];
        } else {
            plain.push('$');
            rest = rest.strip_prefix("$$").unwrap_or(&rest[1..]);
        }
    }
    plain.push_str(rest);
    flush(&mut plain, &mut out, &mut reasons);
    if reasons.is_empty() {
        Ok(out)
    } else {
        Err(reasons)
    }
}

fn flush(plain: &mut String, out: &mut String, reasons: &mut Vec<Reason>) {
    match literal(plain) {
        Ok(text) => out.push_str(&text),
        Err(reason) => reasons.push(reason),
    }
    plain.clear();
}

/// What stands in braces at the beginning, up to the first `}`.
fn braced(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('{')?;
    rest.find('}').map(|end| &rest[..end])
}

/// What a placeholder stands for.
enum Resolved {
    /// A value that is known now.
    Text(String),
    /// A placeholder of ours, braces included.
    Placeholder(String),
}

impl Scope<'_> {
    fn resolve(&self, reference: &str, bare: Bare) -> Result<Resolved, Reason> {
        let parts = split(reference);
        match parts.split_first() {
            Some((root, path)) if root == "metadata" => {
                self.metadata(reference, path).map(Resolved::Text)
            }
            Some((root, path)) if root == "resources" => self
                .resource(reference, path, bare)
                .map(Resolved::Placeholder),
            _ => Err(format!(
                "`${{{}}}` refers to nothing: a placeholder begins with `metadata.` or `resources.`. For the text itself write `$${{{}}}`.",
                short(reference),
                short(reference)
            )),
        }
    }

    fn metadata(&self, reference: &str, path: &[String]) -> Result<String, Reason> {
        let Some((first, deeper)) = path.split_first() else {
            return Err("`${metadata}` names no key. Write for example `${metadata.name}`.".into());
        };
        let missing = |key: &str, map: &Map<String, Value>| {
            let known = || map.keys().map(String::as_str);
            let hint = match nearest(key, known()).first() {
                Some(near) => format!("Did you mean `{near}`?"),
                None => format!("Known are {}.", ticked(known())),
            };
            format!(
                "`${{{}}}`: there is no `{}` in the metadata. {hint}",
                short(reference),
                short(key)
            )
        };
        let mut value = self
            .metadata
            .get(first)
            .ok_or_else(|| missing(first, self.metadata))?;
        for key in deeper {
            let Value::Object(map) = value else {
                return Err(format!(
                    "`${{{}}}`: there is nothing below `{}`, it is no object.",
                    short(reference),
                    short(first)
                ));
            };
            value = map.get(key).ok_or_else(|| missing(key, map))?;
        }
        Ok(match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    fn resource(&self, reference: &str, path: &[String], bare: Bare) -> Result<String, Reason> {
        let reference = short(reference);
        let Some((alias, outputs)) = path.split_first() else {
            return Err(
                "`${resources}` names no resource. Write for example `${resources.db.host}`."
                    .into(),
            );
        };
        let known = || {
            self.resources
                .into_iter()
                .flat_map(|map| map.keys().map(String::as_str))
        };
        if !known().any(|name| name == alias) {
            let hint = match nearest(alias, known()).first() {
                Some(near) => format!("Did you mean `{near}`?"),
                None => format!("Known are {}.", ticked(known())),
            };
            return Err(format!(
                "`${{{reference}}}`: there is no resource `{}` in this file. {hint}",
                short(alias)
            ));
        }
        let path = match (outputs, bare) {
            ([], Bare::Source) => "source".to_owned(),
            ([], Bare::Refused) => {
                return Err(format!(
                    "`${{{reference}}}` names a resource and no output of it. Write for example `${{{reference}.name}}`."
                ));
            }
            (outputs, _) => outputs.join("."),
        };
        let ours = format!("${{resources.{alias}.outputs.{path}}}");
        match placeholder::parse_whole(&ours) {
            Ok(_) if !outputs.iter().any(|part| part.contains('.')) => Ok(ours),
            _ => Err(format!(
                "`${{{reference}}}`: the name of an output has letters, digits, `_` and `-`."
            )),
        }
    }
}

/// The parts of a reference; `\.` is a dot inside a part.
fn split(reference: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = reference;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\\.") {
            push(&mut parts, '.');
            rest = after;
            continue;
        }
        if c == '.' {
            parts.push(String::new());
        } else {
            push(&mut parts, c);
        }
        rest = &rest[c.len_utf8()..];
    }
    parts
}

fn push(parts: &mut [String], c: char) {
    if let Some(last) = parts.last_mut() {
        last.push(c);
    }
}
