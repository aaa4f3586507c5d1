//! `ADDRESS` and `ADDRESS=ID`, as a person writes them.

use std::collections::BTreeMap;

/// Addresses, and ids that somebody found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Addresses without an id.
    pub(super) addresses: Vec<String>,
    /// Address to id.
    pub(super) ids: BTreeMap<String, String>,
}

/// Reads them; fails with what is wrong and what was expected.
pub(super) fn read(words: &[String]) -> anyhow::Result<Named> {
    let mut named = Named::default();
    for word in words {
        let Some((address, id)) = split(word) else {
            named.addresses.push(word.clone());
            continue;
        };
        if address.is_empty() || id.is_empty() {
            anyhow::bail!(
                "`{word}` names no {}; expected ADDRESS or ADDRESS=ID, with the address as `windlass state list` prints it and the id as the provider's documentation of `import` says",
                if address.is_empty() { "address" } else { "id" }
            );
        }
        if named
            .ids
            .insert(address.to_owned(), id.to_owned())
            .is_some()
        {
            anyhow::bail!(
                "`{address}` is named twice; an address stands for one object, so give one id"
            );
        }
    }
    Ok(named)
}

/// Splits at the first `=` that is not inside a key: `a.b["x=y"]=id` names `id`.
fn split(word: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, letter) in word.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '=' if !quoted => return Some((&word[..at], &word[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_begins_at_the_first_sign_outside_of_a_key() {
        for (word, expected) in [
            ("a.b", None),
            ("a.b=i-1", Some(("a.b", "i-1"))),
            ("a.b=k=v=", Some(("a.b", "k=v="))),
            (r#"module.m["x=y"].a.b"#, None),
            (r#"a.b["x=\"=y"]=i"#, Some((r#"a.b["x=\"=y"]"#, "i"))),
            (r#"a.b=${x} "q" \"#, Some(("a.b", r#"${x} "q" \"#))),
        ] {
            assert_eq!(split(word), expected, "{word}");
        }
    }

    #[test]
    fn half_a_name_and_two_ids_for_one_address_are_refused() {
        let words = |all: &[&str]| {
            read(
                &all.iter()
                    .map(|word| (*word).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let named = words(&["a.b", "c.d=1"]).expect("good");
        assert_eq!(named.addresses, ["a.b"]);
        assert_eq!(named.ids["c.d"], "1");
        for (bad, part) in [
            (&["a.b="][..], "names no id"),
            (&["=x"], "names no address"),
            (&["a.b=1", "a.b=2"], "named twice"),
        ] {
            let message = words(bad).expect_err("refused").to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
