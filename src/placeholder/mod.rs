//! The placeholder language: `${resources.db.outputs.host}` and its kin, in strings at any depth.
//!
//! Pure text work: finds placeholders ([`split`]), reads one ([`mod@parse`]), prints it back
//! (`Display`), and says where each kind may stand ([`Site`]). Never resolves anything: that is
//! `graph`'s. Map keys, numbers and booleans are never looked at.
//!
//! The grammar is a superset of v1's: output paths of any depth, list positions (`a.0`, `a[0]`), and
//! aliases that are also keywords. Everything that v1 refuses in its error table is refused here with
//! the same text.
//!
//! Why `$${x}` is a dollar sign and then a placeholder, and no escape: v1 finds the placeholder in it
//! as well (and then writes broken code); the escape is `$\{`, and an error in such a place says so.

mod parse;

use std::borrow::Cow;
use std::fmt;

pub(crate) use self::parse::{SyntaxError, parse};

/// One placeholder. Its words are borrowed from the text it stands in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Placeholder<'a> {
    /// `context.KEY`.
    Context(&'a str),
    /// `var.KEY`: a variable of the engine, from the runner's environment.
    Variable(&'a str),
    /// `self.outputs.PATH`.
    Own(OutputPath<'a>),
    /// `resources.ALIAS.outputs.PATH`.
    Resource {
        /// Alias in the node whose context it is.
        alias: &'a str,
        /// What of it.
        path: OutputPath<'a>,
    },
    /// `shared.ALIAS.outputs.PATH`.
    Shared {
        /// Alias among the manifest's shared resources.
        alias: &'a str,
        /// What of it.
        path: OutputPath<'a>,
    },
    /// `select.FUNCTION('FILTER')….outputs.PATH`.
    Select {
        /// From the context node outwards, at least one.
        steps: Vec<Step<'a>>,
        /// What of each node found.
        path: OutputPath<'a>,
    },
}

/// One step of a selector: all direct neighbours of one kind that fit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Step<'a> {
    /// Which neighbours.
    pub(crate) direction: Direction,
    /// Which of them.
    pub(crate) filter: Filter<'a>,
}

/// Which neighbours a selector follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// Nodes that the current one depends on.
    Dependencies,
    /// Nodes that depend on the current one.
    Consumers,
}

/// `TYPE[.CLASS][#ID]`; `@` in class and id stands for that of the node the step starts from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Filter<'a> {
    /// As written.
    pub(crate) text: &'a str,
}

impl Filter<'_> {
    /// Type, class and id, of which the latter two may be missing: any.
    pub(crate) fn parts(&self) -> (&str, Option<&str>, Option<&str>) {
        let (left, id) = match self.text.split_once('#') {
            Some((left, id)) => (left, Some(id)),
            None => (self.text, None),
        };
        match left.split_once('.') {
            Some((type_name, class)) => (type_name, Some(class), id),
            None => (left, None, id),
        }
    }

    /// Whether a node of this type, class and id fits, seen from a node of class and id `from`.
    pub(crate) fn fits(&self, node: (&str, &str, &str), from: (&str, &str)) -> bool {
        let (type_name, class, id) = self.parts();
        type_name == node.0
            && class.is_none_or(|class| class.replace('@', from.0) == node.1)
            && id.is_none_or(|id| id.replace('@', from.1) == node.2)
    }
}

/// The way into an output value: never empty, the first segment is the name of the output.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct OutputPath<'a> {
    /// Name of the output.
    pub(crate) output: &'a str,
    /// Into its value.
    pub(crate) rest: Vec<Segment<'a>>,
}

/// One step into a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Segment<'a> {
    /// An attribute or a key.
    Key(&'a str),
    /// A position in a list, from 0 (`.0` or `[0]`).
    Index(u64),
}

impl fmt::Display for OutputPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.output)?;
        for segment in &self.rest {
            match segment {
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Placeholder<'_> {
    /// The form between `${` and `}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context(key) => write!(f, "context.{key}"),
            Self::Variable(key) => write!(f, "var.{key}"),
            Self::Own(path) => write!(f, "self.outputs.{path}"),
            Self::Resource { alias, path } => write!(f, "resources.{alias}.outputs.{path}"),
            Self::Shared { alias, path } => write!(f, "shared.{alias}.outputs.{path}"),
            Self::Select { steps, path } => {
                f.write_str("select")?;
                for step in steps {
                    let function = match step.direction {
                        Direction::Dependencies => "dependencies",
                        Direction::Consumers => "consumers",
                    };
                    write!(f, ".{function}('{}')", step.filter.text)?;
                }
                write!(f, ".outputs.{path}")
            }
        }
    }
}

impl Placeholder<'_> {
    /// The word that v1 uses for this kind in errors.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Context(_) => "context",
            Self::Variable(_) => "var",
            Self::Own(_) => "self",
            Self::Resource { .. } => "resources",
            Self::Shared { .. } => "shared",
            Self::Select { .. } => "select",
        }
    }
}

/// Where a string stands that holds a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// `module_inputs` of a module.
    Input,
    /// Params of a resource, a dependency or a co-provisioned resource.
    Param,
    /// An output of a workload.
    Output,
    /// The configuration of a provider.
    Provider,
}

