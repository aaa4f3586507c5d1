//! Kits: everything that an installation without a network needs, in one signed file that is taken whole or not at all.

use std::fs;
use std::path::Path;

use crate::mirror::{CATALOGUE, moment};
use crate::support::{Engine, Launcher, Place, mirror};

/// A place with one provider in its own mirror, and a module whose code is a directory.
fn packing(engine: Engine) -> Place {
    let place = Place::new(Launcher::Process, engine);
    place.settings(&format!(
        "engines:\n  {}: {}\n",
        engine.name(),
        engine.binary().display()
    ));
    let (head, tail) = CATALOGUE
        .split_once("module_source: inline")
        .expect("a module");
    let (_, code) = tail
        .split_once("module_source_code: |\n")
        .expect("its code");
    let (code, rules) = code.split_once("---\n").expect("rules");
    let params = "module_params: {at: {type: string}}";
    place.write(
        "catalogue/all.yaml",
        format!("{head}module_source: ./moment\n{params}\n---\n{rules}"),
    );
    place.write("catalogue/moment/main.tf", code.replace("\n  ", "\n"));
    place.ok(["apply", "-f", "catalogue"]);
    for host in fs::read_dir(mirror()).expect("hosts").flatten() {
        let name = host.file_name();
        let from = host.path().join("hashicorp/time");
        let to = place
            .data()
            .join("mirror")
            .join(name)
            .join("hashicorp/time");
        copy(&from, &to);
    }
    place
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => {
                fs::copy(entry.path(), target).expect("copied");
            }
        }
    }
}

/// A machine with nothing: no engine, no providers, no downloads.
fn bare() -> Place {
    let place = Place::without_engine();
    place.settings("allow_downloads: false\n");
    place
}

fn nothing_came(place: &Place) {
    assert_eq!(
        place.json(["mirror", "list", "-o", "json"]),
        serde_json::json!([])
    );
    assert!(!place.data().join("engines").exists());
    let left: Vec<_> = crate::support::walk(&place.data())
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("/.kit-") || path.ends_with("package.zip"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

mod carried {
    #[test]
    #[ignore = "needs opentofu"]
    fn opentofu() {
        super::a_kit_is_all_that_a_bare_machine_needs(crate::support::Engine::OpenTofu);
    }

    #[test]
    #[ignore = "needs terraform"]
    fn terraform() {
        super::a_kit_is_all_that_a_bare_machine_needs(crate::support::Engine::Terraform);
    }
}

fn a_kit_is_all_that_a_bare_machine_needs(engine: Engine) {
    let from = packing(engine);
    let public = from.ok(["kit", "key", "signing"]).stdout.trim().to_owned();
    from.refused(["kit", "key", "signing"])
        .says(&["stays as it is"]);
    from.ok(["kit", "export", "one.kit", "--key", "signing"])
        .says(&["1 engines", "2 providers", "the code of 1 modules"]);
    // The word of those who look for it does the same, to the same bytes.
    from.ok(["bundle", "export", "two.kit", "--key", "signing"]);
    let kit = fs::read(from.work().join("one.kit")).expect("read");
    assert!(kit == fs::read(from.work().join("two.kit")).expect("read"));

    let to = bare();
    let path = to.write("it.kit", &kit);
    let path = path.to_str().expect("text");
    to.refused(["kit", "import", path])
        .says(&[&public, "--trust"]);
    let other = from.ok(["kit", "key", "other"]).stdout.trim().to_owned();
    to.refused(["kit", "import", path, "--trust", &other])
        .says(&[&public]);
    nothing_came(&to);
    for (name, bytes) in [
        ("cut", kit[..kit.len() - 1].to_vec()),
        ("longer", [&kit[..], b"x"].concat()),
        ("changed", {
            let mut bytes = kit.clone();
            let last = bytes.len() - 100;
            bytes[last] ^= 1;
            bytes
        }),
        ("head", {
            let mut bytes = kit.clone();
            bytes[200] ^= 1;
            bytes
        }),
        ("none", b"PK\x03\x04".to_vec()),
    ] {
        let path = to.write(&format!("{name}.kit"), bytes);
        let path = path.to_str().expect("text");
        to.refused(["kit", "import", path, "--trust", &public])
            .says(&["was not taken"]);
        nothing_came(&to);
    }

    to.ok(["kit", "import", path, "--trust", &public])
        .says(&["taken", "2 providers"]);
    let shown = to.ok(["kit", "show", path]).stdout;
    for part in [&public, "engine ", "hashicorp/time 0.14.2", "code sha256:"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    to.ok(["mirror", "verify"])
        .says(&["2 packages are as they came"]);
    // From now on the key is known.
    to.ok(["kit", "import", path]);
    // Everything that is needed is there: engine, provider, and the catalogue's own files.
    for name in ["all.yaml", "moment/main.tf"] {
        let file = from.work().join("catalogue").join(name);
        to.write(&format!("catalogue/{name}"), fs::read(file).expect("read"));
    }
    to.ok(["apply", "-f", "catalogue"]);
    to.write("it.yaml", moment(2020));
    to.ok([
        "deploy",
        "shop",
        "dev",
        "it.yaml",
        "--no-prompt",
        "--runner",
        "process",
    ]);
    let run = &to.deployment(&to.newest("dev"))["windlass"]["run"];
    assert_eq!(run["engine"], engine.name(), "{run:#}");
    assert_eq!(
        run["init"], "prepared; 1 provider from the mirror",
        "{run:#}"
    );
}
