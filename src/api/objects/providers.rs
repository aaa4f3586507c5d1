//! Providers.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::module_check::placeholders;
use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, DESCRIPTION, Problems, Text, is_tofu_id};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::placeholder::Site;
use crate::wire::objects::{Provider, ProviderCreate, ProviderUpdate};
use crate::wire::{ErrorBody, Page};

/// The largest configuration, as JSON.
const MAX_CONFIGURATION_BYTES: usize = 5 * 1024;

const SOURCE: Text = Text::form(
    is_source,
    100,
    "source must match (hostname/)namespace/type",
);

const CONSTRAINT: Text = Text::form(
    is_constraint,
    100,
    "version_constraint must be a valid provider version constraint such as = 1.2.3, >= 1.2.2, < 2.0.0, ~> 1.2.2",
);

/// Lists providers.
#[utoipa::path(
    get,
    path = "/module-providers",
    params(Paged, ("byProviderType" = Option<String>, Query, description = "Only of this type")),
    responses(
        (status = 200, body = Page<Provider>, description = "Providers"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<Provider>>, Refusal> {
    let kind = params.one("byProviderType");
    let listed = app
        .store
        .provider_list(&org, kind, &params.paging()?)
        .await?;
    Ok(page(listed, |item| item))
}

/// Makes a provider.
#[utoipa::path(
    post,
    path = "/module-providers",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = ProviderCreate,
    responses(
        (status = 201, body = Provider, description = "Made"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It is there already"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<Provider>), Refusal> {
    let mut found = Problems::default();
    let identifier = |text| Text::form(is_tofu_id, 100, text);
    let id = fields.required_text(
        &mut found,
        "id",
        identifier("id must be a valid OpenTofu identifier"),
    );
    let provider_type = fields.required_text(
        &mut found,
        "provider_type",
        identifier("provider_type must be a valid OpenTofu identifier"),
    );
    let create = ProviderCreate {
        provider_type,
        id,
        source: fields.required_text(&mut found, "source", SOURCE),
        version_constraint: fields.required_text(&mut found, "version_constraint", CONSTRAINT),
        description: fields.text(&mut found, "description", DESCRIPTION),
        configuration: fields.map(&mut found, "configuration"),
        windlass: fields.extras(&mut found),
    };
    check_configuration(&mut found, create.configuration.as_ref());
    found.check()?;
    let made = app.store.provider_create(&org, create).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Reads a provider.
#[utoipa::path(
    get,
    path = "/module-providers/{type}/{id}",
    responses(
        (status = 200, body = Provider, description = "A provider"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((org, kind, id)): Path<(String, String, String)>,
) -> Result<Json<Provider>, Refusal> {
    let mut found = app.store.provider_get(&org, &kind, &id).await?;
    if !caller.sees_configuration() {
        found.configuration = Some(Map::new());
    }
    Ok(Json(found))
}

/// Changes a provider.
///
/// The source may change as well, which v1 has not.
#[utoipa::path(
    patch,
    path = "/module-providers/{type}/{id}",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = ProviderUpdate,
    responses(
        (status = 200, body = Provider, description = "Changed"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It contradicts what is stored"),
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    _caller: Caller,
    Path((org, kind, id)): Path<(String, String, String)>,
    Body(mut fields): Body,
) -> Result<Json<Provider>, Refusal> {
    let mut found = Problems::default();
    let update = ProviderUpdate {
        description: fields.text(&mut found, "description", DESCRIPTION),
        source: fields.text(&mut found, "source", SOURCE),
        version_constraint: fields.text(&mut found, "version_constraint", CONSTRAINT),
        configuration: fields.map(&mut found, "configuration"),
        windlass: fields.extras(&mut found),
    };
    check_configuration(&mut found, update.configuration.as_ref());
    found.check()?;
    Ok(Json(
        app.store.provider_update(&org, &kind, &id, update).await?,
    ))
}

/// Deletes a provider.
#[utoipa::path(
    delete,
    path = "/module-providers/{type}/{id}",
    responses(
        (status = 204, description = "Gone"),
        (status = 409, body = ErrorBody, description = "Modules use it"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, kind, id)): Path<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.provider_delete(&org, &kind, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check_configuration(found: &mut Problems, configuration: Option<&Map<String, Value>>) {
    let Some(configuration) = configuration else {
        return;
    };
    let value = Value::Object(configuration.clone());
    if value.to_string().len() > MAX_CONFIGURATION_BYTES {
        found.invalid("/configuration", "provider configuration is too large");
    }
    placeholders(found, "/configuration", &value, Site::Provider);
}

/// `[HOST/]NAMESPACE/TYPE`.
fn is_source(text: &str) -> bool {
    let name = |part: &str| {
        part.len() >= 2
            && part.starts_with(|c: char| c.is_ascii_lowercase())
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
    };
    let host = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-'))
    };
    match text.split('/').collect::<Vec<_>>()[..] {
        [namespace, kind] => name(namespace) && name(kind),
        [first, namespace, kind] => host(first) && name(namespace) && name(kind),
        _ => false,
    }
}

/// `OP VERSION`, repeated, with `, ` between and exactly one space after the operator.
fn is_constraint(text: &str) -> bool {
    text.split(", ").all(|part| {
        let Some((operator, version)) = part.split_once(' ') else {
            return false;
        };
        let (numbers, suffix) = match version.split_once('-') {
            Some((numbers, suffix)) => (numbers, Some(suffix)),
            None => (version, None),
        };
        ["=", "!=", ">", ">=", "<", "<=", "~>"].contains(&operator)
            && !numbers.is_empty()
            && numbers.chars().all(|c| c.is_ascii_digit() || c == '.')
            && suffix != Some("")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_constraints_have_the_forms_of_v1() {
        for good in ["hashicorp/aws", "registry.example.org/acme/x-y"] {
            assert!(is_source(good), "{good}");
        }
        for bad in ["aws", "A/b", "a/b/c/d", "host/a1/", "/aa/bb"] {
            assert!(!is_source(bad), "{bad}");
        }
        for good in ["= 1.2.3", ">= 1.2, < 2.0.0-rc.1", "~> 2.38"] {
            assert!(is_constraint(good), "{good}");
        }
        for bad in ["1.2", "~>1", "~>  1", "= 1,< 2", "= x", "= 1-"] {
            assert!(!is_constraint(bad), "{bad}");
        }
    }
}
