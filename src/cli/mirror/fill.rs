//! `mirror fill`: everything that the catalogue and the environments of an organisation need.

use std::collections::{BTreeMap, BTreeSet};

use super::choose::{Choice, choose};
use super::{From, add, mirror, registry_of};
use crate::cli::Session;
use crate::cli::exit::Exit;
use crate::cli::print;
use crate::hcl::versions::{self, Term};
use crate::sources::mirror::{Provider, Wanted, is_version};

/// Fetch every provider that the catalogue and the lock files of environments ask for
///
/// It reads the code of all modules, the providers of the catalogue, and the lock files, on the machine whose data
/// directory that is. Of each provider it takes the newest version that all of them allow (or, where there is none, the newest
/// for each), and every version that an environment is locked to. What is there already is not fetched again.
#[derive(Debug, clap::Args)]
pub(crate) struct Fill {
    /// Only say what would be fetched
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    from: From,
}

impl Fill {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let service = session.local().await?.service();
        let required = service.required_providers(&session.settings.org).await?;
        for unread in &required.unread {
            print::warning(format!(
                "{unread}; what it requires is not fetched: add it with `windlass mirror add`"
            ));
        }
        let registry = registry_of(session, self.from.engine);
        let mut wanted: BTreeMap<Provider, Asked> = BTreeMap::new();
        for one in required.all {
            let provider = Provider::parse(&one.source, registry)
                .map_err(|why| anyhow::anyhow!("{}: {why}", one.by))?;
            let asked = wanted.entry(provider).or_default();
            if is_version(&one.version) {
                asked.exactly.insert(one.version);
                continue;
            }
            match versions::terms(&one.version) {
                Some(terms) => {
                    asked.terms.insert(terms);
                }
                None => print::warning(format!(
                    "{}: the constraint `{}` is not understood here; add a version of {} with `windlass mirror add`",
                    one.by, one.version, one.source
                )),
            }
        }
        if wanted.is_empty() {
            print::success("Nothing here needs a provider.");
            return Ok(Exit::OK);
        }
        let registries = self.from.registries()?;
        let platforms = self.from.platforms();
        let target = mirror(session);
        for (provider, asked) in wanted {
            let mut chosen = BTreeSet::new();
            if !asked.terms.is_empty() {
                let together: Vec<Term> = asked.terms.iter().flatten().copied().collect();
                let all = [Choice::Newest(together)];
                chosen = match choose(&registries, &provider, &all, &platforms).await {
                    Ok(chosen) => chosen,
                    Err(_) if asked.terms.len() > 1 => {
                        let each: Vec<Choice> =
                            asked.terms.iter().cloned().map(Choice::Newest).collect();
                        choose(&registries, &provider, &each, &platforms).await?
                    }
                    Err(error) => return Err(error),
                };
            }
            chosen.extend(asked.exactly);
            for version in chosen {
                for platform in &platforms {
                    let one = Wanted::new(provider.clone(), &version, platform)
                        .map_err(anyhow::Error::msg)?;
                    match self.dry_run {
                        true if target.package(&one).is_some() => {
                            print::say(format!("{one} is there already."));
                        }
                        true => print::say(format!("{one} would be fetched.")),
                        false => add(&registries, &target, &one).await?,
                    }
                }
            }
        }
        Ok(Exit::OK)
    }
}

/// What is asked for of one provider.
#[derive(Debug, Default)]
struct Asked {
    exactly: BTreeSet<String>,
    terms: BTreeSet<Vec<Term>>,
}
