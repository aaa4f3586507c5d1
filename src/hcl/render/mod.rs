//! The files of a run: one root module with a block per resource, and the code of modules beside it.

mod backend;
mod output;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hcl::expr::{FuncCall, ObjectKey, Traversal, Variable};
use hcl::{Attribute, Block, Body, Expression, Identifier, Object};
use serde_json::{Map, Value};

use self::backend::backend_block;
pub(crate) use self::backend::{backend_alone, with_backend};
use self::output::Output;
use super::align::align;
use super::expr::{Expressions, Unexpressible, object_key, string};
use super::names::{is_identifier, provider_name};
use super::{Backend, Bundle, LOCK_FILE};
use crate::catalog::{Module, Provider};
use crate::graph::{Node, NodeIndex, ResourceGraph, node_hash};
use crate::model::diag::{Document, pointer};
use crate::model::{Diagnostic, Place, ResourceKey};
use crate::placeholder::{Part, Placeholder, Site, split};

/// Files of module directories, by digest.
pub(crate) type Sources = BTreeMap<String, Arc<BTreeMap<String, Vec<u8>>>>;

/// A bundle, and what its blocks stand for.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    /// The files.
    pub(crate) bundle: Bundle,
    /// Label of each module block, and the node it stands for.
    pub(crate) labels: Vec<(String, NodeIndex)>,
}

/// Renders a graph. Fails where a value or name has no form in HCL, and where code is not at hand.
pub(crate) fn render(
    graph: &ResourceGraph,
    backend: &Backend,
    sources: &Sources,
    lock_file: Option<&str>,
) -> Result<Rendered, Vec<Diagnostic>> {
    let mut file = File {
        expressions: Expressions::new(graph),
        blocks: String::new(),
        required: BTreeMap::new(),
        variants: BTreeSet::new(),
        variables: BTreeSet::new(),
        outputs: String::new(),
        modules: Vec::new(),
        problems: Vec::new(),
    };
    for index in graph.post_order() {
        let node = graph.at(index);
        if node.key.is_workload() {
            continue;
        }
        file.providers(index, node);
        if !node.leaving
            && let Some(module) = node.module.clone()
        {
            file.module(index, node, &module, sources);
        }
    }
    file.outputs();
    let mut files = BTreeMap::new();
    files.insert("main.tf".to_owned(), file.print(backend).into_bytes());
    file.problems.extend(vendor(graph, sources, &mut files));
    if let Some(lock) = lock_file {
        files.insert(LOCK_FILE.to_owned(), lock.as_bytes().to_vec());
    }
    if file.problems.is_empty() {
        Ok(Rendered {
            bundle: Bundle::new(files),
            labels: file
                .modules
                .iter()
                .map(|index| (file.expressions.label(*index).to_owned(), *index))
                .collect(),
        })
    } else {
        Err(file.problems)
    }
}

/// Every input and param of a node (of a workload: its outputs) as it goes to the module, in words.
pub(crate) fn resolved(graph: &ResourceGraph) -> BTreeMap<ResourceKey, BTreeMap<String, String>> {
    let expressions = Expressions::new(graph);
    let mut all = BTreeMap::new();
    for index in graph.sorted().iter().copied() {
        let node = graph.at(index);
        if node.leaving {
            continue;
        }
        let mut words = BTreeMap::new();
        let site = if node.key.is_workload() {
            Site::Output
        } else {
            Site::Param
        };
        for (name, value) in node.params.iter().flatten() {
            words.insert(name.clone(), expressions.in_words(index, site, value));
        }
        for (name, value) in node.module.iter().flat_map(|m| &m.module_inputs) {
            words.insert(
                name.clone(),
                expressions.in_words(index, Site::Input, value),
            );
        }
        all.insert(node.key.clone(), words);
    }
    all
}

struct File<'a> {
    expressions: Expressions<'a>,
    /// Printed, as are the outputs: a tree goes as soon as its text is there, because the trees of
    /// ten thousand blocks would not stay in any cache.
    blocks: String,
    outputs: String,
    required: BTreeMap<String, Expression>,
    /// Provider blocks written: id and variant.
    variants: BTreeSet<(String, String)>,
    variables: BTreeSet<String>,
    /// Nodes that have a block, in the order of the blocks.
    modules: Vec<NodeIndex>,
    problems: Vec<Diagnostic>,
}

