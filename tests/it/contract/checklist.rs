//! The checklists of v1 as tests: each line of `tests/contract/checklist.txt` has a test whose name begins with its id, or
//! stands in [`ON_PURPOSE`] with the reason why it is answered differently.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Gives lines of a checklist the tests that hold what they ask for.
macro_rules! lines {
    ($($name:ident = $($of:ident)::+;)+) => {$(
        #[tokio::test]
        async fn $name() {
            $crate::api::$($of)::+().await;
        }
    )+};
}
pub(super) use lines;

/// Lines that are answered differently, and why.
const ON_PURPOSE: &[(&str, &str)] = &[
    (
        "c12_organizations_04",
        "an internal path; whoever makes an organisation gets an id of chance, and never a taken one",
    ),
    (
        "c12_organizations_05",
        "an internal path: there is no list of organisations, each caller knows its own",
    ),
    (
        "c12_projects_03",
        "an internal path: there is one program, and nobody to read it from outside",
    ),
    ("c12_envs_08", "an internal path, as above"),
    (
        "c12_resource_types_04",
        "nothing is built in: the catalogue is the platform team's alone, so that it can be applied and pruned whole",
    ),
    ("c12_resource_types_05", "nothing is built in"),
    ("c12_resource_types_06", "nothing is built in"),
    (
        "c12_resource_types_09",
        "nothing is built in; what is not there is 404, as for built-in ones",
    ),
    ("c12_resource_types_10", "nothing is built in"),
    (
        "e20_g06",
        "nothing that is answered follows from it: nodes are walked in the order of their keys",
    ),
    (
        "e20_g07",
        "there is no matrix: a selector looks at neighbours, near-linear in the graph",
    ),
    ("e20_g13", "there is no matrix, as above"),
    (
        "e20_c07",
        "errors of graphs are e20_g04, g09, g14 and g15; MOD-001 is answered only where a slice of the catalogue is missing, see c12_catalogue_04",
    ),
    (
        "e20_c15",
        "no runner of v1 speaks to this server: its runs are carried by launchers of our own",
    ),
    (
        "e20_k02",
        "nothing watches pods: a run that vanishes is told by its launcher and ends as lost",
    ),
    ("e20_k03", "no runner of v1 speaks to this server"),
    (
        "e20_k05",
        "no jobs of a cluster are made; such a runner is stored and says so when it is needed",
    ),
    ("e20_k06", "no jobs of a cluster are made, as above"),
    ("e20_k07", "no tasks of a cloud are made, as above"),
    (
        "e20_k08",
        "there is no message bus and no store of objects: events are rows, bundles are read by `bundle`",
    ),
    (
        "e20_i06",
        "runners fetch nothing over HTTP; a bundle is for who may read the whole organisation, and results come once by their sequence",
    ),
    (
        "e20_i13",
        "a way back works after a provider has left: deployments keep their slice of the catalogue",
    ),
];

/// Lines that are answered as they say but for a part, and why. They have their tests.
const IN_PART: &[(&str, &str)] = &[(
    "e20_c10",
    "whoever may read may wait: waiting is reading, and a reader who is refused asks again and again instead",
)];

#[test]
fn every_line_has_its_test_or_its_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list =
        std::fs::read_to_string(root.join("tests/contract/checklist.txt")).expect("the list");
    let lines: BTreeMap<&str, &str> = list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').expect("an id and words"))
        .collect();
    let mut tested = BTreeSet::new();
    for file in super::files(&root.join("tests/it")) {
        let text = std::fs::read_to_string(&file).expect("a test file");
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let is_line = word.starts_with("c12_") || word.starts_with("e20_");
            let is_numbered = word
                .split('_')
                .skip(1)
                .any(|part| part.ends_with(|c: char| c.is_ascii_digit()));
            if is_line && is_numbered && !file.ends_with("checklist.rs") {
                let id = lines.keys().find(|id| word.starts_with(&format!("{id}_")));
                match id {
                    Some(id) => {
                        tested.insert(*id);
                    }
                    None => assert!(
                        lines.contains_key(word),
                        "{}: `{word}` is no line of the list",
                        file.display()
                    ),
                }
            }
        }
    }
    let otherwise: BTreeSet<&str> = ON_PURPOSE.iter().map(|(id, _)| *id).collect();
    for (id, why) in ON_PURPOSE {
        assert!(lines.contains_key(id), "{id} is no line of the list");
        assert!(why.len() > 10 && !tested.contains(id), "{id}");
    }
    for (id, why) in IN_PART {
        assert!(why.len() > 10 && tested.contains(id), "{id}");
    }
    let open: Vec<&&str> = lines
        .keys()
        .filter(|id| !tested.contains(**id) && !otherwise.contains(**id))
        .collect();
    assert_eq!(open, Vec::<&&str>::new(), "lines without a test");
}
