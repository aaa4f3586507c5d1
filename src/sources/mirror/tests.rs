use super::*;
use crate::model::hex;
use sha2::{Digest as _, Sha256};
use std::io::Read as _;

fn wanted(version: &str) -> Wanted {
    let provider = Provider::parse("acme/db", "r.example").expect("a source");
    Wanted::new(provider, version, "linux_amd64").expect("a package")
}

/// The archive of a provider whose program holds these bytes.
fn package(program: &[u8]) -> Vec<u8> {
    let from = tempfile::tempdir().expect("a directory");
    fs::write(from.path().join("terraform-provider-db_v1"), program).expect("written");
    fs::write(from.path().join("LICENSE"), "words").expect("written");
    let mut bytes = Vec::new();
    let mut archive = Archive::of_directory(from.path()).expect("made");
    archive.read_to_end(&mut bytes).expect("read");
    bytes
}

fn add(mirror: &Mirror, version: &str, bytes: &[u8]) -> Result<Added, MirrorError> {
    let staging = mirror.stage()?;
    fs::write(staging.zip(), bytes).expect("written");
    let sha256 = hex(&Sha256::digest(bytes));
    staging.add(&wanted(version), &sha256, "by hand".to_owned())
}

#[test]
fn a_package_is_shown_under_its_name_and_kept_by_its_digest() {
    let root = tempfile::tempdir().expect("a directory");
    let mirror = Mirror::at(root.path().join("mirror"));
    let bytes = package(b"one");
    let Added::New(record) = add(&mirror, "1.0.0", &bytes).expect("added") else {
        panic!("it is new");
    };
    assert_eq!(
        add(&mirror, "1.0.0", &bytes).expect("the same"),
        Added::There
    );
    // The same bytes under another version are kept once.
    add(&mirror, "1.0.1", &bytes).expect("added");
    let packages = mirror.packages();
    let names: Vec<String> = packages.iter().map(|it| it.wanted.to_string()).collect();
    assert_eq!(
        names,
        [
            "r.example/acme/db 1.0.0 linux_amd64",
            "r.example/acme/db 1.0.1 linux_amd64"
        ]
    );
    assert_eq!(packages[0].content, packages[1].content);
    assert_eq!(packages[0].record.as_ref(), Some(&record));
    assert_eq!(
        packages[0].hashes().expect("hashes"),
        [record.hash.clone(), format!("zh:{}", record.sha256)]
    );
    let mut again = Vec::new();
    let mut archive = packages[0].archive().expect("there");
    archive.read_to_end(&mut again).expect("read");
    assert_eq!(again, bytes);
    // What an engine, or a run of another user, needs.
    use std::os::unix::fs::PermissionsExt as _;
    let link = root
        .path()
        .join("mirror/r.example/acme/db/1.0.0/linux_amd64");
    let program = fs::metadata(link.join("terraform-provider-db_v1")).expect("there");
    assert_eq!(program.permissions().mode() & 0o777, 0o755);
    assert!(mirror.verify().iter().all(|(_, checked)| checked.is_ok()));
    assert!(mirror.remove(&wanted("1.0.0")).expect("removed"));
    assert!(mirror.packages()[0].content.exists(), "the other shows it");
    assert!(mirror.remove(&wanted("1.0.1")).expect("removed"));
    assert!(!mirror.remove(&wanted("1.0.1")).expect("not there"));
    assert!(!packages[0].content.exists(), "nothing shows it");
    assert_eq!(children(&root.path().join("mirror")), []);
}

#[test]
fn a_version_never_changes_and_what_somebody_put_there_stays() {
    let root = tempfile::tempdir().expect("a directory");
    let mirror = Mirror::at(root.path());
    add(&mirror, "1.0.0", &package(b"one")).expect("added");
    let error = add(&mirror, "1.0.0", &package(b"two")).expect_err("another");
    assert!(error.to_string().contains("never changes"), "{error}");
    let by_hand = root.path().join("r.example/acme/db/2.0.0/linux_amd64");
    fs::create_dir_all(&by_hand).expect("made");
    fs::write(by_hand.join("terraform-provider-db"), "x").expect("written");
    let error = add(&mirror, "2.0.0", &package(b"two")).expect_err("by hand");
    assert!(error.to_string().contains("windlass mirror"), "{error}");
    assert_eq!(mirror.packages()[1].record, None);
    assert!(by_hand.join("terraform-provider-db").exists());
}

#[test]
fn what_is_refused_leaves_the_mirror_as_it_was() {
    let root = tempfile::tempdir().expect("a directory");
    let mirror = Mirror::at(root.path());
    add(&mirror, "1.0.0", &package(b"one")).expect("added");
    let files = || {
        let mut all = hash::list(&root.path().join(PACKAGES)).expect("listed");
        all.retain(|(name, _)| name != ".lock");
        all.len()
    };
    let before = files();
    let good = package(b"two");
    let staging = mirror.stage().expect("a place");
    fs::write(staging.zip(), &good).expect("written");
    let refused = staging.add(&wanted("2.0.0"), &"0".repeat(64), String::new());
    assert!(matches!(refused, Err(MirrorError::Digest { .. })));
    assert!(matches!(
        add(&mirror, "2.0.0", &good[..good.len() - 1]),
        Err(MirrorError::Zip { .. })
    ));
    let other = Wanted {
        provider: Provider::parse("acme/other", "r.example").expect("a source"),
        ..wanted("2.0.0")
    };
    let staging = mirror.stage().expect("a place");
    fs::write(staging.zip(), &good).expect("written");
    let refused = staging.add(&other, &hex(&Sha256::digest(&good)), String::new());
    assert!(matches!(refused, Err(MirrorError::NoProgram { .. })));
    assert_eq!(mirror.packages().len(), 1);
    assert_eq!(files(), before);
}

#[test]
fn whoever_was_killed_is_swept_away_but_never_while_another_adds() {
    let root = tempfile::tempdir().expect("a directory");
    let mirror = Mirror::at(root.path());
    let adding = mirror.stage().expect("a place");
    fs::write(adding.zip(), "half").expect("written");
    // Killed: nothing of it is dropped.
    let left = root.path().join(PACKAGES).join(".new-killed");
    fs::create_dir(&left).expect("made");
    fs::create_dir(root.path().join(PACKAGES).join("sha256-unshown")).expect("made");
    add(&mirror, "1.0.0", &package(b"one")).expect("added beside");
    assert!(adding.zip().exists() && left.exists(), "one is at it");
    drop(adding);
    add(&mirror, "2.0.0", &package(b"two")).expect("added");
    assert!(!left.exists());
    assert!(!root.path().join(PACKAGES).join("sha256-unshown").exists());
    assert_eq!(mirror.packages().len(), 2);
}

#[test]
fn a_changed_byte_is_found() {
    let root = tempfile::tempdir().expect("a directory");
    let mirror = Mirror::at(root.path());
    add(&mirror, "1.0.0", &package(b"one")).expect("added");
    let content = &mirror.packages()[0].content;
    fs::write(content.join("LICENSE"), "other").expect("written");
    let (_, checked) = mirror.verify().remove(0);
    assert!(checked.expect_err("found").contains("hash"));
}
