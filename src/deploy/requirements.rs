//! Which providers the catalogue and the environments of an organisation need: for whoever fills a mirror.

use std::collections::{BTreeMap, BTreeSet};

use super::offer::own_digest;
use super::runners::of_objects;
use super::{Error, Service};
use crate::hcl::{CodeFiles, read_code, read_lock};
use crate::sources::Source;
use crate::store::deployments::places;
use crate::store::objects::Paging;
use crate::wire::objects::Module;

/// One provider that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Requirement {
    /// As `required_providers` has it, or a whole address.
    pub(crate) source: String,
    /// Which versions, as written; empty: any.
    pub(crate) version: String,
    /// Who asks, in words.
    pub(crate) by: String,
}

/// All of them, and what could not be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// Sorted, each once.
    pub(crate) all: BTreeSet<Requirement>,
    /// In words.
    pub(crate) unread: Vec<String>,
}

impl Service {
    /// Of the code of all modules in their current versions, of the providers of the catalogue, and of the lock files of
    /// environments.
    pub(crate) async fn required_providers(&self, org: &str) -> Result<Requirements, Error> {
        let mut found = Requirements::default();
        for module in self.all_modules(org).await? {
            let by = format!("module {}", module.id);
            match self.code_of(&module).await? {
                Some(files) => {
                    if let Err(why) = required_by(&files, &by, &mut found.all) {
                        found.unread.push(format!("{by}: {why}"));
                    }
                }
                None if Source::parse(&module.module_source) == Some(Source::Image) => {
                    found
                        .unread
                        .push(format!("{by}: its code lies in the runner's image"));
                }
                None => found.unread.push(format!("{by}: its code is not at hand")),
            }
        }
        let providers = self
            .store
            .provider_list(org, None, &Paging::ALL)
            .await
            .map_err(of_objects)?;
        for listed in providers.items {
            // Lists leave the constraint out.
            let provider = self
                .store
                .provider_get(org, &listed.provider_type, &listed.id)
                .await
                .map_err(of_objects)?;
            found.all.insert(Requirement {
                source: provider.source,
                version: provider.version_constraint.unwrap_or_default(),
                by: format!("provider {}.{}", provider.provider_type, provider.id),
            });
        }
        let mut reading = self.store.reading().await?;
        for (place, text) in places::lock_files(&mut reading, org).await? {
            let by = format!("the lock file of {place}");
            match read_lock(&text) {
                Some(locked) => {
                    found
                        .all
                        .extend(locked.into_iter().map(|(source, locked)| Requirement {
                            source,
                            version: locked.version,
                            by: by.clone(),
                        }))
                }
                None => found.unread.push(by),
            }
        }
        Ok(found)
    }

    /// Every module of an organisation in its current version.
    pub(super) async fn all_modules(&self, org: &str) -> Result<Vec<Module>, Error> {
        let listed = self
            .store
            .module_list(org, None, &Paging::ALL)
            .await
            .map_err(of_objects)?;
        Ok(listed.items)
    }

    async fn code_of(&self, module: &Module) -> Result<Option<BTreeMap<String, Vec<u8>>>, Error> {
        if let Some(code) = &module.module_source_code {
            let file = ("main.tf".to_owned(), code.clone().into_bytes());
            return Ok(Some(BTreeMap::from([file])));
        }
        match self.digest_of_code(module).await? {
            Some(digest) => Ok(Some(self.unpacked(&digest).await?.into_files())),
            None => Ok(None),
        }
    }

    /// The digest of a module's code, where it is kept here.
    pub(super) async fn digest_of_code(&self, module: &Module) -> Result<Option<String>, Error> {
        let own = own_digest(module);
        let digest = match own {
            Some(digest) => Some(digest),
            None => {
                let mut reading = self.store.reading().await?;
                crate::store::deployments::code::digest_of(&mut reading, &module.version_id).await?
            }
        };
        match digest {
            Some(digest) if self.store.blob_has(&digest).await? => Ok(Some(digest)),
            _ => Ok(None),
        }
    }
}

/// Adds what code requires, beginning at its top and going where it calls.
fn required_by(
    files: &BTreeMap<String, Vec<u8>>,
    by: &str,
    all: &mut BTreeSet<Requirement>,
) -> Result<(), String> {
    let mut lying: BTreeMap<&str, CodeFiles<'_>> = BTreeMap::new();
    for (path, content) in files {
        let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
        lying.entry(directory).or_default().insert(name, content);
    }
    let mut seen = BTreeSet::new();
    let mut next = vec![".".to_owned()];
    while let Some(directory) = next.pop() {
        if !seen.insert(directory.clone()) {
            continue;
        }
        let Some(here) = lying.get(directory.as_str()) else {
            continue;
        };
        let one = BTreeMap::from([(directory.clone(), here.clone())]);
        for code in read_code(&one).map_err(|why| why.0)?.into_values() {
            let used = code
                .uses
                .iter()
                .filter(|name| !code.required.contains_key(*name));
            all.extend(used.map(|name| Requirement {
                source: name.clone(),
                version: String::new(),
                by: by.to_owned(),
            }));
            for (name, required) in code.required {
                all.insert(Requirement {
                    source: required.source.unwrap_or(name),
                    version: required.version.unwrap_or_default(),
                    by: by.to_owned(),
                });
            }
            let calls = code.calls.values();
            next.extend(calls.filter_map(|source| below(&directory, source)));
        }
    }
    // Part of every engine.
    all.retain(|required| {
        !["terraform", "terraform.io/builtin/terraform"].contains(&required.source.as_str())
    });
    Ok(())
}

/// Where a call in `directory` leads; `None` outside the module.
fn below(directory: &str, source: &str) -> Option<String> {
    if !source.starts_with("./") && !source.starts_with("../") {
        return None;
    }
    let mut parts: Vec<&str> = directory.split('/').filter(|part| *part != ".").collect();
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(match parts.is_empty() {
        true => ".".to_owned(),
        false => parts.join("/"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_code_requires_is_found_where_it_is_called_and_nowhere_else() {
        let files = [
            ("main.tf", "terraform {\n  required_providers {\n    db = {\n      source = \"acme/db\"\n      version = \"~> 1.2\"\n    }\n  }\n}\nmodule \"x\" {\n  source = \"./parts/x\"\n}\nresource \"terraform_data\" \"a\" {}\n"),
            ("parts/x/main.tf", "resource \"time_static\" \"a\" {}\n"),
            ("examples/main.tf", "resource \"null_resource\" \"a\" {}\n"),
        ]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        let mut all = BTreeSet::new();
        required_by(&files.into(), "module m", &mut all).expect("read");
        let found: Vec<(&str, &str)> = all
            .iter()
            .map(|it| (it.source.as_str(), it.version.as_str()))
            .collect();
        assert_eq!(found, [("acme/db", "~> 1.2"), ("time", "")]);
    }
}
