//! E-mail addresses of people, as v1 takes them; compared and kept in lower case.

use crate::api::body::{Fields, Problems, Text};

const FIELD: &str = "email_address";

const ADDRESS: Text = Text {
    min: 3,
    max: 320,
    fits: is_readable,
    text: "email_address contains invalid characters",
};

/// `^[^\p{Cc}\p{Cf}\p{Z}]+$`, as far as it matters: nothing that is not seen.
fn is_readable(text: &str) -> bool {
    let is_unseen = |c: char| {
        matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        )
    };
    !text
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || is_unseen(c))
}

/// An address that must be there; empty when it is not, which was noted.
pub(super) fn required(fields: &mut Fields, found: &mut Problems) -> String {
    let text = fields.required_text(found, FIELD, ADDRESS);
    checked(fields, found, text)
}

/// An address, if there is one.
pub(super) fn optional(fields: &mut Fields, found: &mut Problems) -> Option<String> {
    let text = fields.text(found, FIELD, ADDRESS)?;
    Some(checked(fields, found, text))
}

fn checked(fields: &Fields, found: &mut Problems, text: String) -> String {
    let parts = text.rsplit_once('@');
    if found.is_empty()
        && !parts.is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty())
    {
        found.invalid(
            fields.at(FIELD),
            format!("email_address must be NAME@DOMAIN, not `{text}`"),
        );
    }
    text.to_lowercase()
}
