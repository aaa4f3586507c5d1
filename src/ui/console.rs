//! The pages of a server: logging in, by a one-time link or at an issuer; coming back from there; and letting a program
//! in.
//!
//! They are shells: nothing of a user is in them, so nothing has to be escaped on the way; what they show comes from the
//! API, by the browser's own session, and is put in as text. The one script and the one style of a page are named by
//! hash in its policy, and nothing else runs or loads.

use askama::Template as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use std::sync::Arc;

use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("templates/console.css");

#[derive(askama::Template)]
#[template(path = "console.html", config = "src/ui/askama.toml")]
struct Page<'a> {
    title: &'a str,
    /// What the button to sign in says; empty where there is none.
    sign_on: &'a str,
    style: &'a str,
    script: &'a str,
}

/// Answers browsers with pages and everybody else with `router`. `sign_on` is what the issuer is called where people
/// sign in, if there is one.
pub(crate) fn with_pages(router: Router, sign_on: Option<String>) -> Router {
    let sign_on: Arc<str> = sign_on.unwrap_or_default().into();
    router.layer(from_fn_with_state(sign_on, answer))
}

async fn answer(State(sign_on): State<Arc<str>>, request: Request, next: Next) -> Response {
    let looks = request.method() == Method::GET;
    match page(request.uri().path(), request.headers(), &sign_on) {
        Some(page) if looks => page,
        Some(_) | None => next.run(request).await,
    }
}

const WELCOME: (&str, &str) = ("Log in to Windlass", include_str!("templates/welcome.js"));
const DEVICE: (&str, &str) = ("Let a program in", include_str!("templates/device.js"));
const CALLBACK: (&str, &str) = ("Log in to Windlass", include_str!("templates/callback.js"));

/// The page of a path. Two of them are answers of the API as well, to whoever does not ask for HTML.
fn page(path: &str, headers: &HeaderMap, sign_on: &str) -> Option<Response> {
    let (title, script) = match path {
        "/welcome" => WELCOME,
        "/auth/sso/callback" if wants_html(headers) => CALLBACK,
        _ => {
            let code = path.strip_prefix("/devicelogins/")?;
            if code.contains('/') || !wants_html(headers) {
                return None;
            }
            DEVICE
        }
    };
    Some(render(title, script, sign_on))
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.contains("text/html"))
}

fn render(title: &str, script: &str, sign_on: &str) -> Response {
    let script = format!("{}{{{}}}", include_str!("templates/console.js"), script);
    let policy = policy(&script);
    let page = Page {
        title,
        sign_on,
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
        let page = |path: &str, headers: &HeaderMap| page(path, headers, "Acme");
        assert!(page("/welcome", &none).is_some());
        assert!(page("/devicelogins/ABC-DEF", &browser).is_some());
        assert!(page("/auth/sso/callback", &browser).is_some());
        for (path, headers) in [
            ("/devicelogins/ABC-DEF", &none),
            ("/auth/sso/callback", &none),
            ("/devicelogins/x/actions/poll", &browser),
            ("/orgs/o", &browser),
        ] {
            assert!(page(path, headers).is_none(), "{path}");
        }
    }

    #[test]
    fn nothing_ends_the_script_early() {
        let all = [WELCOME, DEVICE, CALLBACK].map(|(_, script)| script);
        for script in all
            .into_iter()
            .chain([include_str!("templates/console.js")])
        {
            assert!(!script.contains("</"), "{script}");
        }
    }
}
