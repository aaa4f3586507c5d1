//! Who may do what: roles, people, service users, sessions, and programs that log in.
//!
//! Shapes and texts are v1's; beside them are a person's one-time link (`/auth/link`, `/orgs/{org}/users`) and the
//! audit log. A token is in an answer once, when it is made. What each route needs is in `auth::need`.

mod addresses;
mod checks;
mod devices;
mod invitations;
mod members;
mod organizations;
mod people;
mod roles;
mod service_users;
mod sessions;
mod sign_on;
mod trust;

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::audit;
use super::entry::{Routes, routes};
use crate::store::clock;
use crate::store::identity::tokens::Secret;

/// Routes below no organisation.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(organizations::create))
        .routes(routes!(audit::list_of_server))
        .routes(routes!(sessions::current_user))
        .routes(routes!(sessions::redeem_link))
        .routes(routes!(sessions::logout))
        .routes(routes!(sign_on::begin))
        .routes(routes!(sign_on::end))
        .routes(routes!(sign_on::register))
        .routes(routes!(sign_on::login))
        .routes(routes!(checks::check))
        .routes(routes!(trust::exchange))
        .routes(routes!(devices::create))
        .routes(routes!(devices::get))
        .routes(routes!(devices::poll))
        .routes(routes!(devices::accept))
        .routes(routes!(devices::reject))
        .routes(routes!(members::of_user))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::revoke))
}

/// Routes of an organisation.
pub(crate) fn of_organization() -> Routes {
    Routes::new()
        .routes(routes!(audit::list))
        .routes(routes!(roles::list))
        .routes(routes!(roles::get))
        .routes(routes!(members::members))
        .routes(routes!(members::list))
        .routes(routes!(members::delete))
        .routes(routes!(members::replace))
        .routes(routes!(invitations::list, invitations::create))
        .routes(routes!(invitations::get, invitations::delete))
        .routes(routes!(invitations::redeem))
        .routes(routes!(people::create))
        .routes(routes!(people::delete))
        .routes(routes!(people::link))
        .routes(routes!(people::of_project))
        .routes(routes!(people::of_environment))
        .routes(routes!(service_users::list, service_users::create))
        .routes(routes!(service_users::replace, service_users::delete))
        .routes(routes!(service_users::regenerate))
        .routes(routes!(trust::list, trust::create))
        .routes(routes!(trust::delete))
}

/// How long a session goes on.
const SESSION_US: i64 = DAY_US;
/// How long a link serves.
pub(crate) const LINK_US: i64 = DAY_US;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
const MINUTE_US: i64 = 60 * 1_000_000;

/// The link that opens a session once. The secret is in the fragment, which browsers do not send and proxies do not log.
pub(crate) fn link(public_url: &str, secret: &Secret) -> String {
    format!("{public_url}/welcome#{}", secret.expose())
}

/// When something is over that begins now.
fn over_after(us: i64) -> i64 {
    clock::now_us() + us
}

/// From where a request came, where that is known.
pub(crate) struct ClientAddress(pub(crate) Option<String>);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(audit::client_address(&parts.extensions)))
    }
}
