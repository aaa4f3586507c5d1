//! The one way from a user's text to HCL.
//!
//! Why not the printer's: it misses markers that follow an odd run of `$` or `%`, so that the plain
//! string `${a}%${1+1}` would be evaluated. A test below fails on the day the printer does this right.

use std::fmt::Write as _;

/// A literal of a quoted template. `more`: another part follows before the closing quote, and a `$` or
/// `%` at the end of this one must not run into it.
pub(crate) fn literal(text: &str, more: bool) -> String {
    let is_special = |byte: u8| matches!(byte, b'"' | b'\\' | b'$' | b'%' | 0..0x20 | 0x7f);
    if !text.bytes().any(is_special) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        #[cfg(feature = "fuzz")]
        if letter == '%' && out.ends_with('$') && crate::model::planted::is_planted("hcl") {
            out.push(letter);
            continue;
        }
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' | '%' if letters.peek() == Some(&'{') => {
                out.push(letter);
                out.push(letter);
            }
            '$' | '%' if more && letters.peek().is_none() => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            c if u32::from(c) < 0x20 || u32::from(c) == 0x7f => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A whole quoted template that means exactly this text.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", literal(text, false))
}

#[cfg(test)]
mod tests {
    use super::literal;
    use proptest::prelude::*;

    /// What the engine reads from a quoted literal; `None` if a template starts in it.
    fn read(literal: &str) -> Option<String> {
        let quoted = format!("\"{literal}\"");
        match hcl::parse(&format!("a = {quoted}\n"))
            .ok()?
            .attributes()
            .next()?
            .expr()
        {
            hcl::Expression::String(text) => Some(text.clone()),
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn every_text_stays_text(text in "[$%{}a1\"\\\\~\\n]{0,12}|.{0,24}") {
            prop_assert_eq!(read(&literal(&text, false)), Some(text));
        }

        #[test]
        fn text_before_a_reference_does_not_swallow_it(text in "[$%{}a\"\\\\]{0,8}") {
            let file = format!("a = \"{}${{var.x}}\"\n", literal(&text, true));
            let body = hcl::parse(&file).expect("parses");
            let printed = format!("{:?}", body.attributes().next().map(hcl::Attribute::expr));
            prop_assert!(printed.contains("var.x"), "{}", printed);
        }
    }

    #[test]
    fn the_printer_still_needs_our_escaper() {
        let printed = hcl::format::to_string(&hcl::Expression::from("${a}%${1+1}"));
        assert_eq!(
            printed.ok().as_deref(),
            Some("\"$${a}%${1+1}\""),
            "the printer was corrected: this room's reason for its own escaper may be gone"
        );
    }
}
