//! Behaviour of the conversion.

use serde_json::{Value, json};

use super::*;
use crate::manifest::edit::Operation;
use crate::model::Diagnostic;
use crate::text::{Document, Limits, read};

const SMALL: &str =
    "apiVersion: score.dev/v1b1\nmetadata: {name: web}\ncontainers:\n  main: {image: nginx}\n";

fn document(text: &str) -> Document {
    read("score.yaml", text.as_bytes(), Limits::DEFAULT).expect("the text is YAML")
}

fn workload(text: &str) -> Value {
    workload_with(text, &Options::default())
}

fn workload_with(text: &str, options: &Options) -> Value {
    let mut converted = convert(&[document(text)], options).expect("it converts");
    match converted.operations.pop() {
        Some(Operation::Merge(manifest)) => manifest["workloads"]["web"].clone(),
        other => panic!("expected a merge, got {other:?}"),
    }
}

/// `LINE:COLUMN summary: detail`, sorted as found.
fn problems(text: &str) -> Vec<String> {
    lines(&convert(&[document(text)], &Options::default()).expect_err("something is wrong"))
}

fn lines(found: &[Diagnostic]) -> Vec<String> {
    found
        .iter()
        .map(|problem| {
            let place = &problem.places[0];
            format!(
                "{}:{} {}: {}",
                place.line.expect("a line"),
                place.column.expect("a column"),
                problem.summary,
                problem.detail
            )
        })
        .collect()
}

#[test]
fn the_smallest_file_becomes_one_workload() {
    assert_eq!(
        workload(SMALL),
        json!({"resources": {"score-workload": {
            "type": "score-workload",
            "params": {
                "metadata": {"name": "web"},
                "containers": {"main": {"image": "nginx"}},
                "service": {},
            },
        }}})
    );
}

#[test]
fn every_field_of_the_schema_is_carried() {
    let text = r#"
apiVersion: score.dev/v1b1
metadata:
  name: web
  team: {lead: ann}
  annotations: {example.com/Some-Key_1.2: "on"}
service:
  ports:
    http: {port: 80, targetPort: 8080, protocol: TCP}
containers:
  main:
    image: registry.example/web:1
    command: [/bin/sh, -c]
    args: ["echo ${HOME}"]
    variables: {A: b}
    files:
      /etc/a: {content: x, mode: "0600"}
      /etc/b: {binaryContent: ADBgwpA=}
    volumes:
      /data: {source: vol, path: /sub, readOnly: true}
    before: {other: {ready: healthy}}
    resources:
      limits: {memory: 128M, cpu: "0.24"}
      requests: {memory: 1.5Gi, cpu: 1000m}
    livenessProbe:
      httpGet: {path: /livez, port: 8080, scheme: HTTPS, host: 127.0.0.1, httpHeaders: [{name: X-A, value: b}]}
    readinessProbe:
      exec: {command: [/bin/true]}
  other: {image: other}
"#;
    let made = workload(text);
    let params = &made["resources"]["score-workload"]["params"];
    assert_eq!(params["metadata"]["team"]["lead"], "ann");
    assert_eq!(params["service"]["ports"]["http"]["targetPort"], 8080);
    let main = &params["containers"]["main"];
    assert_eq!(
        main["args"][0], "echo $\\{HOME}",
        "not a placeholder for Score, so a text for us"
    );
    assert_eq!(main["files"]["/etc/b"]["binaryContent"], "ADBgwpA=");
    assert_eq!(main["volumes"]["/data"]["readOnly"], true);
    assert_eq!(main["before"]["other"]["ready"], "healthy");
    assert_eq!(main["livenessProbe"]["httpGet"]["port"], 8080);
    assert_eq!(main["readinessProbe"]["exec"]["command"][0], "/bin/true");
    assert_eq!(main["resources"]["requests"]["cpu"], "1000m");
}

