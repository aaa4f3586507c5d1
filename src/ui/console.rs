//! The pages of a server: opening a one-time link, and letting a program in.
//!
//! They are shells: nothing of a user is in them, so nothing has to be escaped on the way; what they show comes from the
//! API, by the browser's own session, and is put in as text. The one script and the one style of a page are named by
//! hash in its policy, and nothing else runs or loads.

use askama::Template as _;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("templates/console.css");

#[derive(askama::Template)]
#[template(path = "console.html", config = "src/ui/askama.toml")]
struct Page<'a> {
    title: &'a str,
    first: &'a str,
    style: &'a str,
    script: &'a str,
}

/// Answers browsers with pages and everybody else with `router`.
pub(crate) fn with_pages(router: Router) -> Router {
    router.layer(from_fn(answer))
}

async fn answer(request: Request, next: Next) -> Response {
    let looks = request.method() == Method::GET;
    match page(request.uri().path(), request.headers()) {
        Some(page) if looks => page,
        Some(_) | None => next.run(request).await,
    }
}

/// The page of a path. That of a code is an answer of the API as well, to whoever does not ask for HTML.
fn page(path: &str, headers: &HeaderMap) -> Option<Response> {
    if path == "/welcome" {
        return Some(render(
            "Log in to Windlass",
            include_str!("templates/welcome.js"),
        ));
    }
    let code = path.strip_prefix("/devicelogins/")?;
    if code.contains('/') || !wants_html(headers) {
        return None;
    }
    Some(render(
        "Let a program in",
        include_str!("templates/device.js"),
    ))
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.contains("text/html"))
}

fn render(title: &str, script: &str) -> Response {
    let script = format!("{}{{{}}}", include_str!("templates/console.js"), script);
    let policy = policy(&script);
    let page = Page {
        title,
        first: "",
        style: STYLE,
        script: &script,
    };
    // Rendering into a text cannot fail; an empty page would be seen by the tests.
    let html = Html(page.render().unwrap_or_default());
    let fixed = |name: &'static str, value: &'static str| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    let headers = [
        fixed("cache-control", "no-store"),
        fixed("vary", "accept"),
        fixed("referrer-policy", "no-referrer"),
        fixed("x-content-type-options", "nosniff"),
        fixed("x-frame-options", "DENY"),
        fixed("cross-origin-opener-policy", "same-origin"),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, html).into_response()
}

/// Only this script and this style, which speak to this server alone; in nobody's frame.
fn policy(script: &str) -> HeaderValue {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let text = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
        hash(script),
        hash(STYLE)
    );
    HeaderValue::from_str(&text).expect("base64 and plain words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_a_page_for_a_code_and_programs_the_api() {
        let browser: HeaderMap = [(
            header::ACCEPT,
            HeaderValue::from_static("text/html,application/xhtml+xml"),
        )]
        .into_iter()
        .collect();
        let none = HeaderMap::new();
        assert!(page("/welcome", &none).is_some());
        assert!(page("/devicelogins/ABC-DEF", &browser).is_some());
        for (path, headers) in [
            ("/devicelogins/ABC-DEF", &none),
            ("/devicelogins/x/actions/poll", &browser),
            ("/orgs/o", &browser),
        ] {
            assert!(page(path, headers).is_none(), "{path}");
        }
    }

    #[test]
    fn nothing_ends_the_script_early() {
        for script in [
            include_str!("templates/console.js"),
            include_str!("templates/welcome.js"),
            include_str!("templates/device.js"),
        ] {
            assert!(!script.contains("</"), "{script}");
        }
    }
}
