//! Settings of single sign-on. The client's secret comes from a file, the environment or the settings file; as an
//! argument everybody on the host would see it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::settings::{Chosen, Pick, Source};
use crate::api::{Newcomers, SignOn, may_be_asked, redirect_uri};
use crate::cli::settings::ServeFile;
use crate::model::access::Role;
use crate::store::Store;
use crate::store::identity::tokens::Secret;

/// Where these flags stand in the help.
const HEADING: &str = "Single sign-on";
const SECRET: &str = "WINDLASS_OIDC_CLIENT_SECRET";

/// Flags of single sign-on.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct SignOnFlags {
    /// Where people sign in: the URL of an OpenID Connect issuer [env: WINDLASS_OIDC_ISSUER]
    #[arg(long, value_name = "URL", help_heading = HEADING)]
    oidc_issuer: Option<String>,
    /// What this server is called there; register PUBLIC_URL/auth/sso/callback as its redirect URI [env: WINDLASS_OIDC_CLIENT_ID]
    #[arg(long, value_name = "ID", help_heading = HEADING)]
    oidc_client_id: Option<String>,
    /// A file with the secret of that client, if it has one; the secret itself may be in WINDLASS_OIDC_CLIENT_SECRET [env: WINDLASS_OIDC_CLIENT_SECRET_FILE]
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    oidc_client_secret_file: Option<PathBuf>,
    /// What the button says: "Sign in with NAME" [env: WINDLASS_OIDC_NAME] [default: the host of the issuer]
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    oidc_name: Option<String>,
    /// Take addresses for verified of which the issuer does not say so; only where it gives them to people itself [env: WINDLASS_OIDC_TRUST_EMAILS] [default: false]
    #[arg(long, value_name = "true|false", help_heading = HEADING)]
    oidc_trust_emails: Option<bool>,
    /// The organisation that people join whom nobody made or invited; without it they stay out [env: WINDLASS_OIDC_NEWCOMER_ORG]
    #[arg(long, value_name = "ID", help_heading = HEADING)]
    oidc_newcomer_org: Option<String>,
    /// What they may do there: Admin, Deployer or Viewer [env: WINDLASS_OIDC_NEWCOMER_ROLE] [default: Viewer]
    #[arg(long, value_name = "ROLE", help_heading = HEADING)]
    oidc_newcomer_role: Option<String>,
    /// Domains of their addresses, `acme.example,acme.test`; * is everybody whom the issuer knows [env: WINDLASS_OIDC_NEWCOMER_DOMAINS]
    #[arg(long, value_name = "DOMAINS", help_heading = HEADING)]
    oidc_newcomer_domains: Option<String>,
}

/// What a server is told of single sign-on.
#[derive(Debug, Clone)]
pub(crate) struct SignOnSettings {
    issuer: Chosen<Option<String>>,
    client_id: Chosen<Option<String>>,
    client_secret: Chosen<Option<Secret>>,
    client_secret_file: Chosen<Option<PathBuf>>,
    name: Chosen<Option<String>>,
    trust_emails: Chosen<bool>,
    newcomer_org: Chosen<Option<String>>,
    newcomer_role: Chosen<String>,
    newcomer_domains: Chosen<Option<String>>,
}

