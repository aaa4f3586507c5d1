//! What v1 has is in the document of the API: every operation, parameter, field and word of `tests/contract/v1.txt`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::document::{Document, Operation};

/// The table, read.
#[derive(Default)]
struct Table<'a> {
    types: BTreeMap<&'a str, Vec<&'a str>>,
    unions: BTreeMap<&'a str, Vec<(&'a str, &'a str)>>,
    operations: Vec<Vec<&'a str>>,
}

impl<'a> Table<'a> {
    fn read(text: &'a str) -> Self {
        let mut table = Self::default();
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (kind, rest) = line.split_once(' ').expect("a kind");
            match kind {
                "op" => table.operations.push(rest.split(' ').collect()),
                "type" => {
                    let (name, fields) = rest.split_once(": ").expect("fields");
                    table.types.insert(name, fields.split(' ').collect());
                }
                "union" => {
                    let (name, cases) = rest.split_once(": ").expect("cases");
                    let cases = cases.split(' ').filter_map(|case| case.split_once('='));
                    table.unions.insert(name, cases.collect());
                }
                other => panic!("what is `{other}`?"),
            }
        }
        table
    }
}

/// What of the table is not in the document.
struct Comparison<'a> {
    table: Table<'a>,
    document: &'a Document,
    missing: Vec<String>,
}

impl Comparison<'_> {
    fn operation(&mut self, words: &[&str]) {
        let (method, path) = (words[0], words[1]);
        let shape = |path: &str| -> Vec<String> {
            let part = |part: &str| {
                if part.starts_with('{') {
                    "{}".into()
                } else {
                    part.to_owned()
                }
            };
            path.split('/').map(part).collect()
        };
        let all = self.document.operations();
        let fits = |found: &&Operation| found.method == method && shape(&found.path) == shape(path);
        let Some(found) = all.iter().find(fits) else {
            self.missing.push(format!("{method} {path}"));
            return;
        };
        for word in &words[2..] {
            let what = format!("{method} {path} {word}");
            let given = |place: &str, name: &str| {
                found
                    .parameters(place)
                    .iter()
                    .any(|(known, _)| *known == name)
            };
            let is_there = match word.split_at(1) {
                ("?", name) => given("query", name),
                ("@", name) => given("header", name),
                ("<", name) => {
                    let schema =
                        &found.said["requestBody"]["content"]["application/json"]["schema"];
                    self.schema(&what, name, schema);
                    !schema.is_null()
                }
                _ => {
                    let (status, name) = word.split_once(':').unwrap_or((word, ""));
                    let answer = self.document.resolve(&found.said["responses"][status]);
                    let schema = &answer["content"]["application/json"]["schema"];
                    if let Some(item) = name.strip_prefix("page(") {
                        let (fields, _) = self.document.properties(schema);
                        self.schema(&what, item.trim_end_matches(')'), &fields["items"]["items"]);
                        assert!(fields.contains_key("next_page_token"), "{what}");
                    } else if !name.is_empty() {
                        self.schema(&what, name, schema);
                    }
                    found.answers(status)
                }
            };
            if !is_there {
                self.missing.push(what);
            }
        }
    }

    /// Looks for the fields of a type in a schema.
    fn schema(&mut self, at: &str, name: &str, schema: &Value) {
        let document = self.document;
        let either = document.either(schema);
        if let Some(cases) = self.table.unions.get(name).cloned() {
            for (tag, case) in cases {
                let tagged = either.iter().find(|one| {
                    let (fields, _) = document.properties(one);
                    fields
                        .get("type")
                        .is_some_and(|kind| document.words(kind) == [tag])
                });
                match tagged {
                    Some(found) => self.fields(&format!("{at} {tag}"), case, found),
                    None => self.missing.push(format!("{at}: {tag}")),
                }
            }
            return;
        }
        match either[..] {
            [one] => self.fields(at, name, one),
            _ => self
                .missing
                .push(format!("{at}: {name} is told apart there")),
        }
    }

    fn fields(&mut self, at: &str, name: &str, schema: &Value) {
        let document = self.document;
        let (there, required) = document.properties(schema);
        let wanted = self
            .table
            .types
            .get(name)
            .unwrap_or_else(|| panic!("{name} is no type"))
            .clone();
        for field in wanted {
            let (field, inner) = match field.split_once(':') {
                Some((field, inner)) => (field, Some(inner)),
                None => (field, None),
            };
            let (field, words) = field.split_once('=').unwrap_or((field, ""));
            let name = field.trim_end_matches(['!', '[', ']', '{', '}']);
            let at = format!("{at}.{name}");
            let Some(found) = there.get(name) else {
                self.missing.push(at);
                continue;
            };
            if field.contains('!') && !required.contains(&name.to_owned()) {
                self.missing.push(format!("{at} is always there"));
            }
            let known = document.words(found);
            for word in words.split('|').filter(|word| !word.is_empty()) {
                if !known.iter().any(|known| known == word) {
                    self.missing.push(format!("{at}={word}"));
                }
            }
            let Some(inner) = inner else { continue };
            let either = document.either(found);
            let found = match () {
                () if field.ends_with("[]") => &either[0]["items"],
                () if field.ends_with("{}") => &either[0]["additionalProperties"],
                () => found,
            };
            self.schema(&at, inner, found);
        }
    }
}

#[tokio::test]
async fn the_document_covers_what_clients_of_v1_rely_on() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/v1.txt");
    let text = std::fs::read_to_string(path).expect("the table");
    let document = super::document().await;
    let table = Table::read(&text);
    let operations = table.operations.clone();
    let mut comparison = Comparison {
        table,
        document: &document,
        missing: Vec::new(),
    };
    for words in &operations {
        comparison.operation(words);
    }
    assert!(operations.len() > 50, "the table was read");
    assert_eq!(
        comparison.missing,
        Vec::<String>::new(),
        "not in the document"
    );
}
