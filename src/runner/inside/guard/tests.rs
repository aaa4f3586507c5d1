//! The guard on directories as kills leave them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::files::{COPY, JOURNAL, STATE};
use super::*;
use crate::runner::engine::document::State;

fn change(address: &str, action: &str, id: Option<&str>) -> Change {
    Change {
        address: address.into(),
        action: action.into(),
        id: id.map(|id| ("id".into(), id.into())),
    }
}

fn put_state(dir: &Path, objects: &[(&str, &str)]) {
    let resources: Vec<_> = objects
        .iter()
        .map(|(name, id)| {
            serde_json::json!({"mode": "managed", "type": "t", "name": name,
                "instances": [{"attributes": {"id": id}}]})
        })
        .collect();
    let state = serde_json::json!({"version": 4, "serial": 2, "lineage": "l", "outputs": {}, "resources": resources});
    fs::write(dir.join(STATE), state.to_string()).expect("written");
}

fn begin(dir: &Path, attempt: u32) -> Guard {
    Guard::begin(dir, "run", attempt).expect("a guard")
}

fn ended((open, written): (Open, Result<(), GuardError>)) -> Open {
    written.expect("written");
    open
}

#[test]
fn an_empty_state_is_put_before_the_first_apply() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guard = begin(dir.path(), 1);
    guard.before_engine().expect("copied");
    let state = fs::read(dir.path().join(STATE)).expect("seeded");
    assert!(State::read(&state).is_some());
    assert_eq!(fs::read(dir.path().join(COPY)).expect("copied"), state);
}

#[test]
fn an_empty_or_torn_state_is_replaced_by_the_copy() {
    let dir = tempfile::tempdir().expect("a directory");
    put_state(dir.path(), &[("a", "1")]);
    let whole = fs::read(dir.path().join(STATE)).expect("there");
    begin(dir.path(), 1).before_engine().expect("copied");
    for torn in [&b""[..], &whole[..20]] {
        fs::write(dir.path().join(STATE), torn).expect("torn");
        let guard = begin(dir.path(), 2);
        assert_eq!(guard.notes.len(), 1);
        assert_eq!(fs::read(dir.path().join(STATE)).expect("there"), whole);
    }
}

#[test]
fn a_damaged_state_without_a_copy_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join(STATE), "").expect("written");
    assert!(matches!(
        Guard::begin(dir.path(), "run", 1),
        Err(GuardError::Damaged)
    ));
}

#[test]
fn after_a_kill_journal_minus_state_is_open_and_stays_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guard = begin(dir.path(), 1);
    for (name, id) in [("t.a", "1"), ("t.b", "2")] {
        guard.started(&change(name, "create", None));
        guard.done(&change(name, "create", Some(id)));
    }
    guard.started(&change("t.c", "create", None));
    put_state(dir.path(), &[("a", "1")]);
    let expected = Open {
        unrecorded: vec!["t.b".into()],
        in_flight: vec!["t.c".into()],
    };
    assert_eq!(ended(guard.end(false)), expected);
    drop(guard);

    // The next run makes both anew: the objects of the first one are still nobody's.
    let mut guard = begin(dir.path(), 2);
    put_state(dir.path(), &[("a", "1"), ("b", "8"), ("c", "9")]);
    assert_eq!(ended(guard.end(true)), expected);
    drop(guard);

    // Imported: the state holds that very object.
    put_state(dir.path(), &[("a", "1"), ("b", "2")]);
    let open = ended(begin(dir.path(), 3).end(true));
    assert_eq!(open.unrecorded, Vec::<String>::new());
}

#[test]
fn a_supervisor_that_died_with_its_engine_is_worked_out_by_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guard = begin(dir.path(), 1);
    guard.started(&change("t.a", "create", None));
    guard.done(&change("t.a", "create", Some("1")));
    guard.started(&change("t.b", "delete", Some("5")));
    drop(guard);
    let open = ended(begin(dir.path(), 2).end(true));
    assert_eq!(open.unrecorded, ["t.a"]);
}

#[test]
fn a_clean_end_settles_everything() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guard = begin(dir.path(), 1);
    guard.started(&change("t.a", "create", None));
    guard.errored(&change("t.a", "create", None));
    assert_eq!(ended(guard.end(true)), Open::default());
    assert_eq!(fs::read(dir.path().join(JOURNAL)).expect("there"), b"");
}

#[test]
fn a_replacement_that_was_killed_between_its_halves_is_seen() {
    let dir = tempfile::tempdir().expect("a directory");
    put_state(dir.path(), &[("a", "1")]);
    let mut guard = begin(dir.path(), 1);
    guard.started(&change("t.a", "delete", Some("1")));
    guard.done(&change("t.a", "delete", Some("1")));
    guard.started(&change("t.a", "create", None));
    guard.done(&change("t.a", "create", Some("2")));
    let open = ended(guard.end(false));
    assert_eq!(open.unrecorded, ["t.a"]);
}

