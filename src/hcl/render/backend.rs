//! The block that tells an engine where the state lies: as part of a bundle, alone, and in place of another one.

use hcl::{Block, Expression};

use super::{align, attribute, print};
use crate::hcl::Backend;
use crate::hcl::expr::string;

/// How the block begins and ends in what is printed here.
const HEAD: &str = "  backend \"";
const END: &str = "\n  }\n";

pub(super) fn backend_block(backend: &Backend, uuid: &str) -> Block {
    let text = |name: &str, value: &str| attribute(name, string(value));
    let (kind, attributes) = match backend {
        Backend::Local { path } => ("local", vec![text("path", path)]),
        Backend::Hosted => ("http", Vec::new()),
        Backend::Http {
            address,
            lock_path,
            lock_method,
            unlock_method,
        } => {
            let address = format!("{}/{uuid}", address.trim_end_matches('/'));
            let lock = format!("{address}{}", lock_path.as_deref().unwrap_or_default());
            let mut attributes = vec![
                text("address", &address),
                text("lock_address", &lock),
                text("unlock_address", &lock),
            ];
            for (name, method) in [
                ("lock_method", lock_method),
                ("unlock_method", unlock_method),
            ] {
                attributes.extend(method.as_ref().map(|method| text(name, method)));
            }
            ("http", attributes)
        }
        Backend::Pg { schema_name } => {
            let schema = format!("{schema_name}_{}", uuid.replace('-', ""));
            ("pg", vec![text("schema_name", &schema)])
        }
        Backend::Kubernetes { namespace } => (
            "kubernetes",
            vec![
                text("secret_suffix", uuid),
                text("namespace", namespace),
                attribute("in_cluster_config", Expression::Bool(true)),
            ],
        ),
        Backend::S3 {
            bucket,
            path_prefix,
        } => (
            "s3",
            vec![
                text("bucket", bucket),
                text(
                    "key",
                    &joined(path_prefix.as_deref(), &format!("{uuid}.tfstate")),
                ),
            ],
        ),
        Backend::Gcs {
            bucket,
            path_prefix,
        } => (
            "gcs",
            vec![
                text("bucket", bucket),
                text("prefix", &joined(path_prefix.as_deref(), uuid)),
            ],
        ),
        Backend::Azurerm {
            resource_group_name,
            storage_account_name,
            container_name,
            path_prefix,
        } => {
            let mut attributes = Vec::new();
            if let Some(group) = resource_group_name {
                attributes.push(text("resource_group_name", group));
            }
            attributes.push(text("storage_account_name", storage_account_name));
            attributes.push(text("container_name", container_name));
            let key = joined(path_prefix.as_deref(), &format!("{uuid}/terraform.tfstate"));
            attributes.push(text("key", &key));
            ("azurerm", attributes)
        }
    };
    Block::builder("backend")
        .add_label(kind)
        .add_attributes(attributes)
        .build()
}

/// A path below a prefix, cleaned: no empty parts, no `.`, `..` taken back.
fn joined(prefix: Option<&str>, rest: &str) -> String {
    let is_rooted = prefix.is_some_and(|prefix| prefix.starts_with('/'));
    let mut parts: Vec<&str> = Vec::new();
    for part in prefix.unwrap_or_default().split('/').chain(rest.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_rooted => {}
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    if is_rooted { format!("/{path}") } else { path }
}

/// A root module of nothing but the block.
pub(crate) fn backend_alone(backend: &Backend, uuid: &str) -> String {
    let terraform = Block::builder("terraform")
        .add_block(backend_block(backend, uuid))
        .build();
    let mut printed = String::new();
    align(&print(&terraform), &mut printed);
    printed
}

/// A root module that was printed here, with another block; `None` where it has none.
pub(crate) fn with_backend(root: &str, backend: &Backend, uuid: &str) -> Option<String> {
    let place = |text: &str| {
        let from = text.find(HEAD)?;
        let to = from + text[from..].find(END)? + END.len();
        Some(from..to)
    };
    let new = backend_alone(backend, uuid);
    let new = &new[place(&new)?];
    let mut root = root.to_owned();
    root.replace_range(place(&root)?, new);
    Some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_takes_the_place_of_any_other_and_nothing_else_changes() {
        let all = [
            Backend::local(),
            Backend::Hosted,
            Backend::Pg {
                schema_name: "s".into(),
            },
            Backend::Kubernetes {
                namespace: "n".into(),
            },
        ];
        let rest = "  required_providers {\n  }\n}\n\nmodule \"m\" {\n  backend \"x\" {\n  }\n}\n";
        let whole = |backend: &Backend| {
            let alone = backend_alone(backend, "u");
            format!("{}{rest}", alone.strip_suffix("}\n").expect("closed"))
        };
        for from in &all {
            for to in &all {
                let replaced = with_backend(&whole(from), to, "u").expect("there");
                assert_eq!(replaced, whole(to));
            }
        }
        assert_eq!(with_backend("terraform {\n}\n", &all[0], "u"), None);
    }
}
