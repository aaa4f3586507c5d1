//! Values with placeholders to expressions.

use hcl::expr::{ObjectKey, TemplateExpr, Traversal, TraversalBuilder, Variable};
use hcl::{Expression, Identifier, Object};
use serde_json::{Map, Value};

use super::escape;
use super::names::{is_bare_key, is_identifier, module_label};
use crate::graph::{NodeIndex, Resolver, ResourceGraph, Target};
use crate::placeholder::{OutputPath, Part, Placeholder, Segment, Site, is_plain, split};

/// Why a value has no form in HCL. Checked graphs do not get here; a stored one might.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unexpressible {
    /// A placeholder that cannot be read or resolved.
    #[error("a placeholder in it means nothing")]
    Placeholder,
    /// A list of outputs inside of text.
    #[error("a selector gives a list, which cannot stand inside text")]
    ListInText,
    /// A number that is neither an integer of 64 bits nor a finite float.
    #[error("the number `{0}` has no exact form")]
    Number(String),
    /// A name that must be an identifier and is none.
    #[error("`{0}` is no identifier")]
    Name(String),
}

/// Makes expressions for the nodes of one graph.
pub(super) struct Expressions<'a> {
    graph: &'a ResourceGraph,
    resolver: Resolver<'a>,
    labels: Vec<String>,
}

impl<'a> Expressions<'a> {
    pub(super) fn new(graph: &'a ResourceGraph) -> Self {
        let mut labels = Vec::new();
        for index in graph.indexes() {
            if labels.len() <= index.index() {
                labels.resize(index.index() + 1, String::new());
            }
            let node = graph.at(index);
            if node.module.is_some() {
                labels[index.index()] = module_label(&node.key);
            }
        }
        Self {
            graph,
            resolver: Resolver::new(graph),
            labels,
        }
    }

    /// The label of a node's module block.
    pub(super) fn label(&self, index: NodeIndex) -> &str {
        &self.labels[index.index()]
    }

    /// `module.LABEL`.
    pub(super) fn block(&self, index: NodeIndex) -> Expression {
        Traversal::builder(Variable::unchecked("module"))
            .attr(Identifier::unchecked(self.label(index)))
            .build()
            .into()
    }

    /// A value at a site of a node.
    pub(super) fn value(
        &self,
        node: NodeIndex,
        site: Site,
        value: &Value,
    ) -> Result<Expression, Unexpressible> {
        match value {
            Value::Null => Ok(Expression::Null),
            Value::Bool(yes) => Ok(Expression::Bool(*yes)),
            Value::Number(number) => number_expression(number),
            Value::String(text) => self.text(node, site, text),
            Value::Array(list) => list
                .iter()
                .map(|item| self.value(node, site, item))
                .collect::<Result<Vec<_>, _>>()
                .map(Expression::Array),
            Value::Object(map) => {
                let mut object = Object::with_capacity(map.len());
                for entry in self.entries(node, site, map) {
                    let (key, item) = entry?;
                    object.insert(key, item);
                }
                Ok(Expression::Object(object))
            }
        }
    }

    /// The entries of an object at a site of a node, sorted by key; each is made when it is asked for.
    pub(super) fn entries(
        &self,
        node: NodeIndex,
        site: Site,
        map: &Map<String, Value>,
    ) -> impl ExactSizeIterator<Item = Result<(ObjectKey, Expression), Unexpressible>> {
        let mut keys: Vec<(&String, &Value)> = map.iter().collect();
        keys.sort_unstable_by(|a, b| a.0.cmp(b.0));
        keys.into_iter()
            .map(move |(key, item)| Ok((object_key(key), self.value(node, site, item)?)))
    }

    fn text(&self, node: NodeIndex, site: Site, text: &str) -> Result<Expression, Unexpressible> {
        if is_plain(text) {
            return Ok(string(text));
        }
        let parts = split(text).map_err(|_| Unexpressible::Placeholder)?;
        if let [Part::Placeholder(_, placeholder)] = parts.as_slice() {
            let target = self.target(node, site, placeholder)?;
            return self.reference(&target);
        }
        let mut template = String::with_capacity(text.len() * 2);
        let last = parts.len().saturating_sub(1);
        for (position, part) in parts.iter().enumerate() {
            match part {
                Part::Literal(text) => template += &escape::literal(text, position < last),
                Part::Placeholder(_, placeholder) => {
                    let target = self.target(node, site, placeholder)?;
                    if matches!(target, Target::Selected(..)) {
                        return Err(Unexpressible::ListInText);
                    }
                    template += "${";
                    template += &print(&self.reference(&target)?);
                    template += "}";
                }
            }
        }
        Ok(quoted(template))
    }