#[test]
fn placeholders_and_escapes_become_ours() {
    let text = r#"
apiVersion: score.dev/v1b1
metadata: {name: web, annotations: {example.com/key: thing}, port: 80}
containers:
  main:
    image: nginx
    variables:
      NAME: ${metadata.name}
      PORT: ${metadata.port}
      DOTTED: ${metadata.annotations.example\.com/key}
      URL: postgres://${resources.db.user}:${resources.db.password}@${resources.db.host}/x
      DEEP: ${resources.db.a.b.0}
      ESCAPED: $${not.one} and $$
      LATER: $${metadata.name}${metadata.name}
      ODD: $$$${x}
      OPEN: ${x
      JOINED: $${
    volumes:
      /a: {source: "${resources.vol}"}
      /b: {source: "${resources.vol.claim}"}
resources:
  db: {type: postgres, params: {name: "${metadata.name}-db", list: ["$${x}"]}}
  vol: {type: volume}
"#;
    let made = workload(text);
    let main = &made["resources"]["score-workload"]["params"]["containers"]["main"];
    assert_eq!(
        main["variables"],
        json!({
            "NAME": "web",
            "PORT": "80",
            "DOTTED": "thing",
            "URL": "postgres://${resources.db.outputs.user}:${resources.db.outputs.password}@${resources.db.outputs.host}/x",
            "DEEP": "${resources.db.outputs.a.b.0}",
            "ESCAPED": "$\\{not.one} and $",
            "LATER": "$\\{metadata.name}web",
            "ODD": "$$\\{x}",
            "OPEN": "$\\{x",
            "JOINED": "$\\{",
        })
    );
    assert_eq!(
        main["volumes"]["/a"]["source"],
        "${resources.vol.outputs.source}"
    );
    assert_eq!(
        main["volumes"]["/b"]["source"],
        "${resources.vol.outputs.claim}"
    );
    assert_eq!(
        made["resources"]["db"]["params"],
        json!({"name": "web-db", "list": ["$\\{x}"]})
    );
}

#[test]
fn a_dollar_and_a_brace_of_different_pieces_make_no_placeholder() {
    let text = format!("{SMALL}    \n");
    let text = text.replace(
        "{image: nginx}",
        "{image: nginx, variables: {A: \"$${metadata.odd}{x}\"}}",
    );
    let text = text.replace("{name: web}", "{name: web, odd: $}");
    // `$$` is a dollar sign, the metadata's value is another, and the braces are text.
    let made = workload(&text.replace("$${metadata", "$$${metadata"));
    assert_eq!(
        made["resources"]["score-workload"]["params"]["containers"]["main"]["variables"]["A"],
        "$$\\{x}"
    );
}

#[test]
fn an_id_makes_a_shared_resource_and_annotations_choose_another_type() {
    let text = r#"
apiVersion: score.dev/v1b1
metadata:
  name: web
  annotations:
    platform-orchestrator.dev/resType: k8s-workload
    platform-orchestrator.dev/resClass: large
    platform-orchestrator.dev/resId: web.main
containers: {main: {image: nginx}}
resources:
  db: {type: postgres, class: large, id: main-db, params: {size: 1}}
"#;
    let made = workload(text);
    let own = &made["resources"]["score-workload"];
    assert_eq!(
        (&own["type"], &own["class"], &own["id"]),
        (&json!("k8s-workload"), &json!("large"), &json!("web.main"))
    );
    assert_eq!(
        made["resources"]["db"],
        json!({"type": "postgres", "class": "large", "id": "shared.main-db", "params": {"size": 1}})
    );
}

#[test]
fn files_are_embedded_expanded_or_kept_as_they_are() {
    let text = r#"
apiVersion: score.dev/v1b1
metadata: {name: web}
containers:
  main:
    image: nginx
    files:
      /a: {source: a.txt}
      /b: {source: b.bin}
      /c: {source: a.txt, noExpand: true}
      /d: {content: 'sed s/$\{x}/y/', noExpand: true}
"#;
    let needed = files_needed(&[document(text)]);
    assert_eq!(
        needed
            .iter()
            .map(|file| file.source.as_str())
            .collect::<Vec<_>>(),
        ["a.txt", "b.bin"]
    );
    let options = Options {
        files: [
            (
                (0, "a.txt".to_owned()),
                Ok(b"I am ${metadata.name}, $${HOME}".to_vec()),
            ),
            ((0, "b.bin".to_owned()), Ok(vec![0, 255])),
        ]
        .into(),
        ..Options::default()
    };
    let made = workload_with(text, &options);
    assert_eq!(
        made["resources"]["score-workload"]["params"]["containers"]["main"]["files"],
        json!({
            "/a": {"content": "I am web, $\\{HOME}"},
            "/b": {"binaryContent": "AP8="},
            "/c": {"content": "I am $\\{metadata.name}, $$\\{HOME}"},
            "/d": {"binaryContent": "c2VkIHMvJFx7eH0veS8="},
        })
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_at_its_place() {
    let text = SMALL.replace(
        "{image: nginx}",
        "{image: nginx, files: {/a: {source: no.txt}}}",
    );
    let options = Options {
        files: [((0, "no.txt".to_owned()), Err("no such file".to_owned()))].into(),
        ..Options::default()
    };
    let found = convert(&[document(&text)], &options).expect_err("the file is missing");
    assert_eq!(
        lines(&found),
        ["4:37 File not readable: `no.txt` cannot be read: no such file."]
    );
}

#[test]
fn old_forms_are_read_with_a_warning() {
    let text = r#"
apiVersion: score.dev/v1b1
metadata: {name: web}
containers:
  main:
    image: nginx
    files:
      - {target: /a, content: [one, two]}
    volumes:
      - {target: /b, source: vol, read_only: true}
"#;
    let converted = convert(&[document(text)], &Options::default()).expect("it converts");
    assert_eq!(converted.warnings.len(), 4);
    let made = workload(text);
    let main = &made["resources"]["score-workload"]["params"]["containers"]["main"];
    assert_eq!(main["files"], json!({"/a": {"content": "one\ntwo"}}));
    assert_eq!(
        main["volumes"],
        json!({"/b": {"source": "vol", "readOnly": true}})
    );
}

#[test]
fn an_image_of_a_dot_needs_a_default() {
    let text = SMALL.replace("nginx", ".");
    assert_eq!(
        problems(&text),
        [
            "4:10 No image: The image is `.`: it is chosen when the file is deployed. Give it with `--default-image IMAGE`."
        ]
    );
    let options = Options {
        default_image: Some("web:1".to_owned()),
        ..Options::default()
    };
    let made = workload_with(&text, &options);
    assert_eq!(
        made["resources"]["score-workload"]["params"]["containers"]["main"]["image"],
        "web:1"
    );
}

#[test]
fn all_problems_come_at_once_with_their_places() {
    let text = r#"apiVersion: score.dev/v1
metadata: {name: Web}
contianers: {}
service: {ports: {http: {port: 0, protocol: tcp}}}
containers:
  main:
    variables: {PORT: 8080, A: "${resources.bd.host}", B: "${env.HOME}", C: "${metadata.nam}"}
    files: {/a: {content: x, source: y}, /b: {binaryContent: "?"}, /c: {content: x, target: /d}}
    volumes: {/v: {path: x}}
    before: {side: {ready: soon}}
    resources: {limits: {memory: lots, cpu: 1x}}
    livenessProbe: {}
    readinessProbe: {httpGet: {port: 80}}
resources:
  db: {class: large, id: A, params: []}
  score-workload: {type: x-y}
"#;
    insta::assert_snapshot!(problems(text).join("\n"), @r#"
    1:1 Not allowed here: `score.dev/v1` is given; expected `score.dev/v1b1`.
    2:12 Not allowed here: `Web` is given; expected 2 to 63 lower-case letters, digits and hyphens, not starting or ending with a hyphen.
    3:1 Unknown key: There is no `contianers` here. Did you mean `containers`?
    4:26 Not allowed here: 0 is given; expected a whole number from 1 to 65535.
    4:35 Not allowed here: `tcp` is given; expected `TCP` or `UDP`.
    6:3 Missing: `image` is missing: text that is not empty.
    7:17 Wrong type: `8080` must be text here: put it in quotes, `"8080"`.
    7:29 Placeholder: `${resources.bd.host}`: there is no resource `bd` in this file. Did you mean `db`?
    7:56 Placeholder: `${env.HOME}` refers to nothing: a placeholder begins with `metadata.` or `resources.`. For the text itself write `$${env.HOME}`.
    7:74 Placeholder: `${metadata.nam}`: there is no `nam` in the metadata. Did you mean `name`?
    8:13 Contents of a file: A file has one of `source`, `content` and `binaryContent`; `source` and `content` are given.
    8:47 Not allowed here: `binaryContent` must be standard base64.
    8:85 Unknown key: The key above is the target already. Remove `target`.
    9:15 Missing: `source` is missing: text.
    10:14 Unknown container: There is no container `side`, only `main`.
    10:21 Not allowed here: `soon` is given; expected `started`, `healthy` or `complete`.
    11:26 Not allowed here: `lots` is given; expected an amount of memory such as `125M` or `1.5Gi`.
    11:40 Not allowed here: `1x` is given; expected a number of CPUs such as `2`, `0.5` or `125m`.
    12:5 Missing: A probe needs `httpGet` or `exec`.
    13:22 Missing: `path` is missing: text.
    15:3 Missing: `type` is missing: 2 to 63 letters, digits and hyphens, not starting or ending with a hyphen.
    15:22 Not allowed here: `A` is given; expected 2 to 63 lower-case letters, digits and hyphens in parts separated by dots.
    15:29 Wrong type: Expected an object; a list is given.
    16:3 Name not allowed: `score-workload` stands for the workload itself. Give the resource another name.
    "#);
}

#[test]
fn two_files_with_one_name_are_refused() {
    let found = convert(&[document(SMALL), document(SMALL)], &Options::default())
        .expect_err("the same name");
    assert_eq!(found[0].summary, "Workload given twice");
}

#[test]
fn what_is_no_object_is_refused() {
    assert_eq!(
        problems("just text"),
        [
            "1:1 Wrong type: Expected an object with `apiVersion`, `metadata`, `service`, `containers` and `resources`; text is given."
        ]
    );
}

#[test]
fn a_text_that_a_manifest_cannot_carry_is_refused_and_not_changed() {
    let text = SMALL.replace("nginx}", "nginx, args: ['a$\\{b}']}");
    let found = problems(&text);
    assert!(found[0].contains("its own escape"), "{found:?}");
}

#[test]
fn places_in_the_manifest_lead_back_to_the_file() {
    let text = format!("{SMALL}resources: {{db: {{type: postgres}}}}\n");
    let converted = convert(&[document(&text)], &Options::default()).expect("it converts");
    let origin = |at: &str| converted.origin(at);
    assert_eq!(
        origin("/workloads/web/resources/score-workload/params/containers/main/image"),
        Some((0, "/containers/main/image".to_owned()))
    );
    assert_eq!(
        origin("/workloads/web/resources/db/params/size"),
        Some((0, "/resources/db/params/size".to_owned()))
    );
    assert_eq!(origin("/workloads/web"), Some((0, String::new())));
    assert_eq!(origin("/workloads/other/resources"), None);
    assert_eq!(origin("/shared/db"), None);
}

proptest::proptest! {
    /// What Score reads as text is text for us, whatever it holds.
    #[test]
    fn text_survives_our_placeholders(text in "[a-z${}\\\\. ]{0,24}") {
        if let Ok(ours) = super::text::literal(&text) {
            let parts = crate::placeholder::split(&ours).expect("no placeholder in it");
            let back: String = parts.into_iter().map(|part| match part {
                crate::placeholder::Part::Literal(literal) => literal,
                crate::placeholder::Part::Placeholder(inside, _) => panic!("`{inside}` became a placeholder"),
            }).collect();
            proptest::prop_assert_eq!(back, text);
        }
    }

    #[test]
    fn any_document_converts_or_is_refused_without_panic(text in "\\PC{0,80}") {
        if let Ok(document) = read("x", text.as_bytes(), Limits::DEFAULT) {
            let _ = convert(std::slice::from_ref(&document), &Options::default());
            let _ = files_needed(&[document]);
        }
    }
}
