//! The dependency lock file: read, and printed as the engines print it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hcl::Expression;
use sha2::{Digest as _, Sha256};

use super::escape::quoted;

/// One entry of a lock file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Locked {
    pub(crate) version: String,
    pub(crate) constraints: String,
    pub(crate) hashes: BTreeSet<String>,
}

/// The hash of an unpacked package as lock files have it (`h1:`): SHA-256 over the list of its files, each with its own
/// digest in hexadecimal, in the order of their names.
pub(crate) fn package_hash<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let sorted: BTreeMap<&str, &str> = files.into_iter().collect();
    let mut list = String::new();
    for (name, digest) in sorted {
        let _ = writeln!(list, "{digest}  {name}");
    }
    format!(
        "h1:{}",
        BASE64_STANDARD.encode(Sha256::digest(list.as_bytes()))
    )
}

/// Reads a lock file; `None` where it has a form that is not known here.
pub(crate) fn read_lock(text: &str) -> Option<BTreeMap<String, Locked>> {
    let body = hcl::parse(text).ok()?;
    let mut all = BTreeMap::new();
    for block in body.blocks() {
        let label = block.labels().first().map(hcl::BlockLabel::as_str);
        let ("provider", Some(address)) = (block.identifier(), label) else {
            return None;
        };
        let mut locked = Locked::default();
        for attribute in block.body().attributes() {
            match (attribute.key(), attribute.expr()) {
                ("version", Expression::String(text)) => locked.version.clone_from(text),
                ("constraints", Expression::String(text)) => locked.constraints.clone_from(text),
                ("hashes", Expression::Array(hashes)) => {
                    for hash in hashes {
                        let Expression::String(hash) = hash else {
                            return None;
                        };
                        locked.hashes.insert(hash.clone());
                    }
                }
                _ => return None,
            }
        }
        all.insert(address.to_owned(), locked);
    }
    Some(all)
}

/// Prints a lock file as the engines do.
pub(crate) fn print_lock<'a>(
    entries: impl Iterator<Item = (&'a str, &'a Locked)>,
    program: &str,
) -> String {
    let mut text = format!(
        "# This file is maintained automatically by \"{program} init\".\n# Manual edits may be lost in future updates.\n"
    );
    for (address, locked) in entries {
        let _ = write!(text, "\nprovider {} {{\n", quoted(address));
        if locked.constraints.is_empty() {
            let _ = writeln!(text, "  version = {}", quoted(&locked.version));
        } else {
            let _ = writeln!(text, "  version     = {}", quoted(&locked.version));
            let _ = writeln!(text, "  constraints = {}", quoted(&locked.constraints));
        }
        if !locked.hashes.is_empty() {
            text.push_str("  hashes = [\n");
            for hash in &locked.hashes {
                let _ = writeln!(text, "    {},", quoted(hash));
            }
            text.push_str("  ]\n");
        }
        text.push_str("}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"# This file is maintained automatically by "tofu init".
# Manual edits may be lost in future updates.

provider "registry.example/hashicorp/http" {
  version = "1.2.0"
  hashes = [
    "h1:HHVo8+kmfPj82JsdguKEn8SwC+VtpNb+8n+WGLd0mw8=",
  ]
}

provider "registry.example/hashicorp/time" {
  version     = "0.14.2"
  constraints = ">= 0.10.0, ~> 0.14, < 1.0.0"
  hashes = [
    "h1:9bOAnZXe+dHF0l5t+vaMyfJ3H/tIex60SQPpxFfRjBU=",
  ]
}
"#;

    #[test]
    fn texts_in_a_lock_file_stay_texts() {
        let locked = Locked {
            version: "1\" \\ ${1+1}".into(),
            constraints: "%{if true}".into(),
            hashes: BTreeSet::from(["h1:\"\n".into()]),
        };
        let printed = print_lock([("a\" {", &locked)].into_iter(), "tofu");
        assert_eq!(
            read_lock(&printed),
            Some(BTreeMap::from([("a\" {".into(), locked)])),
            "{printed}"
        );
    }

    #[test]
    fn a_lock_file_prints_as_it_was_read() {
        let read = read_lock(LOCK).expect("read");
        assert_eq!(
            print_lock(read.iter().map(|(a, l)| (a.as_str(), l)), "tofu"),
            LOCK
        );
        for odd in ["provider \"x\" { version = 1 }", "other {}", "{"] {
            assert!(read_lock(odd).is_none(), "{odd}");
        }
    }
}
