//! Routes and, only when it is asked for, their entries in the document.
//!
//! Why a type of its own over the one that registers both: that one makes every operation and every schema while
//! routes are added, which each command without a server would pay for and never read. Here a route brings the
//! function that makes its entry, so that neither can be without the other, and the function is called by
//! [`Routes::into_document`] alone.

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, Route};
use tower::{Layer, Service};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::App;

/// Makes the entry of a path.
type MakeEntry = fn() -> UtoipaMethodRouter<App>;

/// One path with its methods; made by [`routes!`] of handlers that have an entry.
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) methods: MethodRouter<App>,
    pub(crate) document: MakeEntry,
}

/// The [`Entry`] of handlers of one path.
macro_rules! routes {
    ($( $($part:ident)::+ ),+ $(,)?) => {{
        use utoipa_axum::PathItemExt as _;
        let paths = [$( utoipa_axum::routes!(@path [path()] of $($part)::+) ),+];
        let mut methods = axum::routing::MethodRouter::new();
        $(
            for method in utoipa_axum::routes!(@path [methods()] of $($part)::+) {
                methods = methods.on(method.to_method_filter(), $($part)::+);
            }
        )+
        debug_assert!(paths.iter().all(|path| *path == paths[0]));
        let [path, ..] = paths;
        $crate::api::entry::Entry {
            path,
            methods,
            document: || utoipa_axum::routes!($( $($part)::+ ),+),
        }
    }};
}
pub(crate) use routes;

/// Routes that all have an entry.
pub(crate) struct Routes {
    router: Router<App>,
    /// Below which path, and what makes the entry.
    entries: Vec<(String, MakeEntry)>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where routes are put together, each with its entry"
)]
impl Routes {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            router: Router::new(),
            entries: Vec::new(),
        }
    }

    /// With one more path.
    pub(crate) fn routes(mut self, entry: Entry) -> Self {
        let path = if entry.path.is_empty() {
            "/"
        } else {
            &entry.path
        };
        self.router = self.router.route(path, entry.methods);
        self.entries.push((String::new(), entry.document));
        self
    }

    /// With all of `other`.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.entries.extend(other.entries);
        self
    }

    /// With all of `other` below `path`.
    pub(crate) fn nest(mut self, path: &str, other: Self) -> Self {
        self.router = self.router.nest(path, other.router);
        let below = |(prefix, make): (String, _)| (format!("{path}{prefix}"), make);
        self.entries.extend(other.entries.into_iter().map(below));
        self
    }

    /// With a layer around those that are there.
    pub(crate) fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.router = self.router.layer(layer);
        self
    }

    /// What serves.
    pub(crate) fn into_router(self) -> Router<App> {
        self.router
    }

    /// What the entries say.
    pub(crate) fn into_document(self) -> OpenApi {
        let mut all = OpenApiRouter::<App>::new();
        for (prefix, make) in self.entries {
            let one = OpenApiRouter::new().routes(make());
            all = match prefix.as_str() {
                "" => all.merge(one),
                prefix => all.merge(OpenApiRouter::new().nest(prefix, one)),
            };
        }
        all.into_openapi()
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Routes};

    #[test]
    fn a_router_is_made_without_any_entry() {
        let entry = Entry {
            document: || panic!("an entry is made"),
            ..super::routes!(crate::api::alive)
        };
        let routes = Routes::new().nest("/x", Routes::new().routes(entry));
        let _ = routes.into_router();
    }
}
