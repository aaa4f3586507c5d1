//! Request bodies: bytes to JSON to checked fields, every problem noted with its pointer.
//!
//! Unknown fields are ignored, as v1 does, except inside `windlass` and wherever a caller asks
//! [`Fields::only`]. An explicit `null` on an optional field is the same as its absence.

use axum::body::{self, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use serde_json::{Map, Value};

use super::error::{Problem, Refusal};
use crate::model::diag::{nearest, pointer};
use crate::model::name::Shape;

tokio::task_local! {
    /// Set while a request is only checked.
    static CHECK: ();
}

/// `?check=true` on a request that makes or changes an object answers 204 where the object would be taken, as far as
/// it can be judged by itself: what it refers to may not be there yet. Nothing is changed.
///
/// Why in the door: a client that applies many objects wants every mistake before the first change, and each handler
/// has one place already where it goes on only if nothing was found.
pub(crate) async fn allow_checks(request: Request, next: Next) -> Response {
    let asked = request
        .uri()
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "check=true"));
    if asked && [Method::POST, Method::PATCH].contains(request.method()) {
        CHECK.scope((), next.run(request)).await
    } else {
        next.run(request).await
    }
}

/// Whether the request is only to be checked.
pub(crate) fn is_check() -> bool {
    CHECK.try_with(|()| ()).is_ok()
}

/// How long a body may take to arrive.
const ARRIVAL: std::time::Duration = std::time::Duration::from_secs(60);
/// The largest body.
pub(crate) const MAX_BYTES: usize = 16 * 1024 * 1024;
/// How much of a body that is too large is read at most.
const MOST_READ: usize = 4 * MAX_BYTES;

/// The problems of one request, in the order in which they were found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// Notes one.
    pub(crate) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Notes a wrong field.
    pub(crate) fn invalid(&mut self, pointer: impl Into<String>, text: impl Into<String>) {
        self.push(Problem::invalid(pointer, text));
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Goes on only when nothing was found, and more than a check was asked for.
    pub(crate) fn check(&mut self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return if is_check() {
                Err(Refusal::nothing_to_refuse())
            } else {
                Ok(())
            };
        }
        Err(Refusal::found(std::mem::take(&mut self.0)))
    }
}

/// Bytes of a body, within the limit.
pub(crate) async fn bytes(request: Request) -> Result<(HeaderMap, Bytes), Refusal> {
    let (parts, body) = request.into_parts();
    // Who says that it is far too much is answered before it is sent.
    let said = parts.headers.get(header::CONTENT_LENGTH);
    let said = said.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|length| length > MOST_READ) {
        return Err(Refusal::too_large(MAX_BYTES));
    }
    let bytes = tokio::time::timeout(ARRIVAL, arrived(body))
        .await
        .map_err(|_| Refusal::not_yet("the request body did not arrive in time"))??;
    Ok((parts.headers, bytes))
}

/// Reads a body. What is over the limit is read for a while and dropped: a client that still sends when it is answered
/// finds its connection closed and no answer.
async fn arrived(body: body::Body) -> Result<Bytes, Refusal> {
    let mut stream = body.into_data_stream();
    let mut kept = BytesMut::new();
    let mut length = 0;
    while let Some(piece) = stream.next().await {
        let piece =
            piece.map_err(|_| Refusal::bad("the request body could not be read to its end"))?;
        length += piece.len();
        if length <= MAX_BYTES {
            kept.extend_from_slice(&piece);
        } else {
            kept = BytesMut::new();
        }
        if length > MOST_READ {
            break;
        }
    }
    if length > MAX_BYTES {
        return Err(Refusal::too_large(MAX_BYTES));
    }
    Ok(kept.freeze())
}

