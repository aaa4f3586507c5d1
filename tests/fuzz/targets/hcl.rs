//! HCL: a text that was made a literal is read as that text and nothing else, by the parser and by a second reading of the
//! language's rules written here; code and lock files of others are read or refused.

use std::collections::BTreeMap;

use super::{Script, Target};
use crate::hcl::{
    CodeFiles, check_module_files, literal, print_lock, quoted, read_code, read_lock,
};

pub(super) const TARGET: Target = Target {
    name: "hcl",
    run,
    folders: &[("modules", ".tf"), ("tests/golden", ".tf")],
    examples: || {
        [
            "\0${a}%${1+1}",
            "\u{1}x\u{4}price $ or %",
            "\0\"\\\n\r\t\u{7f}\u{1b}",
        ]
        .map(Into::into)
        .into()
    },
    words: &[
        "${",
        "%{",
        "$${",
        "%%{",
        "$",
        "%",
        "\"",
        "\\",
        "\\u0024",
        "<<EOT\n",
        "}",
        "if true",
        "variable \"a\" {",
        "output \"a\" {",
        "module \"a\" {",
        "source = \"./a\"",
        "terraform {",
        "required_providers {",
        "backend \"local\" {",
        "provider \"a/b/c\" {",
        "version = \"1.0.0\"",
        "hashes = [",
        "for x in y : x",
        "? 1 : 2",
        "!",
        "-",
    ],
    max_bytes: 2048,
    gate: 150_000,
};

fn run(data: &[u8]) {
    let mut script = Script(data);
    match script.byte() {
        0 => {
            let text = String::from_utf8_lossy(script.0);
            let made = quoted(&text);
            assert_eq!(
                evaluate(&made),
                Some(vec![Some(text.to_string())]),
                "{made}"
            );
            assert_eq!(parse(&made).as_deref(), Some(&*text), "{made}");
        }
        1 => {
            let length = script.below(1024);
            let (before, after) = (
                String::from_utf8_lossy(script.take(length)),
                String::from_utf8_lossy(script.0),
            );
            let made = format!(
                "\"{}${{var.x}}{}\"",
                literal(&before, true),
                literal(&after, false)
            );
            let parts = vec![Some(before.to_string()), None, Some(after.to_string())];
            assert_eq!(evaluate(&made), Some(parts), "{made}");
        }
        _ => code(data),
    }
}

/// Code of a module, or a lock file.
fn code(data: &[u8]) {
    let files: CodeFiles = BTreeMap::from([("main.tf", data)]);
    let _ = read_code(&BTreeMap::from([(".".to_owned(), files)]));
    let _ = check_module_files(&BTreeMap::from([("main.tf".to_owned(), data.to_vec())]));
    if let Some(locked) = std::str::from_utf8(data).ok().and_then(read_lock) {
        let printed = print_lock(
            locked
                .iter()
                .map(|(address, locked)| (address.as_str(), locked)),
            "tofu init",
        );
        assert_eq!(read_lock(&printed), Some(locked), "{printed}");
    }
}

/// What the parser makes of a quoted template without interpolations.
fn parse(quoted: &str) -> Option<String> {
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

/// A quoted template by the rules of the language: texts, and `None` for each `${var.x}`; `None` for everything else.
fn evaluate(quoted: &str) -> Option<Vec<Option<String>>> {
    let mut rest = quoted.strip_prefix('"')?;
    let mut parts = vec![];
    let mut text = String::new();
    loop {
        if let Some(after) = rest
            .strip_prefix("$${")
            .or_else(|| rest.strip_prefix("%%{"))
        {
            text += &rest[1..3];
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${var.x}") {
            parts.extend([Some(std::mem::take(&mut text)), None]);
            rest = after;
        } else if rest.starts_with("${") || rest.starts_with("%{") {
            return None;
        } else if let Some(after) = rest.strip_prefix('"') {
            parts.push(Some(text));
            return after.is_empty().then_some(parts);
        } else if let Some(after) = rest.strip_prefix('\\') {
            let escape = after.chars().next()?;
            rest = &after[escape.len_utf8()..];
            text.push(match escape {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '"' | '\\' => escape,
                'u' => {
                    let digits = rest.get(..4)?;
                    rest = &rest[4..];
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                }
                _ => return None,
            });
        } else {
            let letter = rest.chars().next().filter(|letter| *letter != '\n')?;
            text.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
}
