//! The placeholder language: what is taken apart and printed again is the same, to the letter but for `[0]` and `.0`; an
//! error points into the placeholder.

use super::Target;
use crate::placeholder::{Part, Site, check_value, is_plain, parse, parse_whole, split};

pub(super) const TARGET: Target = Target {
    name: "placeholder",
    run,
    folders: &[("tests/golden", "manifest.yaml")],
    examples: || {
        [
            "a ${resources.db.outputs.host} b $\\{c} $${shared.x.outputs.y.0[1].z}",
            "${select.dependencies('queue.@#a.b').consumers('app').outputs.id}${self.outputs.a}",
            "${context.env_id}${var.region}${}$${a{b}}",
        ]
        .map(Into::into)
        .into()
    },
    words: &[
        "${",
        "}",
        "$\\{",
        "$$",
        "context.",
        "env_id",
        "var.",
        "self.outputs.",
        "resources.",
        ".outputs.",
        "shared.",
        "select.",
        "dependencies('",
        "consumers('",
        "').",
        "@",
        "#",
        "[0]",
        ".0",
        "[00]",
        "[18446744073709551616]",
    ],
    max_bytes: 512,
    gate: 1_100_000,
};

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for site in [Site::Input, Site::Param, Site::Output, Site::Provider] {
        check_value(&text.into(), site);
    }
    let parts = match split(text) {
        Ok(parts) => parts,
        Err(error) => {
            assert!(text.contains(&format!("${{{}}}", error.inner)));
            assert!(error.inner.is_char_boundary(error.offset));
            assert!(parse(&error.inner).is_err());
            return;
        }
    };
    assert!(!is_plain(text) || matches!(parts.as_slice(), [] | [Part::Literal(_)]));
    let mut printed = String::new();
    let mut was_literal = false;
    for part in &parts {
        match part {
            Part::Literal(literal) => {
                assert!(!literal.is_empty() && !was_literal);
                printed += &literal.replace("${", "$\\{");
            }
            Part::Placeholder(written, placeholder) => {
                let again = placeholder.to_string();
                let dotted = |text: &str| text.replace('[', ".").replace(']', "");
                assert_eq!(dotted(&again), dotted(written));
                assert_eq!(parse(&again).as_ref(), Ok(placeholder));
                assert_eq!(
                    parse_whole(&format!("${{{written}}}")).as_ref(),
                    Ok(placeholder)
                );
                printed += &format!("${{{written}}}");
            }
        }
        was_literal = matches!(part, Part::Literal(_));
    }
    assert_eq!(split(&printed), Ok(parts), "printed as {printed}");
}
