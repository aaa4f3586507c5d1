//! Module code on its way to an installation without a network, and there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Error, Service};
use crate::sources::{Code, Source};
use crate::store::deployments::code;

/// The code of one or more modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// In its canonical form.
    pub(crate) packed: Vec<u8>,
    /// Sources of modules that name it otherwise than by its digest.
    pub(crate) sources: BTreeSet<String>,
}

/// Everything that can be carried, by digest, and in words what cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ToCarry {
    pub(crate) code: BTreeMap<String, Carried>,
    pub(crate) left: Vec<String>,
}

impl Service {
    /// The code of every module in its current version.
    pub(crate) async fn code_to_carry(&self, org: &str) -> Result<ToCarry, Error> {
        let mut found = ToCarry::default();
        for module in self.all_modules(org).await? {
            let source = Source::parse(&module.module_source);
            if source == Some(Source::Inline) {
                continue; // The catalogue's own file has it.
            }
            match self.digest_of_code(&module).await? {
                Some(digest) => {
                    let packed = self.store.blob_get(&digest).await?;
                    let carried = found.code.entry(digest).or_default();
                    carried.packed = packed;
                    if matches!(source, Some(Source::Git(_))) {
                        carried.sources.insert(module.module_source);
                    }
                }
                None => found.left.push(match source {
                    Some(Source::Image) => format!(
                        "the code of the module `{}` lies in the runner's image",
                        module.id
                    ),
                    Some(Source::Git(_)) => format!(
                        "the code of the module `{}` was never fetched; deploy it once, or apply it again",
                        module.id
                    ),
                    _ => format!(
                        "the code of the module `{}` is not kept here (`{}`)",
                        module.id, module.module_source
                    ),
                }),
            }
        }
        Ok(found)
    }

    /// Keeps code that was carried here: all of it or, where one is not what its digest says, nothing.
    pub(crate) async fn take_code(
        &self,
        org: &str,
        carried: BTreeMap<String, (Vec<u8>, Vec<String>)>,
    ) -> Result<(), Error> {
        for (digest, (packed, sources)) in &carried {
            let is_good = Code::unpack(packed).is_ok_and(|code| code.digest() == *digest);
            let are_git = sources
                .iter()
                .all(|source| matches!(Source::parse(source), Some(Source::Git(_))));
            if !is_good || !are_git {
                return Err(Error::Conflict(format!(
                    "the module code `{digest}` of the kit is not what it says; nothing was taken"
                )));
            }
        }
        // Bytes first: each is a write of its own, and without a name it is nothing.
        for (packed, _) in carried.values() {
            self.store.blob_put(packed).await?;
        }
        let mut writing = self.store.writing().await?;
        for (digest, (_, sources)) in &carried {
            code::uploaded(&mut writing, org, digest).await?;
            for source in sources {
                code::remember_source(&mut writing, source, digest).await?;
            }
        }
        writing.commit().await?;
        Ok(())
    }

    /// The code of a source that was carried here, so that nothing has to be fetched.
    pub(super) async fn carried(&self, source: &str) -> Result<Option<String>, Error> {
        let mut reading = self.store.reading().await?;
        let digest = code::digest_of(&mut reading, source).await?;
        drop(reading);
        match digest {
            Some(digest) if self.store.blob_has(&digest).await? => Ok(Some(digest)),
            _ => Ok(None),
        }
    }
}