#[test]
fn a_new_object_whose_id_is_unknown_is_open_although_the_old_one_is_in_the_state() {
    let dir = tempfile::tempdir().expect("a directory");
    put_state(dir.path(), &[("a", "1")]);
    let mut guard = begin(dir.path(), 1);
    guard.before_engine().expect("copied");
    guard.started(&change("t.a", "delete", Some("1")));
    guard.done(&change("t.a", "delete", Some("1")));
    guard.started(&change("t.a", "create", None));
    let open = ended(guard.end(false));
    assert_eq!(open.in_flight, ["t.a"]);
    drop(guard);
    let open = begin(dir.path(), 2).open();
    assert_eq!(open.in_flight, ["t.a"]);
}

#[test]
fn what_the_engine_calls_half_made_is_in_flight_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guard = begin(dir.path(), 1);
    guard.before_engine().expect("copied");
    guard.started(&change("t.a", "create", None));
    put_state(dir.path(), &[("a", "1")]);
    let open = ended(guard.end(false));
    assert_eq!(open.in_flight, ["t.a"], "its provisioners may not have run");
    let state = fs::read_to_string(dir.path().join(STATE)).expect("there");
    let half = state.replace("\"attributes\"", "\"status\":\"tainted\",\"attributes\"");
    fs::write(dir.path().join(STATE), half).expect("written");
    assert_eq!(ended(guard.end(false)), Open::default());
}

#[test]
fn a_supervisor_that_died_after_its_engine_ended_leaves_nothing_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guard = begin(dir.path(), 1);
    guard.started(&change("t.a", "create", None));
    guard.errored(&change("t.a", "create", None));
    guard.engine_ended();
    drop(guard);
    assert!(begin(dir.path(), 2).open().is_empty());
}

/// A plan's state: what ours had, and objects with these ids.
fn planned(objects: &[(&str, &str)]) -> Vec<u8> {
    let resources: Vec<_> = objects
        .iter()
        .map(|(name, id)| {
            serde_json::json!({"mode": "managed", "type": "t", "name": name, "provider": "p",
                "instances": [{"schema_version": 0, "attributes": {"id": id}}]})
        })
        .collect();
    serde_json::json!({"version": 4, "serial": 9, "lineage": "l", "outputs": {}, "resources": resources})
        .to_string()
        .into_bytes()
}

#[test]
fn an_import_puts_what_the_plan_found_into_the_state_and_closes_it() {
    let dir = tempfile::tempdir().expect("a directory");
    put_state(dir.path(), &[("a", "1"), ("b", "2")]);
    let mut guard = begin(dir.path(), 1);
    guard.before_engine().expect("copied");
    // One was made; one was replaced, its predecessor deleted first; one was replaced, its predecessor still there.
    guard.done(&change("t.new", "create", Some("${x}")));
    guard.done(&change("t.a", "delete", Some("1")));
    guard.done(&change("t.a", "create", Some("11")));
    guard.done(&change("t.b", "create", Some("22")));
    guard.started(&change("t.c", "create", None));
    ended(guard.end(false));
    drop(guard);

    let mut guard = begin(dir.path(), 2);
    let import = guard.choose(&[], &BTreeMap::new()).expect("chosen");
    let blocks = import.blocks();
    assert!(
        blocks.contains("to = t.new\n  id = \"$${x}\"\n"),
        "{blocks}"
    );
    let base = State::read(&import.state().expect("a state")).expect("valid");
    assert!(!base.holds("t.a", None), "it is gone");
    assert!(base.holds("t.b", Some(("id", "2"))), "it has yet to go");
    let found = planned(&[("new", "${x}"), ("a", "11"), ("b", "22"), ("foreign", "9")]);
    guard.adopt(import, &found).expect("adopted");
    let state = guard.state().expect("valid");
    for (address, id) in [
        ("t.new", "${x}"),
        ("t.a", "11"),
        ("t.b", "22"),
        ("t.b", "2"),
    ] {
        assert!(state.holds(address, Some(("id", id))), "{address} {id}");
    }
    assert!(!state.holds("t.foreign", None));
    assert_eq!(state.managed, 4);
    assert_eq!(ended(guard.end(true)).unrecorded, [""; 0]);
    assert_eq!(begin(dir.path(), 3).open().in_flight, ["t.c"]);
}

