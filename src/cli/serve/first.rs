//! The first who may do anything: a one-time link for a person, or a token that automation brings along.

use anyhow::{Context as _, bail};

use crate::api::{LINK_US, link};
use crate::model::access::{Role, Scope};
use crate::model::name::Shape;
use crate::store::Store;
use crate::store::clock;
use crate::store::identity::Kind as UserKind;
use crate::store::identity::grants::Granted;
use crate::store::identity::tokens::{Kind, Secret};
use crate::store::identity::users::NewUser;
use crate::store::objects::organizations::{DEFAULT, SYSTEM_USER};

/// How long a token serves that automation brought along; it is looked up anew at each start.
const TOKEN_US: i64 = 3660 * 24 * 3600 * 1_000_000;
/// The service user of automation.
const BOOTSTRAP: &str = "bootstrap";
/// The least length of a token that somebody chose.
const SHORTEST: usize = 24;

/// Sees to it that somebody can log in: what the environment brings, else a link if there is nobody at all.
pub(crate) async fn administrator(
    store: &Store,
    env: impl Fn(&str) -> Option<String>,
    url: &str,
) -> anyhow::Result<Option<String>> {
    let org = env("WINDLASS_BOOTSTRAP_ORG");
    let token = token(&env)?;
    match (org, token) {
        (Some(org), Some(secret)) => {
            if !is_organization_id(&org) {
                bail!(
                    "WINDLASS_BOOTSTRAP_ORG: `{org}` is no organisation id: lower-case letters, digits and single hyphens, beginning with a letter"
                );
            }
            store
                .bootstrap(
                    &org,
                    BOOTSTRAP,
                    &secret,
                    clock::now_us() + TOKEN_US,
                    SYSTEM_USER,
                )
                .await?;
            Ok(None)
        }
        (Some(_), None) => bail!(
            "WINDLASS_BOOTSTRAP_ORG needs WINDLASS_BOOTSTRAP_TOKEN_FILE (or WINDLASS_BOOTSTRAP_TOKEN)"
        ),
        (None, Some(_)) => {
            bail!(
                "a bootstrap token needs WINDLASS_BOOTSTRAP_ORG, the organisation that it administers"
            )
        }
        (None, None) if store.is_anybody_in().await? => Ok(None),
        (None, None) => {
            let secret = Secret::new(Kind::Link);
            // A link that was printed and lost is replaced.
            store.forget_first_person(SYSTEM_USER).await?;
            store
                .person_create(
                    DEFAULT,
                    &NewUser {
                        kind: UserKind::Person,
                        name: "Administrator",
                        email: None,
                        by: SYSTEM_USER,
                    },
                    &[Granted {
                        scope: Scope::Organization,
                        role: Role::Admin,
                    }],
                    (&secret, clock::now_us() + LINK_US),
                )
                .await?;
            Ok(Some(link(url, &secret)))
        }
    }
}

fn token(env: &impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Secret>> {
    let text = match (
        env("WINDLASS_BOOTSTRAP_TOKEN"),
        env("WINDLASS_BOOTSTRAP_TOKEN_FILE"),
    ) {
        (Some(_), Some(_)) => {
            bail!("set WINDLASS_BOOTSTRAP_TOKEN or WINDLASS_BOOTSTRAP_TOKEN_FILE, not both")
        }
        (Some(text), None) => text,
        (None, Some(path)) => std::fs::read_to_string(&path)
            .with_context(|| format!("could not read the bootstrap token in `{path}`"))?,
        (None, None) => return Ok(None),
    };
    let secret = Secret::sent(&text);
    if !secret.expose().starts_with("SU-") || secret.expose().len() < SHORTEST {
        bail!(
            "the bootstrap token must begin with `SU-` and have at least {SHORTEST} characters; make one with: \
             printf 'SU-%s' \"$(openssl rand -base64 33 | tr '+/' '-_')\""
        );
    }
    Ok(Some(secret))
}

/// Whether a text may be the id of an organisation: 2 to 50 characters.
fn is_organization_id(text: &str) -> bool {
    text.len() <= 50 && Shape::StdId.fits(text)
}
