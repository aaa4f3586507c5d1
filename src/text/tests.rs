use serde_json::json;

use super::*;

fn value(text: &str) -> Value {
    read("m.yaml", text.as_bytes(), Limits::DEFAULT)
        .expect("readable")
        .value
}

fn refused(text: &[u8]) -> (String, String, Option<(usize, usize)>) {
    let problems = read("m.yaml", text, Limits::DEFAULT).expect_err("refused");
    let place = &problems[0].places[0];
    (
        problems[0].summary.clone(),
        problems[0].detail.clone(),
        place.line.zip(place.column),
    )
}

#[test]
fn types_are_those_of_yaml_1_2() {
    assert_eq!(
        value(
            "a: no\nb: on\nc: y\nd: true\ne: 0755\nf: 1_000\ng: 1:30\nh: 2024-01-01\ni: ~\nj: 5\nk: -5\nl: 1.5\nm: 18446744073709551615"
        ),
        json!({"a": "no", "b": "on", "c": "y", "d": true, "e": "0755", "f": "1_000", "g": "1:30",
               "h": "2024-01-01", "i": null, "j": 5, "k": -5, "l": 1.5, "m": 18446744073709551615_u64})
    );
}

#[test]
fn json_with_tabs_is_read() {
    assert_eq!(
        value("{\n\t\"a\": [\n\t\t1, \"\\u00e9\\ud83d\\ude00\\/\"\n\t]\n}\n"),
        json!({"a": [1, "é😀/"]})
    );
}

#[test]
fn every_pointer_has_the_place_of_its_key() {
    let document = read(
        "m.yaml",
        b"workloads:\n  web:\n    outputs: {\"A/b\": x, c: y}\n    list:\n      - 1\n      - k: 2\n",
        Limits::DEFAULT,
    )
    .expect("readable");
    assert_eq!(document.place(""), Some((1, 1)));
    assert_eq!(document.place("/workloads/web"), Some((2, 3)));
    assert_eq!(document.place("/workloads/web/outputs/A~1b"), Some((3, 15)));
    assert_eq!(
        document.value_place("/workloads/web/outputs/c"),
        Some((3, 28))
    );
    assert_eq!(document.place("/workloads/web/list/1/k"), Some((6, 9)));
    assert_eq!(document.place("/workloads/web/list/0"), Some((5, 9)));
    assert_eq!(
        document.place("/workloads/web/missing/deep"),
        Some((2, 3)),
        "the nearest ancestor"
    );
}

#[test]
fn a_stream_gives_its_documents_with_their_places() {
    let all =
        read_all("c.yaml", b"a: 1\n---\n---\nb: 2\n...\n", Limits::DEFAULT).expect("readable");
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].value, json!({"b": 2}));
    assert_eq!(all[1].place("/b"), Some((4, 1)));
}

#[test]
fn bad_documents_are_refused_with_a_place() {
    for (text, summary, at) in [
        (&b""[..], "Empty document", None),
        (b"# only a comment\n", "Empty document", None),
        (b"a: 1\n---\nb: 2\n", "More than one document", Some((3, 1))),
        (b"a: 1\nb: 2\na: 3\n", "Duplicate key", Some((3, 1))),
        (b"a:\n  b: {x: 1, x: 2}\n", "Duplicate key", Some((2, 13))),
        (b"ok: 1\nbad: \xff\n", "Not UTF-8", Some((2, 6))),
        (b"ok: 1\r\rbad: \xff\n", "Not UTF-8", Some((3, 6))),
        (b"\xef\xbb\xbfbad: \xff\n", "Not UTF-8", Some((1, 6))),
        (b"a: [1, 2\n", "Not readable as YAML", Some((1, 4))),
        (b"a:\n\tb: 1\n", "Not readable as YAML", Some((2, 2))),
        (
            b"a: 123456789012345678901234567890\n",
            "Number too large",
            Some((1, 4)),
        ),
        (
            b"a: [x, -99999999999999999999]\n",
            "Number too large",
            Some((1, 8)),
        ),
        (b"a: .inf\n", "Not readable as YAML", Some((1, 4))),
    ] {
        let (found, detail, place) = refused(text);
        assert_eq!(
            (found.as_str(), place),
            (summary, at),
            "{detail} of {}",
            String::from_utf8_lossy(text)
        );
    }
}

#[test]
fn bombs_are_refused_quickly() {
    assert_eq!(refused(&b"[".repeat(40_000)).0, "Nested too deeply");
    let mut blocks = String::new();
    for depth in 0..2_000 {
        blocks += &format!("{}a:\n", " ".repeat(depth));
    }
    assert_eq!(refused(blocks.as_bytes()).0, "Nested too deeply");
    assert_eq!(
        refused(&vec![b'a'; 10 * 1024 * 1024]).0,
        "Document too large"
    );
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let inner = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb += &format!("a{level}: &a{level} [{inner}]\n");
    }
    assert_eq!(refused(bomb.as_bytes()).0, "Document too complex");
}

#[test]
fn anchors_and_merge_keys_work() {
    assert_eq!(
        value("base: &b {q: 1}\nuse: {<<: *b, r: 2}\nagain: *b\n"),
        json!({"base": {"q": 1}, "use": {"q": 1, "r": 2}, "again": {"q": 1}})
    );
}

#[test]
fn a_key_of_json_that_yaml_does_not_take_is_named_with_its_length() {
    let long = "k".repeat(1023);
    let text = format!("{{\"say \\\"{long}\\\"\": \"{long}: 1\",\n\r \"{long}\" : 1}}");
    let (summary, detail, place) = refused(text.as_bytes());
    assert_eq!((summary.as_str(), place), ("Key too long", Some((1, 2))));
    assert!(detail.contains("1024"), "{detail}");

    let text = format!("{{\"a\\\\\": \"{long}{long}\",\n\r \"{long}\" : 1}}");
    let (summary, _, place) = refused(text.as_bytes());
    assert_eq!((summary.as_str(), place), ("Key too long", Some((3, 2))));

    let text = format!("{{\"{}\": \"{long}{long}\"}}", &long[..1022]);
    assert!(value(&text).is_object(), "one letter less is read");
}