impl File<'_> {
    fn refuse(&mut self, place: Place, why: &Unexpressible) {
        self.problems.push(Diagnostic::error(
            "Value has no form in HCL",
            format!("{why}. Change it so that the engine can be told."),
            place,
        ));
    }

    fn add(&mut self, block: &Block) {
        self.blocks.push('\n');
        align(&print(block), &mut self.blocks);
    }

    /// Provider blocks that a node is the first to need, each followed by its variables.
    fn providers(&mut self, index: NodeIndex, node: &Node) {
        for used in node.providers.values() {
            let seen = (used.full_id.clone(), used.variant.clone());
            if self.variants.contains(&seen) {
                continue;
            }
            self.variants.insert(seen);
            let Some(provider) = self.expressions.graph().provider(&used.full_id).cloned() else {
                continue;
            };
            let name = provider_name(&provider, &used.variant);
            let mut body = vec![attribute("alias", string(&name)).into()];
            let place = Document::Provider {
                id: used.full_id.clone(),
            };
            body.extend(self.provider_body(
                index,
                &provider.configuration,
                &place,
                "/configuration",
            ));
            self.add(&Block {
                identifier: Identifier::unchecked("provider"),
                labels: vec![name.as_str().into()],
                body: Body(body),
            });
            let mut entry = Object::new();
            entry.insert(object_key("source"), string(&provider.source));
            if !provider.version_constraint.is_empty() {
                entry.insert(object_key("version"), string(&provider.version_constraint));
            }
            self.required.insert(name, Expression::Object(entry));
            self.variables_of(&provider);
        }
    }

    /// Attributes and nested blocks: `key[N]` with a map is a block, in the order of keys, then numbers.
    fn provider_body(
        &mut self,
        index: NodeIndex,
        configuration: &Map<String, Value>,
        document: &Document,
        at: &str,
    ) -> Vec<hcl::Structure> {
        let mut entries: Vec<(&str, Option<u64>, &String, &Value)> = configuration
            .iter()
            .map(|(key, value)| {
                let (name, number) = block_name(key);
                (name, number, key, value)
            })
            .collect();
        entries.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
        let mut body: Vec<hcl::Structure> = Vec::new();
        for (name, number, key, value) in entries {
            let at = pointer(at, key);
            let place = Place::at(document.clone(), at.as_str());
            if !is_identifier(name) {
                self.refuse(place, &Unexpressible::Name(name.to_owned()));
                continue;
            }
            match (number, value) {
                (Some(_), Value::Object(inner)) => {
                    let inner = self.provider_body(index, inner, document, &at);
                    body.push(
                        Block {
                            identifier: Identifier::unchecked(name),
                            labels: Vec::new(),
                            body: Body(inner),
                        }
                        .into(),
                    );
                }
                (Some(_), _) => self.problems.push(Diagnostic::error(
                    "Wrong type",
                    format!("`{key}` is a nested block and must be a map."),
                    place,
                )),
                (None, Value::Null) => {}
                (None, value) => match self.expressions.value(index, Site::Provider, value) {
                    Ok(expression) => body.push(attribute(name, expression).into()),
                    Err(why) => self.refuse(place, &why),
                },
            }
        }
        body
    }

    fn variables_of(&mut self, provider: &Provider) {
        let mut names = BTreeSet::new();
        for value in provider.configuration.values() {
            variable_names(value, &mut names);
        }
        for name in names {
            if self.variables.insert(name.clone()) {
                self.add(
                    &Block::builder("variable")
                        .add_label(name.as_str())
                        .add_attribute(attribute(
                            "type",
                            Expression::from(Variable::unchecked("string")),
                        ))
                        .add_attribute(attribute("sensitive", Expression::Bool(true)))
                        .build(),
                );
            }
        }
    }

    fn module(&mut self, index: NodeIndex, node: &Node, module: &Module, sources: &Sources) {
        let (source, version) = source(module, sources);
        let mut body: Vec<hcl::Structure> = vec![attribute("source", string(&source)).into()];
        if let Some(version) = version {
            body.push(attribute("version", string(&version)).into());
        }
        if !node.providers.is_empty() {
            let mut map = Object::new();
            for (local, used) in &node.providers {
                if let Some(provider) = self.expressions.graph().provider(&used.full_id) {
                    let name = provider_name(provider, &used.variant);
                    map.insert(
                        object_key(local),
                        Traversal::builder(Variable::unchecked(name.as_str()))
                            .attr(Identifier::unchecked(name.as_str()))
                            .build()
                            .into(),
                    );
                }
            }
            body.push(attribute("providers", Expression::Object(map)).into());
        }
        let document = || Document::Module {
            id: module.id.clone(),
            version: module.version_id.clone(),
        };
        let mut inputs: Vec<(&String, &Value)> = module.module_inputs.iter().collect();
        inputs.sort_unstable_by(|a, b| a.0.cmp(b.0));
        for (name, value) in inputs {
            let place = || Place::at(document(), pointer("/module_inputs", name));
            self.argument(index, Site::Input, name, value, place, &mut body);
        }
        let mut params: Vec<(&String, &Value)> = node.params.iter().flatten().collect();
        params.sort_unstable_by(|a, b| a.0.cmp(b.0));
        for (name, value) in params {
            if !module.module_inputs.contains_key(name) {
                let place = || Place::manifest("");
                self.argument(index, Site::Param, name, value, place, &mut body);
            }
        }
        let graph = self.expressions.graph();
        let waits: Vec<Expression> = graph
            .targets(index)
            .into_iter()
            .filter(|(target, uses)| {
                let target = graph.at(*target);
                !uses.is_reference() && !target.leaving && target.module.is_some()
            })
            .map(|(target, _)| self.expressions.block(target))
            .collect();
        if !waits.is_empty() {
            body.push(attribute("depends_on", Expression::Array(waits)).into());
        }
        let label = self.expressions.label(index).into();
        self.add(&Block {
            identifier: Identifier::unchecked("module"),
            labels: vec![label],
            body: Body(body),
        });
        self.modules.push(index);
    }

    /// What a module block says about itself, by the hash of its node.
    fn metadata(&self, index: NodeIndex) -> (ObjectKey, Expression) {
        let graph = self.expressions.graph();
        let hash = node_hash(&graph.context().env_uuid, &graph.at(index).key);
        let lookup = FuncCall::builder("lookup")
            .arg(self.expressions.block(index))
            .arg(string("platform_orchestrator_metadata"))
            .arg(Expression::Object(Object::new()))
            .build();
        (ObjectKey::Expression(string(&hash)), lookup.into())
    }

    /// One argument of a module block; `null` means that it is not given.
    fn argument(
        &mut self,
        index: NodeIndex,
        site: Site,
        name: &str,
        value: &Value,
        place: impl Fn() -> Place,
        body: &mut Vec<hcl::Structure>,
    ) {
        if value.is_null() {
            return;
        }
        if !is_identifier(name) {
            self.refuse(place(), &Unexpressible::Name(name.to_owned()));
            return;
        }
        match self.expressions.value(index, site, value) {
            Ok(expression) => body.push(attribute(name, expression).into()),
            Err(why) => self.refuse(place(), &why),
        }
    }

    /// The metadata of all modules, then each workload's outputs.
    fn outputs(&mut self) {
        let metadata = Output {
            name: "platform_orchestrator_metadata",
            description: "The metadata output from the modules involved in the deployment",
            is_sensitive: false,
        };
        let entries = self.modules.iter().map(|index| Ok(self.metadata(*index)));
        match metadata.print(entries) {
            Ok(printed) => self.outputs += &printed,
            Err(why) => self.refuse(Place::manifest(""), &why),
        }
        let graph = self.expressions.graph();
        for index in graph.sorted().iter().copied() {
            let node = graph.at(index);
            if !node.key.is_workload() || node.leaving {
                continue;
            }
            let name = &node.key.id;
            let none = Map::new();
            let outputs = node.params.as_ref().unwrap_or(&none);
            let output = Output {
                name,
                description: &format!("The output variables for workload '{name}'"),
                is_sensitive: true,
            };
            match output.print(self.expressions.entries(index, Site::Output, outputs)) {
                Ok(printed) => self.outputs += &printed,
                Err(why) => self.refuse(
                    Place::manifest(pointer("/workloads", name) + "/outputs"),
                    &why,
                ),
            }
        }
    }

    fn print(&mut self, backend: &Backend) -> String {
        let required: Vec<hcl::Structure> = std::mem::take(&mut self.required)
            .into_iter()
            .map(|(name, entry)| attribute(&name, entry).into())
            .collect();
        let terraform = Block::builder("terraform")
            .add_block(backend_block(
                backend,
                &self.expressions.graph().context().env_uuid,
            ))
            .add_block(Block {
                identifier: Identifier::unchecked("required_providers"),
                labels: Vec::new(),
                body: Body(required),
            })
            .build();
        let mut printed = String::with_capacity(self.blocks.len() + self.outputs.len() + 1024);
        align(&print(&terraform), &mut printed);
        printed += &std::mem::take(&mut self.blocks);
        printed += &std::mem::take(&mut self.outputs);
        printed
    }
}