/// Refuses a body of another content type; none at all counts as JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(|kind| kind.to_str().unwrap_or_default());
    match kind {
        Some(kind) if !(kind.is_empty() || kind.contains("json")) => {
            Err(Refusal::media_type(kind, "application/json"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Refuses a body of a content type that is none of these; none at all counts as the first.
pub(crate) fn is_one_of(headers: &HeaderMap, kinds: &[&'static str]) -> Result<(), Refusal> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.map_or("", |kind| kind.to_str().unwrap_or("?"));
    let plain = kind.split(';').next().unwrap_or_default().trim();
    let fits = |known: &&str| known.eq_ignore_ascii_case(plain);
    if plain.is_empty() || kinds.iter().any(fits) {
        return Ok(());
    }
    Err(Refusal::media_type(kind, kinds[0]))
}

/// A JSON object sent as body. No body at all is an empty object.
pub(crate) struct Body(pub(crate) Fields);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        let (headers, bytes) = bytes(request).await?;
        is_json(&headers)?;
        if bytes.is_empty() {
            return Ok(Self(Fields::new("", Map::new())));
        }
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
            Refusal::found(vec![Problem::invalid(
                "",
                format!("the request body is not JSON: {error}"),
            )])
        })?;
        if bytes.windows(6).any(|six| six == br"\u0000")
            && let Some(at) = nul(&value, "")
        {
            let text = format!("\"{at}\": a text must not contain NUL (\\u0000)");
            return Err(Refusal::found(vec![Problem::invalid(at, text)]));
        }
        match value {
            Value::Object(map) => Ok(Self(Fields::new("", map))),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Err(Refusal::found(vec![Problem::invalid(
                "",
                "the request body must be a JSON object",
            )])),
        }
    }
}

/// Where a text or a name holds the one character that databases do not keep.
fn nul(value: &Value, at: &str) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(|| at.to_owned()),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .find_map(|(position, item)| nul(item, &format!("{at}/{position}"))),
        Value::Object(map) => map.iter().find_map(|(key, item)| {
            let inside = pointer(at, key);
            if key.contains('\0') {
                Some(at.to_owned())
            } else {
                nul(item, &inside)
            }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// What a text field must be.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    /// Fewest characters.
    pub(crate) min: usize,
    /// Most characters.
    pub(crate) max: usize,
    /// Whether the text is of the right form.
    pub(crate) fits: fn(&str) -> bool,
    /// v1's answer when it is not.
    pub(crate) text: &'static str,
}

impl Text {
    /// Any text up to `max` characters.
    pub(crate) const fn up_to(max: usize) -> Self {
        Self {
            min: 0,
            max,
            fits: |_| true,
            text: "",
        }
    }

    /// Text of a form, up to `max` characters.
    pub(crate) const fn form(fits: fn(&str) -> bool, max: usize, text: &'static str) -> Self {
        Self {
            min: 0,
            max,
            fits,
            text,
        }
    }

    /// v1's answer to a text that does not fit.
    pub(crate) fn complaint(self, pointer: &str, text: &str) -> Option<String> {
        let length = text.chars().count();
        if length < self.min {
            return Some(format!(
                "\"{pointer}\": minimum string length is {}",
                self.min
            ));
        }
        if length > self.max {
            return Some(format!(
                "\"{pointer}\": maximum string length is {}",
                self.max
            ));
        }
        (!(self.fits)(text)).then(|| self.text.to_owned())
    }
}

/// A standard id.
pub(crate) fn is_std_id(text: &str) -> bool {
    Shape::StdId.fits(text)
}

/// An identifier of the engine.
pub(crate) fn is_tofu_id(text: &str) -> bool {
    Shape::TofuId.fits(text)
}

/// A display name: no control characters, no space at the ends, inside only plain spaces.
pub(crate) fn is_display_name(text: &str) -> bool {
    let inside = |c: char| !c.is_control() && (c == ' ' || !c.is_whitespace() && !is_separator(c));
    text.chars().all(inside) && !text.starts_with(' ') && !text.ends_with(' ')
}

/// Unicode's separators (category Z) that are not white space to Rust.
fn is_separator(c: char) -> bool {
    matches!(
        c,
        '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{a0}'
    )
}

/// A display name.
pub(crate) const DISPLAY_NAME: Text = Text {
    min: 2,
    max: 60,
    fits: is_display_name,
    text: "display_name contains invalid characters",
};

/// A description.
pub(crate) const DESCRIPTION: Text = Text::up_to(200);

/// The fields of a JSON object that are still to be read.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    base: String,
    map: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// The fields of `map`, which lies at `base`.
    pub(crate) fn new(base: impl Into<String>, map: Map<String, Value>) -> Self {
        Self {
            base: base.into(),
            map,
            known: Vec::new(),
        }
    }

    /// Pointer of a field.
    pub(crate) fn at(&self, key: &str) -> String {
        pointer(&self.base, key)
    }

    /// Whether no field was given (`null` counts as not given).
    pub(crate) fn is_empty(&self) -> bool {
        self.map.values().all(Value::is_null)
    }

    /// Whether a field was given.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// Takes a field; `null` is none.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// Takes a field that must be there.
    fn needed(&mut self, found: &mut Problems, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let at = self.at(key);
        match self.map.remove(key) {
            None => {
                found.invalid(&at, format!("\"{at}\": property \"{key}\" is missing"));
                None
            }
            Some(Value::Null) => {
                found.invalid(&at, format!("\"{at}\": Value is not nullable"));
                None
            }
            Some(value) => Some(value),
        }
    }

    /// A text.
    pub(crate) fn text(
        &mut self,
        found: &mut Problems,
        key: &'static str,
        rule: Text,
    ) -> Option<String> {
        let value = self.value(key)?;
        self.as_text(found, key, rule, value)
    }

    /// A text that must be there; empty when it is not, which was noted.
    pub(crate) fn required_text(
        &mut self,
        found: &mut Problems,
        key: &'static str,
        rule: Text,
    ) -> String {
        self.needed(found, key)
            .and_then(|value| self.as_text(found, key, rule, value))
            .unwrap_or_default()
    }

    fn as_text(&self, found: &mut Problems, key: &str, rule: Text, value: Value) -> Option<String> {
        let at = self.at(key);
        match value {
            Value::String(text) => {
                if let Some(complaint) = rule.complaint(&at, &text) {
                    found.invalid(&at, complaint);
                }
                Some(text)
            }
            other => {
                wrong_type(found, &at, "a string", &other);
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn one_of(
        &mut self,
        found: &mut Problems,
        key: &'static str,
        words: &[&str],
    ) -> Option<String> {
        let text = self.text(found, key, Text::up_to(usize::MAX))?;
        if !words.contains(&text.as_str()) {
            let at = self.at(key);
            found.push(
                Problem::invalid(
                    &at,
                    format!("\"{at}\": value is not one of the allowed values"),
                )
                .explained(unknown_word(&text, words)),
            );
        }
        Some(text)
    }

    /// True or false.
    pub(crate) fn flag(&mut self, found: &mut Problems, key: &'static str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(flag) => Some(flag),
            other => {
                wrong_type(found, &self.at(key), "a boolean", &other);
                None
            }
        }
    }

    /// A JSON object.
    pub(crate) fn map(
        &mut self,
        found: &mut Problems,
        key: &'static str,
    ) -> Option<Map<String, Value>> {
        let value = self.value(key)?;
        self.as_map(found, key, value)
    }

    /// A JSON object that must be there; empty when it is not, which was noted.
    pub(crate) fn required_map(
        &mut self,
        found: &mut Problems,
        key: &'static str,
    ) -> Map<String, Value> {
        self.needed(found, key)
            .and_then(|value| self.as_map(found, key, value))
            .unwrap_or_default()
    }

    fn as_map(&self, found: &mut Problems, key: &str, value: Value) -> Option<Map<String, Value>> {
        match value {
            Value::Object(map) => Some(map),
            other => {
                wrong_type(found, &self.at(key), "an object", &other);
                None
            }
        }
    }

    /// A JSON list.
    pub(crate) fn list(&mut self, found: &mut Problems, key: &'static str) -> Option<Vec<Value>> {
        match self.value(key)? {
            Value::Array(list) => Some(list),
            other => {
                wrong_type(found, &self.at(key), "an array", &other);
                None
            }
        }
    }

    /// A field below this object.
    pub(crate) fn inside(&mut self, found: &mut Problems, key: &'static str) -> Option<Fields> {
        let at = self.at(key);
        self.map(found, key).map(|map| Fields::new(at, map))
    }

    /// A field below this object that must be there; empty when it is not, which was noted.
    pub(crate) fn required_inside(&mut self, found: &mut Problems, key: &'static str) -> Fields {
        let at = self.at(key);
        Fields::new(at, self.required_map(found, key))
    }

    /// Notes every field that was not asked for; `say` makes the text of its name and a suggestion.
    pub(crate) fn only(&self, found: &mut Problems, say: impl Fn(&str) -> String) {
        for (key, _) in &self.map {
            let near = nearest(key, self.known.iter().copied());
            let detail = match near.first() {
                Some(name) => format!("`{key}` is not known here. Did you mean `{name}`?"),
                None => format!(
                    "`{key}` is not known here. Known are: {}.",
                    self.known.join(", ")
                ),
            };
            found.push(Problem::invalid(self.at(key), say(key)).explained(detail));
        }
    }
}

/// `word` is none of `words`.
pub(crate) fn unknown_word(word: &str, words: &[&str]) -> String {
    let list = words.join(", ");
    match nearest(word, words.iter().copied()).first() {
        Some(near) => format!("`{word}` is not one of: {list}. Did you mean `{near}`?"),
        None => format!("`{word}` is not one of: {list}."),
    }
}

fn wrong_type(found: &mut Problems, at: &str, expected: &str, value: &Value) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    found.push(
        Problem::invalid(at, format!("\"{at}\": value must be {expected}"))
            .explained(format!("`{at}` must be {expected}, not {kind}.")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn display_names_may_be_anything_readable() {
        for good in ["ab", "Web Shop", "🚀 go", "a\u{301}b", "日本"] {
            assert!(is_display_name(good), "{good:?}");
        }
        for bad in [" ab", "ab ", "a\tb", "a\nb", "a\u{a0}b", "a\u{2028}b"] {
            assert!(!is_display_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn all_problems_of_a_body_are_found_at_once() {
        let Value::Object(map) = json!({"id": 1, "flag": "x", "name": null}) else {
            panic!("an object")
        };
        let mut fields = Fields::new("", map);
        let mut found = Problems::default();
        fields.required_text(&mut found, "id", Text::up_to(9));
        fields.flag(&mut found, "flag");
        fields.required_text(&mut found, "name", Text::up_to(9));
        fields.required_map(&mut found, "schema");
        assert_eq!(found.0.len(), 4);
    }
}
