//! Jobs of build systems and other programs that hold no secret: a token that their issuer signed is changed into a
//! short one, where a trust rule of the organisation says so.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::roles::Roles;
use super::service_users::NAME;
use super::{MINUTE_US, over_after};
use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, Fields, Problems, Text};
use crate::api::error::Refusal;
use crate::api::oidc::jwt::{self, Expected};
use crate::api::oidc::{IssuerError, known, may_be_asked};
use crate::api::query::{Paged, Params, page};
use crate::store::audit;
use crate::store::clock::{now_us, stamp};
use crate::store::identity::Kind;
use crate::store::identity::tokens::{Kind as TokenKind, Secret};
use crate::store::identity::trust_rules::{Demands, NewTrustRule, TrustRule as Stored};
use crate::store::objects::Paging;
use crate::wire::Page;
use crate::wire::identity::{TrustRule, WorkloadToken};
use crate::wire::identity_requests::{TrustRuleCreate, WorkloadTokenRequest};

/// Longest that a token serves, in minutes.
const MOST_MINUTES: i64 = 60;
const USUAL_MINUTES: i64 = 15;
/// Claims of one rule at most.
const MOST_CLAIMS: usize = 20;

fn shown(roles: &Roles, rule: Stored) -> TrustRule {
    TrustRule {
        roles: roles.shown(&rule.roles),
        id: rule.id,
        display_name: rule.name,
        issuer: rule.issuer,
        audience: rule.demands.audience,
        claims: rule.demands.claims,
        minutes: rule.demands.minutes,
        created_at: stamp(rule.created_us),
        created_by: rule.created_by,
    }
}

/// Lists whom an organisation trusts.
#[utoipa::path(
    get,
    path = "/trust-rules",
    params(Paged),
    responses((status = 200, body = Page<TrustRule>, description = "Trust rules"))
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<TrustRule>>, Refusal> {
    let roles = Roles::of(&app, &org).await?;
    let listed = app
        .store
        .trust_rule_list(&org, None, &params.paging()?)
        .await?;
    Ok(page(listed, |rule| shown(&roles, rule)))
}