/// Decides between the sources, and refuses what does not fit together.
pub(super) fn resolve(
    flags: SignOnFlags,
    pick: &Pick<'_>,
    file: &ServeFile,
) -> anyhow::Result<SignOnSettings> {
    let domains =
        (!file.oidc_newcomer_domains.is_empty()).then(|| file.oidc_newcomer_domains.join(","));
    let secret = match ((pick.env)(SECRET), &file.oidc_client_secret) {
        (Some(text), _) => (Some(text), Source::Environment(SECRET)),
        (None, Some(text)) => (Some(text.expose().to_owned()), Source::File),
        (None, None) => (None, Source::Usual),
    };
    let settings = SignOnSettings {
        issuer: pick.optional(
            flags.oidc_issuer,
            "WINDLASS_OIDC_ISSUER",
            file.oidc_issuer.clone(),
        )?,
        client_id: pick.optional(
            flags.oidc_client_id,
            "WINDLASS_OIDC_CLIENT_ID",
            file.oidc_client_id.clone(),
        )?,
        client_secret: Chosen {
            value: secret.0.as_deref().map(Secret::sent),
            source: secret.1,
        },
        client_secret_file: pick.optional(
            flags.oidc_client_secret_file,
            "WINDLASS_OIDC_CLIENT_SECRET_FILE",
            file.oidc_client_secret_file.clone(),
        )?,
        name: pick.optional(
            flags.oidc_name,
            "WINDLASS_OIDC_NAME",
            file.oidc_name.clone(),
        )?,
        trust_emails: pick.one(
            flags.oidc_trust_emails,
            "WINDLASS_OIDC_TRUST_EMAILS",
            file.oidc_trust_emails,
            false,
        )?,
        newcomer_org: pick.optional(
            flags.oidc_newcomer_org,
            "WINDLASS_OIDC_NEWCOMER_ORG",
            file.oidc_newcomer_org.clone(),
        )?,
        newcomer_role: pick.one(
            flags.oidc_newcomer_role,
            "WINDLASS_OIDC_NEWCOMER_ROLE",
            file.oidc_newcomer_role.clone(),
            Role::Viewer.name().to_owned(),
        )?,
        newcomer_domains: pick.optional(
            flags.oidc_newcomer_domains,
            "WINDLASS_OIDC_NEWCOMER_DOMAINS",
            domains,
        )?,
    };
    settings.check()?;
    Ok(settings)
}

impl SignOnSettings {
    fn check(&self) -> anyhow::Result<()> {
        let Some(_issuer) = &self.issuer.value else {
            let orphans = [
                ("--oidc-client-id", self.client_id.value.is_some()),
                ("--oidc-newcomer-org", self.newcomer_org.value.is_some()),
            ];
            return match orphans.iter().find(|(_, is_set)| *is_set) {
                Some((name, _)) => {
                    bail!("{name} needs --oidc-issuer, the URL where people sign in")
                }
                None => Ok(()),
            };
        };
        if self.client_id.value.is_none() {
            bail!("--oidc-issuer needs --oidc-client-id, what this server is called there");
        }
        if self.client_secret.value.is_some() && self.client_secret_file.value.is_some() {
            bail!("set {SECRET} or --oidc-client-secret-file, not both");
        }
        self.role()?;
        if self.newcomer_org.value.is_some() && self.domains().is_empty() {
            bail!(
                "--oidc-newcomer-org needs --oidc-newcomer-domains: without it everybody gets in whom the issuer knows; \
                 say * if that is meant"
            );
        }
        Ok(())
    }

    fn role(&self) -> anyhow::Result<Role> {
        let named = |role: &Role| role.name().eq_ignore_ascii_case(&self.newcomer_role.value);
        Role::ALL.into_iter().find(named).with_context(|| {
            format!(
                "--oidc-newcomer-role: there is no role `{}`; roles are Admin, Deployer and Viewer",
                self.newcomer_role.value
            )
        })
    }

    fn domains(&self) -> Vec<String> {
        let text = self.newcomer_domains.value.as_deref().unwrap_or_default();
        text.split(',')
            .map(|domain| domain.trim().trim_start_matches('@').to_lowercase())
            .filter(|domain| !domain.is_empty())
            .collect()
    }

    fn name(&self, issuer: &str) -> String {
        let host = || {
            let url = reqwest::Url::parse(issuer).ok()?;
            url.host_str().map(str::to_owned)
        };
        let name = self.name.value.clone().or_else(host);
        name.unwrap_or_else(|| issuer.to_owned())
    }