    fn target<'p>(
        &self,
        node: NodeIndex,
        site: Site,
        placeholder: &Placeholder<'p>,
    ) -> Result<Target<'p>, Unexpressible>
    where
        'a: 'p,
    {
        self.resolver
            .resolve(node, site, placeholder)
            .map_err(|_| Unexpressible::Placeholder)
    }

    fn reference(&self, target: &Target<'_>) -> Result<Expression, Unexpressible> {
        match target {
            Target::Text(text) => Ok(string(text)),
            Target::Variable(name) => {
                if !is_identifier(name) {
                    return Err(Unexpressible::Name((*name).to_owned()));
                }
                Ok(Traversal::builder(Variable::unchecked("var"))
                    .attr(Identifier::unchecked(*name))
                    .build()
                    .into())
            }
            Target::Output(node, path) => Ok(self.output(*node, path)),
            Target::Selected(nodes, path) => Ok(Expression::Array(
                nodes.iter().map(|node| self.output(*node, path)).collect(),
            )),
        }
    }

    fn output(&self, node: NodeIndex, path: &OutputPath<'_>) -> Expression {
        let into = |traversal: TraversalBuilder, key: &str| {
            if is_identifier(key) {
                traversal.attr(Identifier::unchecked(key))
            } else {
                traversal.index(string(key))
            }
        };
        let block = Traversal::builder(Variable::unchecked("module"))
            .attr(Identifier::unchecked(self.label(node)));
        let mut traversal = into(block, path.output);
        for segment in &path.rest {
            traversal = match segment {
                Segment::Key(key) => into(traversal, key),
                Segment::Index(position) => traversal.index(Expression::Number((*position).into())),
            };
        }
        traversal.build().into()
    }

    /// A value in words: literals as JSON, what is known filled in, references as HCL.
    pub(super) fn in_words(&self, node: NodeIndex, site: Site, value: &Value) -> String {
        match value {
            Value::String(text) => self.text_in_words(node, site, text),
            Value::Array(list) => {
                let items: Vec<String> = list
                    .iter()
                    .map(|item| self.in_words(node, site, item))
                    .collect();
                format!("[{}]", items.join(", "))
            }
            Value::Object(map) => {
                let items: Vec<String> = map
                    .iter()
                    .map(|(key, item)| {
                        format!(
                            "{}: {}",
                            Value::from(key.as_str()),
                            self.in_words(node, site, item)
                        )
                    })
                    .collect();
                format!("{{{}}}", items.join(", "))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        }
    }

    fn text_in_words(&self, node: NodeIndex, site: Site, text: &str) -> String {
        let mut known = String::new();
        for part in split(text).unwrap_or_default() {
            match part {
                Part::Literal(text) => known += &text,
                Part::Placeholder(_, placeholder) => match self.target(node, site, &placeholder) {
                    Ok(Target::Text(text)) => known += text,
                    Ok(Target::Variable(_) | Target::Output(..) | Target::Selected(..)) => {
                        return self
                            .text(node, site, text)
                            .map_or_else(|_| Value::from(text).to_string(), |e| print(&e));
                    }
                    Err(_) => return Value::from(text).to_string(),
                },
            }
        }
        Value::from(known).to_string()
    }

    /// The graph.
    pub(super) fn graph(&self) -> &'a ResourceGraph {
        self.graph
    }
}

/// A plain string.
pub(super) fn string(text: &str) -> Expression {
    quoted(escape::literal(text, false))
}

fn quoted(escaped: String) -> Expression {
    TemplateExpr::QuotedString(escaped).into()
}

/// A key of an object, quoted where it must be.
pub(super) fn object_key(key: &str) -> ObjectKey {
    if is_bare_key(key) {
        ObjectKey::Identifier(Identifier::unchecked(key))
    } else {
        ObjectKey::Expression(string(key))
    }
}

fn number_expression(number: &serde_json::Number) -> Result<Expression, Unexpressible> {
    let found = number
        .as_u64()
        .map(hcl::Number::from)
        .or_else(|| number.as_i64().map(hcl::Number::from))
        .or_else(|| number.as_f64().and_then(hcl::Number::from_f64));
    found
        .map(Expression::Number)
        .ok_or_else(|| Unexpressible::Number(number.to_string()))
}

/// An expression on one line.
fn print(expression: &Expression) -> String {
    let mut bytes = Vec::with_capacity(96);
    let mut formatter = hcl::format::Formatter::builder()
        .compact_arrays(true)
        .compact_objects(true)
        .build(&mut bytes);
    // Printing into memory fails only on what an expression cannot hold.
    let _ = hcl::format::Format::format(expression, &mut formatter);
    String::from_utf8(bytes).unwrap_or_default()
}