#[test]
fn an_import_that_the_plan_lacks_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guard = begin(dir.path(), 1);
    guard.done(&change("t.a", "create", Some("1")));
    guard.done(&change("t.b", "create", Some("2")));
    drop(guard);
    let mut guard = begin(dir.path(), 2);
    let before = fs::read(dir.path().join(STATE)).expect("there");
    let import = guard.choose(&[], &BTreeMap::new()).expect("chosen");
    assert!(guard.adopt(import, &planned(&[("a", "1")])).is_err());
    assert_eq!(fs::read(dir.path().join(STATE)).expect("there"), before);
    assert_eq!(ended(guard.end(true)).unrecorded, ["t.a", "t.b"]);
}

#[test]
fn what_an_engine_finished_and_could_not_write_stays_open_although_it_ended_by_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guard = begin(dir.path(), 1);
    guard.before_engine().expect("copied");
    guard.started(&change("t.a", "create", None));
    guard.done(&change("t.a", "create", Some("1")));
    guard.started(&change("t.b", "create", None));
    guard.done(&change("t.b", "create", Some("2")));
    guard.started(&change("t.c", "create", None));
    guard.errored(&change("t.c", "create", None));
    put_state(dir.path(), &[("a", "1")]);
    guard.engine_ended();
    let open = ended(guard.end(true));
    assert_eq!(open.unrecorded, ["t.b"]);
    assert_eq!(open.in_flight, [""; 0]);
    assert_eq!(begin(dir.path(), 2).open(), open);
}

/// One id for one address.
fn named(address: &str, id: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(address.to_owned(), id.to_owned())])
}

#[test]
fn what_was_in_flight_is_imported_by_the_id_that_somebody_names() {
    let dir = tempfile::tempdir().expect("a directory");
    put_state(dir.path(), &[("a", "1")]);
    let mut guard = begin(dir.path(), 1);
    guard.before_engine().expect("copied");
    guard.started(&change("t.b", "create", None));
    guard.done(&change("t.c", "create", Some("3")));
    drop(guard);

    let mut guard = begin(dir.path(), 2);
    let unknown = guard.choose(&[], &named("t.x", "9")).expect_err("refused");
    let message = unknown.to_string();
    assert!(
        message.contains("`t.x` is not left open here; open is `t.b`, `t.c`"),
        "{message}"
    );
    let hostile = "a\"b\\ ${x} %{ if y }\n$";
    let import = guard.choose(&[], &named("t.b", hostile)).expect("chosen");
    let expected = "import {\n  to = t.b\n  id = \"a\\\"b\\\\ $${x} %%{ if y }\\n$\"\n}\n";
    assert_eq!(import.blocks(), expected, "only what is named");
    guard
        .adopt(import, &planned(&[("a", "1"), ("b", hostile)]))
        .expect("adopted");
    let state = guard.state().expect("valid");
    assert!(state.holds("t.b", Some(("id", hostile))));
    drop(guard);
    let mut guard = begin(dir.path(), 3);
    assert_eq!(guard.open().in_flight, [""; 0]);
    assert_eq!(guard.open().unrecorded, ["t.c"]);
    // A provider may import by something else than what it calls the id.
    let import = guard
        .choose(&[], &named("t.c", "region/3"))
        .expect("chosen");
    assert!(import.blocks().contains("region/3"), "{}", import.blocks());
    guard
        .adopt(import, &planned(&[("c", "3")]))
        .expect("adopted");
    assert!(guard.open().is_empty());
}

#[test]
fn an_object_that_the_state_holds_is_not_imported_beside_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guard = begin(dir.path(), 1);
    guard.before_engine().expect("copied");
    guard.started(&change("t.a", "create", None));
    // Written before its provisioners ran.
    put_state(dir.path(), &[("a", "1")]);
    drop(guard);
    let mut guard = begin(dir.path(), 2);
    assert_eq!(guard.open().in_flight, ["t.a"]);
    let before = fs::read(dir.path().join(STATE)).expect("there");
    let choose = |guard: &Guard| guard.choose(&[], &named("t.a", "1")).expect("chosen");
    let import = choose(&guard);
    assert!(import.check(&planned(&[("a", "1")])).is_err());
    let refused = guard
        .adopt(import, &planned(&[("a", "1")]))
        .expect_err("refused");
    assert!(
        refused.to_string().contains("Dismiss the address"),
        "{refused}"
    );
    assert_eq!(fs::read(dir.path().join(STATE)).expect("there"), before);
    let import = choose(&guard);
    guard
        .adopt(import, &planned(&[("a", "2")]))
        .expect("another object");
    let state = guard.state().expect("valid");
    assert!(state.holds("t.a", Some(("id", "1"))) && state.holds("t.a", Some(("id", "2"))));
}
