//! Deployments.

use axum::Router;

use super::App;

/// The routes of deployments.
pub(crate) fn routes() -> Router<App> {
    Router::new()
}
