//! Query parameters and pages. A name may repeat; unknown names are ignored, as v1 does.

use std::convert::Infallible;

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

use super::error::{Problem, Refusal};
use crate::store::objects::{Listed, Paging};
use crate::wire::Page;

/// Items on a page when nobody says how many.
const PER_PAGE: usize = 100;

/// What every list takes, for the document of the API; [`Params::paging`] reads it.
pub(crate) struct Paged;

impl IntoParams for Paged {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let named = |name, schema: ObjectBuilder, description| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .description(Some(description))
                .schema(Some(schema))
                .build()
        };
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
        let text = ObjectBuilder::new().schema_type(Type::String);
        vec![
            named(
                "per_page",
                number,
                "Items on a page; 100 where nothing is said, at least 1",
            ),
            named("page", text, "The `next_page_token` of the page before"),
        ]
    }
}

/// The query of a request.
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        Ok(Self(pairs.map(|Query(pairs)| pairs).unwrap_or_default()))
    }
}

impl Params {
    /// A parameter that is given once; an empty one counts as absent.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let value = |(key, value): &'_ (String, String)| key == name && !value.is_empty();
        self.0
            .iter()
            .find(|pair| value(pair))
            .map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A switch; absent is off.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.one(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(invalid(
                name,
                &format!("`{other}` is neither true nor false"),
            )),
        }
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.one(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| invalid(name, &format!("`{text}` is not a whole number")))
            })
            .transpose()
    }

    /// Which page is wanted.
    pub(crate) fn paging(&self) -> Result<Paging, Refusal> {
        let limit = match self.number("per_page")? {
            None => PER_PAGE,
            Some(number) => usize::try_from(number).unwrap_or(1).max(1),
        };
        let after = self
            .one("page")
            .map(|token| read_token(token).ok_or_else(|| Refusal::bad("Invalid page token")))
            .transpose()?;
        Ok(Paging { after, limit })
    }
}

/// A 400 about a parameter.
pub(crate) fn invalid(name: &str, text: &str) -> Refusal {
    Refusal::found(vec![Problem::invalid(
        "",
        format!("parameter `{name}` in the query: {text}"),
    )])
}

fn read_token(token: &str) -> Option<Vec<String>> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The token of the page after `key`.
fn token(key: &[String]) -> String {
    let text = serde_json::Value::from(key.to_vec()).to_string();
    URL_SAFE_NO_PAD.encode(text)
}

/// A page of what `show` makes of the items.
pub(crate) fn page<T, U: Serialize>(listed: Listed<T>, show: impl Fn(T) -> U) -> Json<Page<U>> {
    Json(Page {
        items: listed.items.into_iter().map(show).collect(),
        next_page_token: listed.next.as_deref().map(token),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_reads_back_and_anything_else_is_refused() {
        let key = vec!["a,b".to_owned(), "ü".to_owned()];
        assert_eq!(read_token(&token(&key)), Some(key));
        assert_eq!(read_token("nonsense"), None);
        assert_eq!(read_token("!"), None);
    }

    #[test]
    fn fewer_than_one_item_on_a_page_is_one() {
        for text in ["0", "-5"] {
            let params = Params(vec![("per_page".into(), text.into())]);
            assert_eq!(params.paging().expect("reads").limit, 1);
        }
    }
}
