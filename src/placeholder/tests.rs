use proptest::prelude::*;
use serde_json::json;

use super::*;

fn error(inner: &str) -> String {
    parse(inner).expect_err("refused").to_string()
}

#[test]
fn v1s_error_table_is_kept_to_the_letter() {
    let start = "expected one of context., self.outputs., var., resources., shared., or select.";
    for (inner, tail) in [
        ("context", format!("@0: {start}; got \"context\"")),
        ("things", format!("@0: {start}; got \"things\"")),
        ("a", format!("@0: {start}; got \"a\"")),
        ("", format!("@0: {start}; got end of line")),
        (
            "invalid.placeholder",
            format!("@0: {start}; got \"invalid\""),
        ),
        (
            " context.env_id ",
            format!("@0: {start}; got unknown/invalid token \" \""),
        ),
        (
            "context.fizz.bar",
            "@12: expected end of line; got \".bar\"".into(),
        ),
        (
            "resources.foo",
            "@13: expected \".outputs.\"; got end of line".into(),
        ),
        (
            "resources.foo.outputs",
            "@13: expected \".outputs.\"; got \".outputs\"".into(),
        ),
        (
            "shared.foo.bar",
            "@10: expected \".outputs.\"; got \".bar\"".into(),
        ),
        (
            "shared.fii.outputs",
            "@10: expected \".outputs.\"; got \".outputs\"".into(),
        ),
        ("var.", "@4: expected key; got end of line".into()),
        ("context.", "@8: expected key; got end of line".into()),
        (
            "resources..outputs",
            "@10: expected key; got \".outputs\"".into(),
        ),
        (
            "select.unknownFunction('arg').outputs",
            "@7: expected either dependencies( or consumers(; got \"unknownFunction\"".into(),
        ),
        (
            "select.dependencies().outputs",
            "@20: expected filter; got \").\"".into(),
        ),
        (
            "select..outputs",
            "@7: expected either dependencies( or consumers(; got \".outputs\"".into(),
        ),
    ] {
        assert_eq!(
            error(inner),
            format!("invalid placeholder '{inner}': {tail}")
        );
    }
    assert!(error("dependencies('filter')").contains("got \"dependencies\""));
    assert_eq!(
        parse_whole("plain"),
        Err("the string is not a placeholder: plain".into())
    );
}

#[test]
fn what_v1_accepts_and_more_is_accepted() {
    for inner in [
        "var.foo",
        "var.var",
        "context.foo",
        "context.context",
        "resources.foo.outputs.resources",
        "resources.foo.outputs.x.y",
        "shared.a.outputs.x",
        "shared.a.outputs.x.y",
        "self.outputs.a",
        "self.outputs.a.b",
        "select.dependencies('access-key#@').outputs.x",
        "select.consumers('s3.read-only').dependencies('x').outputs.a.b",
        "resources.foo.outputs.a.b.c.d",
        "resources.foo.outputs.list[0].name[12]",
        "resources.shared.outputs.x",
        "shared.outputs.outputs.outputs",
        "resources.select.outputs.self",
    ] {
        let read = parse(inner).expect(inner);
        assert_eq!(read.to_string(), inner);
    }
    assert_eq!(
        parse("self.outputs.a.0.01"),
        Ok(Placeholder::Own(OutputPath {
            output: "a",
            rest: vec![Segment::Index(0), Segment::Key("01")],
        }))
    );
    assert!(error("self.outputs.a[x]").contains("@15: expected list position; got \"x\""));
}