/// A block as the printer gives it.
fn print(block: &Block) -> String {
    let mut bytes = Vec::with_capacity(960);
    let mut formatter = hcl::format::Formatter::new(&mut bytes);
    // Printing into memory fails only on what the tree cannot hold.
    let _ = hcl::format::Format::format(block, &mut formatter);
    String::from_utf8(bytes).unwrap_or_default()
}

/// An attribute; names are checked before or are ours.
fn attribute(name: &str, value: Expression) -> Attribute {
    Attribute {
        key: Identifier::unchecked(name),
        expr: value,
    }
}

/// `key[N]` is the Nth block `key`; `\[` is no suffix.
fn block_name(key: &str) -> (&str, Option<u64>) {
    let split = || {
        let (name, number) = key.strip_suffix(']')?.rsplit_once('[')?;
        let is_block = !name.is_empty()
            && !name.ends_with('\\')
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit());
        is_block.then(|| (name, number.parse().ok()))
    };
    split().unwrap_or((key, None))
}

fn variable_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            for part in split(text).unwrap_or_default() {
                if let Part::Placeholder(_, Placeholder::Variable(name)) = part {
                    names.insert(name.to_owned());
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|item| variable_names(item, names)),
        Value::Object(map) => map.values().for_each(|item| variable_names(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Where a module's code lies inside the bundle, if it does.
fn folder(module: &Module) -> String {
    format!("modules/{}/{}", module.id, module.version_id)
}

/// Whether the code of a module is part of the bundle.
fn is_vendored(module: &Module, sources: &Sources) -> bool {
    let is_fetched = module
        .digest
        .as_ref()
        .is_some_and(|digest| sources.contains_key(digest));
    module.module_source == "inline" || is_fetched
}

/// `source` and `version` of a module block.
fn source(module: &Module, sources: &Sources) -> (String, Option<String>) {
    let source = &module.module_source;
    if is_vendored(module, sources) {
        return (format!("./{}", folder(module)), None);
    }
    if source.starts_with('/') || source.contains("::") {
        return (source.clone(), None);
    }
    match source.rsplit_once('@') {
        Some((address, version)) if !version.contains(['/', ':']) => {
            (address.to_owned(), Some(version.to_owned()))
        }
        _ => (source.clone(), None),
    }
}

/// Puts the code of modules in use into the bundle.
fn vendor(
    graph: &ResourceGraph,
    sources: &Sources,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Vec<Diagnostic> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for node in graph.nodes() {
        let Some(module) = node.module.as_ref().filter(|_| !node.leaving) else {
            continue;
        };
        if !seen.insert((&module.id, &module.version_id)) {
            continue;
        }
        let folder = folder(module);
        if module.module_source == "inline" {
            let code = module.module_source_code.clone().unwrap_or_default();
            files.insert(format!("{folder}/main.tf"), code.into_bytes());
            continue;
        }
        let Some(digest) = &module.digest else {
            continue;
        };
        match sources.get(digest) {
            Some(code) => {
                for (path, content) in code.iter() {
                    files.insert(format!("{folder}/{path}"), content.clone());
                }
            }
            None => problems.push(Diagnostic::error(
                "Module code missing",
                format!(
                    "The code of the module `{}` ({digest}) is not at hand. Save the module again so that it is fetched.",
                    module.id
                ),
                Place::at(
                    Document::Module {
                        id: module.id.clone(),
                        version: module.version_id.clone(),
                    },
                    "/module_source",
                ),
            )),
        }
    }
    problems
}

#[cfg(test)]
mod tests;