/// Trusts an issuer to say which programs act in the organisation.
#[utoipa::path(
    post,
    path = "/trust-rules",
    request_body = TrustRuleCreate,
    responses(
        (status = 201, body = TrustRule, description = "Made"),
        (status = 409, body = crate::wire::ErrorBody, description = "A role is not there, or given twice"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<TrustRule>), Refusal> {
    // It is a service user by another name.
    if caller.kind == Some(Kind::Service) {
        return Err(Refusal::bad("service users may not create trust rules"));
    }
    let roles = Roles::of(&app, &org).await?;
    let mut found = Problems::default();
    let name = fields.required_text(&mut found, "display_name", NAME);
    let issuer = fields.required_text(&mut found, "issuer", Text::up_to(500));
    if found.is_empty() && !may_be_asked(&issuer, &app.settings.public_url) {
        found.invalid(fields.at("issuer"), IssuerError::Url.to_string());
    }
    let audience = fields.text(&mut found, "audience", Text::up_to(500));
    let demands = Demands {
        audience: audience.unwrap_or_else(|| app.settings.public_url.clone()),
        claims: claims(&mut fields, &mut found),
        minutes: minutes(&mut fields, &mut found),
    };
    let at = fields.at("roles");
    let granted = roles.read(&mut fields, &mut found)?.unwrap_or_default();
    if granted.is_empty() && found.is_empty() {
        found.invalid(&at, "roles must name one role at least");
    }
    found.check()?;
    audit::note(|draft| draft.object = format!("trust rule {name}"));
    let new = NewTrustRule {
        name: &name,
        issuer: &issuer,
        demands: &demands,
        roles: &granted,
        by: &caller.user,
    };
    let made = app.store.trust_rule_create(&org, &new).await?;
    Ok((StatusCode::CREATED, Json(shown(&roles, made))))
}

/// Trusts no longer; tokens that were given are over.
#[utoipa::path(
    delete,
    path = "/trust-rules/{id}",
    responses((status = 204, description = "Removed"))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.trust_rule_delete(&org, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What claims must be. A rule that would trust whoever the issuer signs for is refused: an issuer of a build system
/// signs for everybody who uses it.
fn claims(fields: &mut Fields, found: &mut Problems) -> BTreeMap<String, String> {
    let at = fields.at("claims");
    let given = fields.required_map(found, "claims");
    if given.len() > MOST_CLAIMS {
        found.invalid(&at, format!("claims may be {MOST_CLAIMS} at most"));
    }
    let mut claims = BTreeMap::new();
    for (name, value) in given {
        match value {
            Value::String(pattern) => {
                claims.insert(name, pattern);
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => {
                found.invalid(
                    format!("{at}/{name}"),
                    format!("claims.{name} must be a text; `*` in it stands for any text"),
                );
            }
        }
    }
    let is_open = |pattern: &String| pattern.chars().all(|letter| letter == '*');
    if found.is_empty() && claims.values().all(is_open) {
        found.invalid(
            &at,
            "claims must say whom the issuer signed for, for example {\"sub\": \"repo:acme/shop:*\"}: without that, \
             everybody is trusted who uses this issuer",
        );
    }
    claims
}

fn minutes(fields: &mut Fields, found: &mut Problems) -> i64 {
    let at = fields.at("minutes");
    let Some(value) = fields.value("minutes") else {
        return USUAL_MINUTES;
    };
    match value.as_i64() {
        Some(minutes) if (1..=MOST_MINUTES).contains(&minutes) => minutes,
        Some(_) | None => {
            found.invalid(
                &at,
                format!("minutes must be a whole number from 1 to {MOST_MINUTES}"),
            );
            USUAL_MINUTES
        }
    }
}

/// Changes a signed token into a short one of this organisation.
#[utoipa::path(
    post,
    path = "/auth/oidc/token",
    request_body = WorkloadTokenRequest,
    responses(
        (status = 200, body = WorkloadToken, description = "Trusted"),
        (status = 401, body = crate::wire::ErrorBody, description = "Not trusted"),
    )
)]
pub(crate) async fn exchange(
    State(app): State<App>,
    Body(mut fields): Body,
) -> Result<Json<WorkloadToken>, Refusal> {
    let mut found = Problems::default();
    let org = fields.required_text(&mut found, "organization", Text::up_to(100));
    let token = fields.required_text(&mut found, "token", Text::up_to(16 * 1024));
    found.check()?;
    audit::note(|draft| draft.organization.clone_from(&org));
    let distrusted = |why: &dyn std::fmt::Display| {
        Refusal::unauthorized(format!("the token is not trusted: {why}"))
    };
    let (issuer, kid) = jwt::named(&token).map_err(|bad| distrusted(&bad))?;
    // Nobody is asked for keys but whom a rule names: the issuer is still only a text that somebody sent.
    let rules = app
        .store
        .trust_rule_list(&org, Some(&issuer), &Paging::ALL)
        .await?
        .items;
    let none = "no trust rule of this organization fits it";
    if rules.is_empty() {
        return Err(distrusted(&none));
    }
    let known = known(&issuer, kid.as_deref(), &app.settings.public_url).await;
    let known = known.map_err(|error| {
        tracing::warn!(error = %error, issuer, "the keys of an issuer are not known");
        distrusted(&error)
    })?;
    let mut last: Option<jwt::BadToken> = None;
    for rule in rules {
        let expected = Expected {
            issuer: &issuer,
            audience: &rule.demands.audience,
            now: now_us() / 1_000_000,
        };
        match jwt::verify(&token, &known.keys, &expected) {
            Err(bad) => last = Some(bad),
            Ok(claims) if fits(&rule.demands, &claims) => {
                let subject = claims
                    .get("sub")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                return give(&app, &rule, subject).await;
            }
            Ok(_) => {}
        }
    }
    Err(match last {
        Some(bad) => distrusted(&bad),
        None => distrusted(&none),
    })
}

async fn give(app: &App, rule: &Stored, subject: &str) -> Result<Json<WorkloadToken>, Refusal> {
    audit::note(|draft| {
        draft.actor.clone_from(&rule.user);
        draft.actor_kind = "service".to_owned();
        draft.actor_name.clone_from(&rule.name);
        draft.object = format!("subject {subject}");
    });
    let secret = Secret::new(TokenKind::Workload);
    let expires_us = over_after(rule.demands.minutes * MINUTE_US);
    app.store.trust_token(rule, &secret, expires_us).await?;
    Ok(Json(WorkloadToken {
        token: secret.expose().to_owned(),
        expires_at: stamp(expires_us),
    }))
}

/// Whether a token says all that is demanded.
fn fits(demands: &Demands, claims: &Map<String, Value>) -> bool {
    demands
        .claims
        .iter()
        .all(|(name, pattern)| match claims.get(name) {
            Some(Value::String(text)) => is_like(text, pattern),
            Some(Value::Bool(yes)) => is_like(&yes.to_string(), pattern),
            Some(Value::Number(number)) => is_like(&number.to_string(), pattern),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => false,
        })
}

/// Whether a text is like a pattern, in which `*` stands for any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_does() {
        for (text, pattern, expected) in [
            ("repo:acme/shop:ref:main", "repo:acme/shop:*", true),
            ("repo:acme/shop-evil:ref:main", "repo:acme/shop:*", false),
            ("repo:acme/shop", "repo:acme/shop", true),
            ("repo:acme/shop2", "repo:acme/shop", false),
            ("xrepo:acme/shop", "repo:acme/shop", false),
            ("a-b-c", "a*b*c", true),
            ("a-c-b", "a*b*c", false),
            ("aa", "a*a", true),
            ("a", "a*a", false),
            ("", "*", true),
            ("repo.acme", "repo?acme", false),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
        }
    }

    #[test]
    fn every_claim_that_is_demanded_must_be_there() {
        let demands = Demands {
            claims: [("sub", "repo:*"), ("private", "true")]
                .map(|(name, pattern)| (name.to_owned(), pattern.to_owned()))
                .into(),
            ..Demands::default()
        };
        for (claims, expected) in [
            (json!({"sub": "repo:x", "private": true}), true),
            (json!({"sub": "repo:x"}), false),
            (json!({"sub": ["repo:x"], "private": true}), false),
        ] {
            assert_eq!(
                fits(&demands, claims.as_object().expect("claims")),
                expected,
                "{claims}"
            );
        }
    }
}
