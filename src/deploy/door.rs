//! The compiler's door for integration tests and benchmarks: text in, files or printed problems out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::compile::{Compiled, Input, compile};
use crate::catalog;
use crate::hcl::Backend;
use crate::model::phase::Mode;
use crate::model::{Context, Diagnostic};
use crate::text::{self, Limits};

/// Where [`compile_text`] compiles for.
#[derive(Debug, Clone)]
pub struct CompileContext {
    /// Organisation.
    pub org_id: String,
    /// Project.
    pub project_id: String,
    /// Environment.
    pub env_id: String,
    /// Its type.
    pub env_type_id: String,
    /// Its UUID.
    pub env_uuid: String,
    /// Namespace of the Kubernetes backend; `None`: local state.
    pub kubernetes_namespace: Option<String>,
    /// Files of module directories by digest.
    pub sources: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

impl Default for CompileContext {
    fn default() -> Self {
        Self {
            org_id: "acme".into(),
            project_id: "shop".into(),
            env_id: "dev".into(),
            env_type_id: "development".into(),
            env_uuid: "11111111-2222-3333-4444-555555555555".into(),
            kubernetes_namespace: None,
            sources: BTreeMap::new(),
        }
    }
}

/// Compiles a manifest against catalogue documents: files of the bundle, or the problems as text.
///
/// # Errors
///
/// Whatever is wrong with either, printed with lines and columns.
pub fn compile_text(
    manifest: &[u8],
    catalogue: &[&str],
    context: &CompileContext,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let document = text::read("manifest.yaml", manifest, Limits::DEFAULT).map_err(|p| print(&p))?;
    let compiled = compile_value(&document.value, catalogue, context).map_err(|mut problems| {
        for place in problems.iter_mut().flat_map(|p| &mut p.places) {
            if place.document == crate::model::diag::Document::Manifest {
                document.locate(place);
            }
        }
        print(&problems)
    })?;
    Ok(compiled.bundle.files)
}

fn compile_value(
    manifest: &Value,
    catalogue: &[&str],
    context: &CompileContext,
) -> Result<Compiled, Vec<Diagnostic>> {
    let model = Context {
        org_id: context.org_id.clone(),
        project_id: context.project_id.clone(),
        env_id: context.env_id.clone(),
        env_type_id: context.env_type_id.clone(),
        env_uuid: context.env_uuid.clone(),
    };
    let mut documents = Vec::new();
    for (number, text) in catalogue.iter().enumerate() {
        let name = format!("catalogue-{}.yaml", number + 1);
        documents.extend(text::read_all(&name, text.as_bytes(), Limits::DEFAULT)?);
    }
    let catalogue = catalog::from_documents(&model, &documents)?;
    let backend = context
        .kubernetes_namespace
        .as_ref()
        .map_or_else(Backend::local, |namespace| Backend::Kubernetes {
            namespace: namespace.clone(),
        });
    let sources = context
        .sources
        .iter()
        .map(|(digest, files)| (digest.clone(), Arc::new(files.clone())))
        .collect();
    compile(&Input {
        context: model,
        mode: Mode::Deploy,
        manifest,
        strict: true,
        catalogue: &catalogue,
        previous: None,
        target: None,
        backend: &backend,
        sources: &sources,
        lock_file: None,
    })
}

/// Problems as text: severity, summary, places, detail.
fn print(problems: &[Diagnostic]) -> String {
    let mut text = String::new();
    for problem in problems {
        let word = if problem.is_error() {
            "error"
        } else {
            "warning"
        };
        let _ = writeln!(text, "{word}: {}", problem.summary);
        for place in &problem.places {
            let file = match (&place.file, &place.document) {
                (Some(file), _) => file.clone(),
                (None, document) => format!("{document:?}"),
            };
            let at = match (place.line, place.column) {
                (Some(line), Some(column)) => format!(":{line}:{column}"),
                _ => String::new(),
            };
            let _ = writeln!(text, "  at {file}{at} {}", place.pointer);
        }
        let _ = writeln!(text, "  {}", problem.detail);
    }
    text
}

/// A generated manifest and its catalogue, for benchmarks.
pub struct BenchCase {
    manifest: Value,
    catalogue: String,
    context: CompileContext,
}

/// The shape of a generated graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchShape {
    /// Each resource names the one before.
    Chain,
    /// All resources name one shared resource.
    Star,
    /// Each resource names up to three earlier ones.
    Random,
}

/// Generates `nodes` resources, the same ones every time: in workloads of ten (star) or all in one.
#[must_use]
pub fn bench_manifest(shape: BenchShape, nodes: usize) -> BenchCase {
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below.max(1) as u64).unwrap_or(0)
    };
    let mut workloads = Map::new();
    let mut shared = Map::new();
    shared.insert(
        "root".into(),
        json!({"type": "item", "params": {"size": 1}}),
    );
    // Only resources of one workload can name each other.
    let size = if shape == BenchShape::Star { 10 } else { nodes };
    let mut made = 1;
    while made < nodes {
        let mut resources = Map::new();
        let mut outputs = Map::new();
        let workload = made;
        while made < nodes && made - workload < size {
            let before = |alias: usize| {
                if alias < workload {
                    "${shared.root.outputs.id}".to_owned()
                } else {
                    format!("${{resources.r{alias}.outputs.id}}")
                }
            };
            let names = match shape {
                BenchShape::Chain => before(made - 1),
                BenchShape::Star => "${shared.root.outputs.id}".to_owned(),
                BenchShape::Random => {
                    let pick = |n: usize| before(made.saturating_sub(n + 1));
                    format!(
                        "{}-{}-{}",
                        pick(random(10)),
                        pick(random(10)),
                        pick(random(30))
                    )
                }
            };
            resources.insert(
                format!("r{made}"),
                json!({"type": "item", "params": {
                    "size": made, "name": format!("item {made} of ${{context.env_id}}"),
                    "needs": names, "tags": {"a": "x", "b": ["y", "z"]}}}),
            );
            outputs.insert(
                format!("OUT_{made}"),
                format!("${{resources.r{made}.outputs.id}}").into(),
            );
            made += 1;
        }
        workloads.insert(
            format!("w{workload}"),
            json!({"resources": resources, "outputs": outputs}),
        );
    }
    let catalogue = "kind: resource-type
id: item
output_schema: {type: object, properties: {id: {type: string}}}
---
kind: module
id: item
resource_type: item
module_source: inline
module_source_code: |
  variable \"size\" {}
  output \"id\" { value = var.size }
module_params:
  size: {type: number}
  name: {type: string, is_optional: true}
  needs: {type: string, is_optional: true}
  tags: {type: map, is_optional: true}
module_inputs: {kind: '${context.res_type}'}
---
kind: module-rule
module_id: item
";
    BenchCase {
        manifest: json!({"workloads": workloads, "shared": shared}),
        catalogue: catalogue.into(),
        context: CompileContext::default(),
    }
}

impl BenchCase {
    /// Compiles, from the JSON value to the bundle; the length of `main.tf`.
    ///
    /// # Panics
    ///
    /// If the generated manifest does not compile.
    #[must_use]
    pub fn compile(&self) -> usize {
        match compile_value(&self.manifest, &[&self.catalogue], &self.context) {
            Ok(compiled) => compiled.bundle.files["main.tf"].len(),
            Err(problems) => panic!("{}", print(&problems)),
        }
    }
}
