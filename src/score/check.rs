//! The schema of `score.dev/v1b1`, and the old forms that are brought into the new one before it is compared.

use serde_json::{Map, Value};

use super::shape::{Extra, Field, Problems, Shape, may, must, short};
use crate::model::diag::pointer;
use crate::model::name::Shape as Name;

/// The version that is read.
const VERSION: &str = "score.dev/v1b1";

const ANY_TEXT: Shape = Shape::Text(|_| true, "text");
const SOME_TEXT: Shape = Shape::Text(|text| !text.is_empty(), "text that is not empty");
const LABEL: (fn(&str) -> bool, &str) = (
    |text| Name::WorkloadName.fits(text),
    "2 to 63 lower-case letters, digits and hyphens, not starting or ending with a hyphen",
);
const TYPE: Shape = Shape::Text(
    |text| Name::TypeName.fits(text),
    "2 to 63 letters, digits and hyphens, not starting or ending with a hyphen",
);
const PORT: Shape = Shape::Integer(1, 65_535);
const ANNOTATIONS: Shape = Shape::Map {
    keys: (
        is_annotation,
        "an annotation: a name of letters, digits, `.`, `_` and `-`, maybe after `HOST/`",
    ),
    values: &ANY_TEXT,
    at_least: 0,
};

const LIMITS: Shape = Shape::Object(
    &[
        may(
            "memory",
            Shape::Text(is_memory, "an amount of memory such as `125M` or `1.5Gi`"),
        ),
        may(
            "cpu",
            Shape::Text(is_cpu, "a number of CPUs such as `2`, `0.5` or `125m`"),
        ),
    ],
    Extra::Refused,
);

const FILE: Shape = Shape::Object(
    &[
        may(
            "mode",
            Shape::Text(is_mode, "an octal file mode such as `0644`"),
        ),
        may("source", SOME_TEXT),
        may("content", ANY_TEXT),
        may("binaryContent", ANY_TEXT),
        may("noExpand", Shape::Bool),
    ],
    Extra::Refused,
);

const VOLUME: Shape = Shape::Object(
    &[
        must("source", ANY_TEXT),
        may("path", ANY_TEXT),
        may("readOnly", Shape::Bool),
    ],
    Extra::Refused,
);

const PROBE: Shape = Shape::Object(
    &[
        may(
            "httpGet",
            Shape::Object(
                &[
                    may("host", SOME_TEXT),
                    may(
                        "scheme",
                        Shape::Text(|text| matches!(text, "HTTP" | "HTTPS"), "`HTTP` or `HTTPS`"),
                    ),
                    must("path", ANY_TEXT),
                    must("port", PORT),
                    may(
                        "httpHeaders",
                        Shape::List(&Shape::Object(
                            &[
                                must(
                                    "name",
                                    Shape::Text(
                                        is_header,
                                        "a header name of letters, digits, `_` and `-`",
                                    ),
                                ),
                                must("value", SOME_TEXT),
                            ],
                            Extra::Refused,
                        )),
                    ),
                ],
                Extra::Refused,
            ),
        ),
        may(
            "exec",
            Shape::Object(&[must("command", Shape::List(&ANY_TEXT))], Extra::Refused),
        ),
    ],
    Extra::Refused,
);

const CONTAINER: Shape = Shape::Object(
    &[
        must("image", SOME_TEXT),
        may("command", Shape::List(&ANY_TEXT)),
        may("args", Shape::List(&ANY_TEXT)),
        may(
            "variables",
            Shape::Map {
                keys: (
                    |text| !text.is_empty() && !text.contains('='),
                    "the name of a variable, without `=`",
                ),
                values: &ANY_TEXT,
                at_least: 0,
            },
        ),
        may("files", paths(&FILE)),
        may("volumes", paths(&VOLUME)),
        may(
            "before",
            Shape::Map {
                keys: LABEL,
                values: &Shape::Object(
                    &[must(
                        "ready",
                        Shape::Text(
                            |text| matches!(text, "started" | "healthy" | "complete"),
                            "`started`, `healthy` or `complete`",
                        ),
                    )],
                    Extra::Refused,
                ),
                at_least: 0,
            },
        ),
        may(
            "resources",
            Shape::Object(
                &[may("limits", LIMITS), may("requests", LIMITS)],
                Extra::Refused,
            ),
        ),
        may("livenessProbe", PROBE),
        may("readinessProbe", PROBE),
    ],
    Extra::Refused,
);