    /// What the door needs, checked against what is there; `url` is where the server is reached.
    pub(super) async fn ready(&self, store: &Store, url: &str) -> anyhow::Result<Option<SignOn>> {
        let (Some(issuer), Some(client_id)) = (&self.issuer.value, &self.client_id.value) else {
            return Ok(None);
        };
        if !may_be_asked(issuer, url) {
            bail!("--oidc-issuer: `{issuer}` must be an https URL");
        }
        let client_secret = match &self.client_secret_file.value {
            None => self.client_secret.value.clone(),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| {
                    format!("could not read the client's secret in `{}`", path.display())
                })?;
                Some(Secret::sent(&text))
            }
        };
        let newcomers = match &self.newcomer_org.value {
            None => None,
            Some(org) => {
                let found = store.organization_get(org).await;
                found.with_context(|| format!("--oidc-newcomer-org `{org}`"))?;
                Some(Newcomers {
                    org: org.clone(),
                    role: self.role()?,
                    domains: self.domains(),
                })
            }
        };
        tracing::info!(issuer, redirect_uri = redirect_uri(url), "people sign in");
        Ok(Some(SignOn {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            client_secret,
            name: self.name(issuer),
            trusts_addresses: self.trust_emails.value,
            newcomers,
        }))
    }

    /// Each with its source; the secret is masked.
    pub(super) fn print(&self, line: &mut impl FnMut(&str, String, &dyn std::fmt::Display)) {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
        line("oidc_issuer", text(&self.issuer.value), &self.issuer.source);
        if self.issuer.value.is_none() {
            return;
        }
        let masked = self.client_secret.value.as_ref().map(|_| "…".to_owned());
        let path = &self.client_secret_file.value;
        let path = path.as_ref().map(|path| path.display().to_string());
        for (name, value, source) in [
            (
                "oidc_client_id",
                text(&self.client_id.value),
                self.client_id.source,
            ),
            (
                "oidc_client_secret",
                text(&masked),
                self.client_secret.source,
            ),
            (
                "oidc_client_secret_file",
                text(&path),
                self.client_secret_file.source,
            ),
            (
                "oidc_name",
                self.name(self.issuer.value.as_deref().unwrap_or_default()),
                self.name.source,
            ),
            (
                "oidc_trust_emails",
                self.trust_emails.value.to_string(),
                self.trust_emails.source,
            ),
            (
                "oidc_newcomer_org",
                text(&self.newcomer_org.value),
                self.newcomer_org.source,
            ),
            (
                "oidc_newcomer_role",
                self.newcomer_role.value.clone(),
                self.newcomer_role.source,
            ),
            (
                "oidc_newcomer_domains",
                format!("[{}]", self.domains().join(", ")),
                self.newcomer_domains.source,
            ),
        ] {
            line(name, value, &source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(env: &[(&str, &str)]) -> anyhow::Result<SignOnSettings> {
        let find = |name: &str| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let pick = Pick { env: &find };
        resolve(SignOnFlags::default(), &pick, &ServeFile::default())
    }

    const ISSUER: (&str, &str) = ("WINDLASS_OIDC_ISSUER", "https://id.acme.example");
    const CLIENT: (&str, &str) = ("WINDLASS_OIDC_CLIENT_ID", "windlass");

    #[test]
    fn what_is_missing_or_would_let_everybody_in_is_refused_by_name() {
        let org = ("WINDLASS_OIDC_NEWCOMER_ORG", "acme");
        for (env, begins) in [
            (&[ISSUER][..], "--oidc-issuer needs --oidc-client-id"),
            (&[CLIENT], "--oidc-client-id needs --oidc-issuer"),
            (
                &[ISSUER, CLIENT, org],
                "--oidc-newcomer-org needs --oidc-newcomer-domains",
            ),
            (
                &[ISSUER, CLIENT, ("WINDLASS_OIDC_NEWCOMER_ROLE", "King")],
                "--oidc-newcomer-role: there is no role `King`",
            ),
            (
                &[
                    ISSUER,
                    CLIENT,
                    (SECRET, "a"),
                    ("WINDLASS_OIDC_CLIENT_SECRET_FILE", "f"),
                ],
                "set WINDLASS_OIDC_CLIENT_SECRET or",
            ),
        ] {
            let error = settled(env).expect_err("refused").to_string();
            assert!(error.starts_with(begins), "{error}");
        }
    }

    #[test]
    fn the_secret_is_masked_and_the_rest_is_printed() {
        let domains = ("WINDLASS_OIDC_NEWCOMER_DOMAINS", "@Acme.example, b.example");
        let env = [ISSUER, CLIENT, (SECRET, "geheim"), domains];
        let settings = settled(&env).expect("resolves");
        let mut text = String::new();
        settings.print(&mut |name, value, source| {
            text.push_str(&format!("{name}: {value} # {source}\n"));
        });
        for line in [
            "oidc_client_secret: … # WINDLASS_OIDC_CLIENT_SECRET\n",
            "oidc_name: id.acme.example # default\n",
            "oidc_newcomer_domains: [acme.example, b.example] # WINDLASS_OIDC_NEWCOMER_DOMAINS\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("geheim") && !format!("{settings:?}").contains("geheim"));
    }
}