impl Site {
    /// The kinds that may stand here, as errors list them.
    pub(crate) fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Input => &["context", "resources", "self", "select"],
            Self::Param => &["context", "resources", "self", "shared", "select"],
            Self::Output => &["context", "resources", "self", "shared"],
            Self::Provider => &["context", "resources", "self", "shared", "var"],
        }
    }

    /// The keys of `context.` that are known here.
    pub(crate) fn context_keys(self) -> &'static [&'static str] {
        match self {
            Self::Input | Self::Param => &[
                "org_id",
                "project_id",
                "env_id",
                "env_type_id",
                "res_type",
                "res_class",
                "res_id",
            ],
            Self::Output | Self::Provider => &["org_id", "project_id", "env_id", "env_type_id"],
        }
    }

    /// Checks kind and context key; the error is v1's text.
    pub(crate) fn check(self, placeholder: &Placeholder<'_>) -> Result<(), String> {
        match placeholder {
            Placeholder::Select { .. } if matches!(self, Self::Output | Self::Provider) => {
                Err("'select' placeholders are not supported here".into())
            }
            Placeholder::Variable(_) if self != Self::Provider => {
                Err("'var' placeholders are not supported here".into())
            }
            Placeholder::Context(key) if !self.context_keys().contains(key) => {
                Err(format!("unsupported context key '{key}'"))
            }
            Placeholder::Context(_)
            | Placeholder::Variable(_)
            | Placeholder::Own(_)
            | Placeholder::Resource { .. }
            | Placeholder::Shared { .. }
            | Placeholder::Select { .. } => Ok(()),
        }
    }
}

/// A piece of a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Text as it is meant; escapes are gone.
    Literal(Cow<'a, str>),
    /// `${…}`, with what was written between the braces.
    Placeholder(&'a str, Placeholder<'a>),
}

/// Whether a string needs [`split`] at all; most do not.
pub(crate) fn is_plain(text: &str) -> bool {
    // Most texts have no dollar sign at all, and one byte is found faster than two.
    !text.contains('$') || (!text.contains("${") && !text.contains("$\\{"))
}

/// Takes a string apart. Literals are never empty and never follow each other.
///
/// A placeholder is `${`, one or more characters other than braces, `}`; everything else, also `${}`
/// and `${a{b}}`, is text. `$\{` is the text `${`.
pub(crate) fn split(text: &str) -> Result<Vec<Part<'_>>, SyntaxError> {
    let mut parts = Vec::new();
    let mut literal = Cow::Borrowed("");
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        literal += &rest[..dollar];
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$\\{") {
            literal += "${";
            rest = after;
            continue;
        }
        match rest.strip_prefix("${").and_then(inner) {
            Some(found) => {
                let placeholder = parse(found).map_err(|error| SyntaxError {
                    after_dollar: literal.ends_with('$'),
                    ..error
                })?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Placeholder(found, placeholder));
                rest = &rest[found.len() + 3..];
            }
            None => {
                literal += "$";
                rest = &rest[1..];
            }
        }
    }
    literal += rest;
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// What stands between here and the next `}`, if it is a placeholder's inside.
fn inner(rest: &str) -> Option<&str> {
    let end = rest.bytes().position(|byte| matches!(byte, b'{' | b'}'))?;
    (end > 0 && rest.as_bytes()[end] == b'}').then(|| &rest[..end])
}

/// Reads a text that must be one placeholder, braces included.
pub(crate) fn parse_whole(text: &str) -> Result<Placeholder<'_>, String> {
    text.strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or_else(|| format!("the string is not a placeholder: {text}"))
        .and_then(|inside| parse(inside).map_err(|error| error.to_string()))
}

/// Checks every string of a value at a site; each error comes with the pointer below `value` and in
/// v1's words (path prefix included).
pub(crate) fn check_value(value: &serde_json::Value, site: Site) -> Vec<(String, String)> {
    let mut found = Vec::new();
    check_inside(
        value,
        site,
        &mut String::new(),
        &mut String::new(),
        &mut found,
    );
    found
}

fn check_inside(
    value: &serde_json::Value,
    site: Site,
    pointer: &mut String,
    path: &mut String,
    found: &mut Vec<(String, String)>,
) {
    use serde_json::Value;
    let (pointer_length, path_length) = (pointer.len(), path.len());
    match value {
        Value::String(text) if !is_plain(text) => match split(text) {
            Ok(parts) => {
                for part in parts {
                    if let Part::Placeholder(_, placeholder) = part
                        && let Err(said) = site.check(&placeholder)
                    {
                        found.push((pointer.clone(), format!("{path}{said}")));
                    }
                }
            }
            Err(error) => found.push((pointer.clone(), format!("{path}{error}"))),
        },
        Value::Array(list) => {
            for (position, item) in list.iter().enumerate() {
                *pointer += &format!("/{position}");
                *path += &format!("[{position}]: ");
                check_inside(item, site, pointer, path, found);
                pointer.truncate(pointer_length);
                path.truncate(path_length);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                *pointer = crate::model::diag::pointer(pointer, key);
                path.push_str(key);
                path.push_str(": ");
                check_inside(item, site, pointer, path, found);
                pointer.truncate(pointer_length);
                path.truncate(path_length);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