const WORKLOAD: Shape = Shape::Object(
    &[
        must(
            "apiVersion",
            Shape::Text(|text| text == VERSION, "`score.dev/v1b1`"),
        ),
        must(
            "metadata",
            Shape::Object(
                &[
                    must("name", Shape::Text(LABEL.0, LABEL.1)),
                    may("annotations", ANNOTATIONS),
                ],
                Extra::Allowed,
            ),
        ),
        may(
            "service",
            Shape::Object(
                &[may(
                    "ports",
                    Shape::Map {
                        keys: LABEL,
                        values: &Shape::Object(
                            &[
                                must("port", PORT),
                                may(
                                    "protocol",
                                    Shape::Text(
                                        |text| matches!(text, "TCP" | "UDP"),
                                        "`TCP` or `UDP`",
                                    ),
                                ),
                                may("targetPort", PORT),
                            ],
                            Extra::Refused,
                        ),
                        at_least: 0,
                    },
                )],
                Extra::Refused,
            ),
        ),
        must(
            "containers",
            Shape::Map {
                keys: LABEL,
                values: &CONTAINER,
                at_least: 1,
            },
        ),
        may(
            "resources",
            Shape::Map {
                keys: LABEL,
                values: &Shape::Object(RESOURCE, Extra::Refused),
                at_least: 0,
            },
        ),
    ],
    Extra::Refused,
);

const RESOURCE: &[Field] = &[
    must("type", TYPE),
    may("class", TYPE),
    may(
        "id",
        Shape::Text(
            |text| text.len() >= 2 && Name::ResourceId.fits(text),
            "2 to 63 lower-case letters, digits and hyphens in parts separated by dots",
        ),
    ),
    may(
        "metadata",
        Shape::Object(&[may("annotations", ANNOTATIONS)], Extra::Allowed),
    ),
    may("params", Shape::AnyObject),
];

/// Something under each path in a container.
const fn paths(values: &'static Shape) -> Shape {
    Shape::Map {
        keys: (|text| !text.is_empty(), "the path in the container"),
        values,
        at_least: 0,
    }
}

/// Compares a document, already in the new form, with the schema.
pub(super) fn check(value: &Value, problems: &mut Problems<'_>) {
    problems.compare("", value, &WORKLOAD);
    let Some(containers) = value.get("containers").and_then(Value::as_object) else {
        return;
    };
    for (name, container) in containers {
        let at = pointer("/containers", name);
        for (path, file) in entries(container, "files") {
            check_file(&pointer(&format!("{at}/files"), path), file, problems);
        }
        for probe in ["livenessProbe", "readinessProbe"] {
            if let Some(Value::Object(map)) = container.get(probe)
                && !map.contains_key("httpGet")
                && !map.contains_key("exec")
            {
                problems.error(
                    &format!("{at}/{probe}"),
                    "Missing",
                    "A probe needs `httpGet` or `exec`.",
                );
            }
        }
        for (other, _) in entries(container, "before") {
            if !containers.contains_key(other) {
                problems.error(
                    &pointer(&format!("{at}/before"), other),
                    "Unknown container",
                    format!(
                        "There is no container `{}`, only {}.",
                        short(other),
                        super::shape::ticked(containers.keys().map(String::as_str))
                    ),
                );
            }
        }
    }
}

/// The entries of an object field; none where it is something else.
fn entries<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value
        .get(field)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn check_file(at: &str, file: &Value, problems: &mut Problems<'_>) {
    let Value::Object(map) = file else { return };
    let given: Vec<&str> = ["source", "content", "binaryContent"]
        .into_iter()
        .filter(|field| map.contains_key(*field))
        .collect();
    if given.len() != 1 {
        let detail = match given.as_slice() {
            [] => "A file needs one of `source`, `content` and `binaryContent`.".to_owned(),
            several => format!(
                "A file has one of `source`, `content` and `binaryContent`; {} are given.",
                super::shape::ticked(several.iter().copied())
            ),
        };
        problems.error(at, "Contents of a file", detail);
    }
    if let Some(Value::String(text)) = map.get("binaryContent")
        && !super::text::is_base64(text)
    {
        problems.error(
            &format!("{at}/binaryContent"),
            "Not allowed here",
            "`binaryContent` must be standard base64.",
        );
    }
}