#[test]
fn a_filter_is_split_at_the_first_hash_and_then_at_the_first_dot() {
    let parts = |text: &str| {
        let filter = Filter { text };
        let (type_name, class, id) = filter.parts();
        (
            type_name.to_owned(),
            class.map(str::to_owned),
            id.map(str::to_owned),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(parts(""), (String::new(), None, None));
    assert_eq!(parts("type"), ("type".into(), None, None));
    assert_eq!(parts("type.class"), ("type".into(), some("class"), None));
    assert_eq!(parts("type#id"), ("type".into(), None, some("id")));
    assert_eq!(parts("dns.@#@"), ("dns".into(), some("@"), some("@")));
    assert_eq!(
        parts("pathological.many.classes..what#is.this#an.id"),
        (
            "pathological".into(),
            some("many.classes..what"),
            some("is.this#an.id")
        )
    );
}

#[test]
fn a_filter_fits_by_type_and_what_else_it_names() {
    let fits = |text: &str, node, from| Filter { text }.fits(node, from);
    let (node, from) = (("s3", "big", "a"), ("small", "b"));
    assert!(fits("s3", node, from));
    assert!(!fits("s4", node, from));
    assert!(!fits("", node, from));
    assert!(fits("s3.big", node, from));
    assert!(!fits("s3.small", node, from));
    assert!(fits("s3.@", node, ("big", "x")));
    assert!(!fits("s3.@", node, from));
    assert!(fits("s3#a", node, from));
    assert!(!fits("s3#b", node, from));
    assert!(fits("s3#@", node, ("small", "a")));
    assert!(!fits("s3#@", node, from));
}

#[test]
fn strings_are_taken_apart_as_v1_does() {
    let shown = |text: &str| {
        split(text).map(|parts| {
            parts
                .into_iter()
                .map(|part| match part {
                    Part::Literal(text) => format!("'{text}'"),
                    Part::Placeholder(_, placeholder) => format!("<{placeholder}>"),
                })
                .collect::<String>()
        })
    };
    for (text, parts) in [
        ("", ""),
        ("plain $ text", "'plain $ text'"),
        ("${context.env_id}", "<context.env_id>"),
        ("a${var.x}b${var.y}", "'a'<var.x>'b'<var.y>"),
        ("${}", "'${}'"),
        ("${a{b}}", "'${a{b}}'"),
        ("${${var.x}}", "'${'<var.x>'}'"),
        ("${unclosed", "'${unclosed'"),
        ("$\\{var.x}", "'${var.x}'"),
        ("$\\\\{var.x}", "'$\\\\{var.x}'"),
        ("$${var.x}", "'$'<var.x>"),
        ("$$\\{var.x}", "'$${var.x}'"),
        ("%{if}", "'%{if}'"),
    ] {
        assert_eq!(shown(text).expect(text), parts, "{text}");
    }
    let error = split("cost: $${HOME}").expect_err("refused");
    assert!(error.after_dollar, "an escape was probably meant");
}

#[test]
fn places_of_nested_errors_are_named() {
    let value = json!({"one": "${invalid.placeholder}", "two": [1, {"x": "${var.y}"}]});
    let found = check_value(&value, Site::Param);
    assert_eq!(found[0].0, "/one");
    assert!(
        found[0]
            .1
            .starts_with("one: invalid placeholder 'invalid.placeholder': @0: ")
    );
    assert_eq!(
        found[1],
        (
            "/two/1/x".into(),
            "two: [1]: x: 'var' placeholders are not supported here".into()
        )
    );
}

#[test]
fn each_kind_is_allowed_where_v1_allows_it() {
    let check = |site: Site, inner: &str| site.check(&parse(inner).expect(inner)).err();
    for site in [Site::Input, Site::Param] {
        assert_eq!(check(site, "context.res_id"), None);
        assert_eq!(check(site, "select.consumers('x').outputs.y"), None);
        assert_eq!(
            check(site, "var.x").as_deref(),
            Some("'var' placeholders are not supported here")
        );
    }
    for site in [Site::Output, Site::Provider] {
        assert_eq!(
            check(site, "context.res_id").as_deref(),
            Some("unsupported context key 'res_id'")
        );
        assert_eq!(
            check(site, "select.consumers('x').outputs.y").as_deref(),
            Some("'select' placeholders are not supported here")
        );
    }
    assert_eq!(check(Site::Provider, "var.x"), None);
}

/// Placeholders borrow their words; those of a test are kept until it ends.
fn key() -> impl Strategy<Value = &'static str> {
    "[A-Za-z0-9_-]{1,8}|context|var|resources|shared|select|outputs|self"
        .prop_map(|word: String| &*word.leak())
}

fn path() -> impl Strategy<Value = OutputPath<'static>> {
    let segment = prop_oneof![
        key().prop_map(|key| match key.parse::<u64>() {
            Ok(position) if position.to_string() == key => Segment::Index(position),
            _ => Segment::Key(key),
        }),
        any::<u64>().prop_map(Segment::Index)
    ];
    (key(), prop::collection::vec(segment, 0..4))
        .prop_map(|(output, rest)| OutputPath { output, rest })
}

fn placeholder() -> impl Strategy<Value = Placeholder<'static>> {
    let step = (any::<bool>(), "[A-Za-z0-9_@#.-]{0,8}").prop_map(|(down, text)| Step {
        direction: if down {
            Direction::Dependencies
        } else {
            Direction::Consumers
        },
        filter: Filter { text: text.leak() },
    });
    prop_oneof![
        key().prop_map(Placeholder::Context),
        key().prop_map(Placeholder::Variable),
        path().prop_map(Placeholder::Own),
        (key(), path()).prop_map(|(alias, path)| Placeholder::Resource { alias, path }),
        (key(), path()).prop_map(|(alias, path)| Placeholder::Shared { alias, path }),
        (prop::collection::vec(step, 1..4), path())
            .prop_map(|(steps, path)| Placeholder::Select { steps, path }),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(placeholder in placeholder()) {
        let printed = placeholder.to_string();
        prop_assert_eq!(parse(&printed), Ok(placeholder));
    }

    #[test]
    fn no_text_is_lost_or_panics(text in "[$\\\\{}a.%é]{0,12}|.{0,20}") {
        if let Ok(parts) = split(&text) {
            let back: String = parts.iter().map(|part| match part {
                Part::Literal(text) => text.to_string(),
                Part::Placeholder(inner, _) => format!("${{{inner}}}"),
            }).collect();
            prop_assert_eq!(back, text.replace("$\\{", "${"));
        }
    }
}