/// Brings the old forms into the new one: lists of files and volumes become objects by their `target`, a list of
/// lines becomes a text, and `read_only` becomes `readOnly`. Each is told once as a warning.
pub(super) fn modernise(value: &Value, problems: &mut Problems<'_>) -> Value {
    let mut value = value.clone();
    let Some(Value::Object(containers)) = value.get_mut("containers") else {
        return value;
    };
    for (name, container) in containers {
        let Value::Object(container) = container else {
            continue;
        };
        for field in ["files", "volumes"] {
            let at = format!("{}/{field}", pointer("/containers", name));
            match container.get_mut(field) {
                Some(Value::Array(list)) => {
                    let list = std::mem::take(list);
                    problems.warning(
                        &at,
                        "Old form",
                        format!("A list of {field} is the old form. Write an object with the path in the container as key."),
                    );
                    let map = by_target(&at, list, problems);
                    container.insert(field.to_owned(), Value::Object(map));
                }
                Some(Value::Object(map)) => {
                    for (path, item) in map {
                        let inside = pointer(&at, path);
                        if item.get("target").is_some() {
                            problems.error(
                                &format!("{inside}/target"),
                                "Unknown key",
                                "The key above is the target already. Remove `target`.",
                            );
                            if let Value::Object(item) = item {
                                item.shift_remove("target");
                            }
                        }
                        modernise_item(&inside, item, problems);
                    }
                }
                _ => {}
            }
        }
    }
    value
}

/// A list of files or volumes as an object by target.
fn by_target(at: &str, list: Vec<Value>, problems: &mut Problems<'_>) -> Map<String, Value> {
    let mut map = Map::new();
    for (position, mut item) in list.into_iter().enumerate() {
        let inside = format!("{at}/{position}");
        let Value::Object(fields) = &mut item else {
            problems.error(&inside, "Wrong type", "Expected an object.");
            continue;
        };
        let Some(Value::String(target)) = fields.shift_remove("target") else {
            problems.error(
                &inside,
                "Missing",
                "`target` is missing: the path in the container.",
            );
            continue;
        };
        modernise_item(&inside, &mut item, problems);
        if map.insert(target.clone(), item).is_some() {
            problems.error(
                &inside,
                "Given twice",
                format!("`{}` is the target of an earlier entry.", short(&target)),
            );
        }
    }
    map
}

fn modernise_item(at: &str, item: &mut Value, problems: &mut Problems<'_>) {
    let Value::Object(item) = item else { return };
    if let Some(Value::Array(lines)) = item.get("content")
        && lines.iter().all(Value::is_string)
    {
        problems.warning(
            &format!("{at}/content"),
            "Old form",
            "A list of lines is the old form. Write one text, with `|`.",
        );
        let text: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
        let text = text.join("\n");
        item.insert("content".to_owned(), Value::String(text));
    }
    if let Some(old) = item.shift_remove("read_only") {
        problems.warning(
            &format!("{at}/read_only"),
            "Old form",
            "`read_only` is the old name of `readOnly`.",
        );
        item.entry("readOnly").or_insert(old);
    }
}

/// `[HOST/]NAME`, 2 to 316 characters.
fn is_annotation(text: &str) -> bool {
    let (host, name) = match text.rsplit_once('/') {
        Some((host, name)) => (Some(host), name),
        None => (None, text),
    };
    let label = |part: &str| Name::WorkloadName.fits(part);
    let plain = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 316
        && host.is_none_or(|host| host.split('.').all(label))
        && (2..=63).contains(&name.len())
        && name.starts_with(plain)
        && name.ends_with(plain)
        && name
            .chars()
            .all(|c| plain(c) || matches!(c, '.' | '_' | '-'))
}

/// Digits, maybe a fraction, maybe a unit; zero only as `0.…`.
fn is_memory(text: &str) -> bool {
    let number = [
        "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "K", "M", "G", "T", "P", "E",
    ]
    .iter()
    .find_map(|unit| text.strip_suffix(unit))
    .unwrap_or(text);
    match number.split_once('.') {
        Some((whole, part)) => digits(part) && (whole == "0" || is_whole(whole)),
        None => is_whole(number),
    }
}

/// Digits, and a fraction or `m`.
fn is_cpu(text: &str) -> bool {
    match text.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part),
        None => digits(text.strip_suffix('m').unwrap_or(text)),
    }
}

fn is_mode(text: &str) -> bool {
    let digits = match text.len() {
        4 => text.strip_prefix('0'),
        _ => Some(text),
    };
    digits.is_some_and(|digits| {
        digits.len() == 3 && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
    })
}

fn is_header(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_whole(text: &str) -> bool {
    digits(text) && !text.starts_with('0')
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
