//! Providers without downloads: the mirror filled from a registry that is hostile, slow or gone, and runs that have no
//! network at all.

pub(crate) mod registry;
mod served;

use self::registry::{Answer, Registry, platform, real, zip};
use crate::support::{Engine, Launcher, Place, kill, mirror, wait_until};

/// A module whose provider has to come from somewhere, in a runner without a network.
pub(crate) const CATALOGUE: &str = r#"
kind: environment-type
id: development
---
kind: project
id: shop
---
kind: environment
project_id: shop
id: dev
env_type_id: development
---
kind: environment
project_id: shop
id: qa
env_type_id: development
---
kind: resource-type
id: moment
output_schema: {type: object, properties: {year: {type: string}}}
---
kind: module
id: moment
resource_type: moment
module_source: inline
module_params: {at: {type: string}}
module_source_code: |
  terraform {
    required_providers {
      time = {
        source  = "hashicorp/time"
        version = ">= 0.10"
      }
    }
  }
  variable "at" {
    type = string
  }
  resource "time_static" "this" {
    rfc3339 = var.at
  }
  output "year" {
    value = tostring(time_static.this.year)
  }
---
kind: module-rule
module_id: moment
"#;

/// A manifest that needs it.
pub(crate) fn moment(year: u32) -> String {
    format!(
        "workloads:\n  web:\n    resources:\n      when:\n        type: moment\n        params: {{at: '{year}-02-03T04:05:06Z'}}\n    outputs:\n      YEAR: ${{resources.when.outputs.year}}\n"
    )
}

/// A place whose runs may download nothing and, in a container, have no network; without a mirror but its own.
pub(crate) fn cut_off(launcher: Launcher, engine: Engine) -> Place {
    let place = Place::new(launcher, engine);
    place.settings(&format!(
        "engines:\n  {}: {}\nallow_downloads: false\n",
        engine.name(),
        engine.binary().display()
    ));
    let configuration = match launcher {
        Launcher::Docker => "{type: docker, network: none, standby_secs: 0}",
        Launcher::Process => "{type: process}",
    };
    place.write("catalogue/all.yaml", CATALOGUE);
    place.write(
        "catalogue/runner.yaml",
        format!("kind: runner\nid: alone\nrunner_configuration: {configuration}\nstate_storage_configuration: {{type: local}}\n---\nkind: runner-rule\nrunner_id: alone\n"),
    );
    place.ok(["apply", "-f", "catalogue"]);
    place
}

/// `windlass deploy` by the rule of [`cut_off`].
pub(crate) fn deploy(place: &Place, env: &str, year: u32) -> Vec<String> {
    place.write("it.yaml", moment(year));
    ["deploy", "shop", env, "it.yaml", "--no-prompt"]
        .map(str::to_owned)
        .into()
}

fn locked(place: &Place, env: &'static str) -> String {
    place.in_database(async |database| {
        use sqlx::Row as _;
        let query = "SELECT lock_file FROM places WHERE env_id = $1";
        let row = sqlx::query(query).bind(env).fetch_one(database).await;
        row.expect("a place").get(0)
    })
}

mod filled_from_a_registry {
    use crate::support::{Engine, Launcher};

    #[test]
    #[ignore = "needs docker and opentofu"]
    fn docker_opentofu() {
        super::a_mirror_that_was_filled_is_all_that_runs_need(Launcher::Docker, Engine::OpenTofu);
    }

    #[test]
    #[ignore = "needs terraform"]
    fn process_terraform() {
        super::a_mirror_that_was_filled_is_all_that_runs_need(Launcher::Process, Engine::Terraform);
    }
}

fn a_mirror_that_was_filled_is_all_that_runs_need(launcher: Launcher, engine: Engine) {
    let place = cut_off(launcher, engine);
    let registry = Registry::start();
    let archive = real(&mirror(), "hashicorp/time", "0.14.2");
    registry.publish("hashicorp/time", &[("0.14.2", archive.clone())]);
    let failed = place.refused(deploy(&place, "dev", 2020));
    failed.says(&["is not in the provider mirror", "windlass mirror fill"]);

    let url = registry.url();
    let fill = ["mirror", "fill", "--registry", &url];
    let dry = place.ok([&fill[..], &["--dry-run"]].concat());
    dry.says(&["hashicorp/time 0.14.2", "would be fetched"]);
    assert_eq!(
        place.json(["mirror", "list", "-o", "json"]),
        serde_json::json!([])
    );
    place.ok(fill).says(&["hashicorp/time 0.14.2", "signed by"]);
    place.ok(fill).says(&["is there already"]);
    place.ok(deploy(&place, "dev", 2020));
    let run = &place.deployment(&place.newest("dev"))["windlass"]["run"];
    assert_eq!(
        run["init"], "prepared; 1 provider from the mirror",
        "{run:#}"
    );
    assert!(locked(&place, "dev").contains("0.14.2"));

    // A newer one comes: who is locked stays, who is new takes it, and each goes on with its own.
    registry.publish(
        "hashicorp/time",
        &[("0.14.2", archive.clone()), ("0.15.0", archive)],
    );
    place.ok(fill).says(&["0.14.2", "0.15.0"]);
    place.ok(deploy(&place, "dev", 2021));
    assert!(locked(&place, "dev").contains("0.14.2"));
    place.ok(deploy(&place, "qa", 2021));
    assert!(locked(&place, "qa").contains("0.15.0"));
    place
        .ok(["mirror", "verify"])
        .says(&["2 packages are as they came"]);

    // Where `init` runs, it goes by the same lock file and needs no network either.
    place.settings(&format!(
        "engines:\n  {}: {}\nallow_downloads: false\nshortcuts: {{skip_init: false}}\n",
        engine.name(),
        engine.binary().display()
    ));
    place.workers().into_iter().for_each(kill);
    place.ok(deploy(&place, "dev", 2022));
    let run = &place.deployment(&place.newest("dev"))["windlass"]["run"];
    assert_eq!(run["init"], "ran; 1 provider from the mirror", "{run:#}");
    assert!(locked(&place, "dev").contains("0.14.2"));

    // A module that asks for a newer one gets it, with `init` and without.
    let asks = |what: &str, env: &'static str, init: &str| {
        place.write("catalogue/all.yaml", CATALOGUE.replace(">= 0.10", what));
        place.ok(["apply", "-f", "catalogue"]);
        place.ok(deploy(&place, env, 2022));
        let run = &place.deployment(&place.newest(env))["windlass"]["run"];
        assert_eq!(run["init"], init, "{run:#}");
        locked(&place, env)
    };
    assert!(asks("~> 0.15", "dev", "ran; 1 provider from the mirror").contains("0.15.0"));
    place.settings(&format!(
        "engines:\n  {}: {}\nallow_downloads: false\n",
        engine.name(),
        engine.binary().display()
    ));
    place.workers().into_iter().for_each(kill);
    let init = "prepared; 1 provider from the mirror";
    assert!(
        asks("~> 0.14.0", "qa", init).contains("0.14.2"),
        "and an older one"
    );

    // A package that a destroy needs is gone: it is named, and the lock file says what to fetch again.
    place.ok(["mirror", "remove", "hashicorp/time", "0.15.0"]);
    let destroy = ["delete", "environment", "shop", "dev", "--no-prompt"];
    place.refused(destroy).says(&[
        "the mirror has no",
        "hashicorp/time",
        "windlass mirror fill",
    ]);
    place.ok(fill).says(&["hashicorp/time 0.15.0"]);
    place.ok(destroy);

    // A byte that was changed is named, and the run that would use it is refused.
    let program = crate::support::walk(&place.data().join("mirror/.packages"))
        .into_iter()
        .find(|path| path.ends_with("content/terraform-provider-time_v0.14.2"))
        .expect("the program");
    let mut bytes = std::fs::read(&program).expect("read");
    bytes.push(0);
    std::fs::write(&program, bytes).expect("written");
    place
        .refused(["mirror", "verify"])
        .says(&["0.14.2", "windlass mirror remove"]);
    place.refused(deploy(&place, "qa", 2023));
}

/// An archive of a provider, small.
fn small(content: &[u8]) -> Vec<u8> {
    zip(&[("terraform-provider-db_v1.0.0", content)])
}

const ADD: [&str; 4] = ["mirror", "add", "acme/db", "--registry"];

fn paths() -> [String; 3] {
    let machine = platform();
    let download = machine.replacen('_', "/", 1);
    [
        format!("/v1/providers/acme/db/1.0.0/download/{download}"),
        "/files/acme/db/1.0.0/SHA256SUMS".to_owned(),
        format!("/files/acme/db/1.0.0/terraform-provider-db_1.0.0_{machine}.zip"),
    ]
}

#[test]
fn whatever_a_registry_does_wrong_is_named_and_leaves_nothing() {
    let place = Place::without_engine();
    let registry = Registry::start();
    let url = registry.url();
    let good = small(b"one");
    let [download, sums, archive] = paths();
    let refused = |change: &dyn Fn(), says: &[&str]| {
        registry.publish("acme/db", &[("1.0.0", good.clone())]);
        change();
        place.refused([&ADD[..], &[&url]].concat()).says(says);
        assert_eq!(
            place.json(["mirror", "list", "-o", "json"]),
            serde_json::json!([])
        );
    };
    let other = small(b"two");
    refused(
        &|| registry.answer(&archive, other.clone()),
        &["digest", "nothing was kept"],
    );
    refused(
        &|| registry.set(&archive, Answer::Cut(good.clone())),
        &["could not be fetched"],
    );
    refused(
        &|| registry.set(&archive, Answer::Status(404)),
        &["answered 404"],
    );
    refused(
        &|| registry.set(&archive, Answer::Redirect(archive.clone())),
        &["redirects more than"],
    );
    refused(
        &|| {
            registry.set(
                &archive,
                Answer::Redirect("http://192.0.2.1/x.zip".to_owned()),
            )
        },
        &["https only"],
    );
    refused(
        &|| {
            let list = String::from_utf8(registry.at(&sums))
                .expect("text")
                .replace("  terra", "  other-terra");
            registry.answer(&format!("{sums}.sig"), registry.sign(list.as_bytes()));
            registry.answer(&sums, list);
        },
        &["not in its list of checksums"],
    );
    refused(
        &|| {
            let list = [registry.at(&sums), b"x".to_vec()].concat();
            registry.answer(&sums, list);
        },
        &["the signature is wrong"],
    );
    refused(
        &|| {
            let gnupg = include_bytes!("../../signed/rsa.sig");
            registry.answer(&format!("{sums}.sig"), *gnupg);
        },
        &["A1A61E6B64AEE79F", "none of the registry's"],
    );
    refused(
        &|| registry.answer(&download, "<html>"),
        &["does not answer as a registry"],
    );
    refused(
        &|| registry.answer("/.well-known/terraform.json", "{}"),
        &["providers.v1", "no registry of providers"],
    );
    registry.answer(
        "/.well-known/terraform.json",
        r#"{"providers.v1": "/v1/providers/"}"#,
    );
    for (hostile, says) in [
        (
            zip(&[("../terraform-provider-db", b"x")]),
            "does not stay inside",
        ),
        (zip(&[("README", b"x")]), "a package of something else"),
        (
            b"no archive at all, although it is long enough".to_vec(),
            "no zip archive",
        ),
    ] {
        refused(
            &|| registry.publish("acme/db", &[("1.0.0", hostile.clone())]),
            &[says],
        );
    }
    // What is not there is said with what is.
    registry.publish("acme/db", &[("1.0.0", good.clone())]);
    let add = |words: &[&str]| place.refused([&ADD[..], &[&url], words].concat());
    add(&["2.0.0"]).says(&["no", "2.0.0; it has 1.0.0"]);
    add(&["1.0.0", "--platform", "plan9_mips"])
        .says(&["not published for this platform", &platform()]);
    add(&[">= 2"]).says(&["no", ">= 2"]);
    add(&["newest"]).says(&["`newest` is no version"]);
    place
        .refused(["mirror", "add", "acme/none", "--registry", &url])
        .says(&["no provider", "acme/none"]);
    place
        .refused(["mirror", "add", "a/b/c/d", "--registry", &url])
        .says(&["NAMESPACE/TYPE"]);
}

#[test]
fn a_token_goes_to_the_registry_of_its_host_and_nowhere_else() {
    let place = Place::without_engine();
    let (registry, files) = (Registry::start(), Registry::start());
    registry.publish("acme/db", &[("1.0.0", small(b"one"))]);
    let [_, _, archive] = paths();
    files.answer(&archive, small(b"one"));
    registry.set(
        &archive,
        Answer::Redirect(format!("{}{archive}", files.url())),
    );
    place.with_variable("TF_TOKEN_private_example", "planted-token");
    let url = registry.url();
    place.ok([
        "mirror",
        "add",
        "private.example/acme/db",
        "1.0.0",
        "--registry",
        &url,
    ]);
    for (path, token) in registry.asked() {
        let wants = path.starts_with("/v1/") || path.starts_with("/.well-known/");
        let expected = wants.then(|| "Bearer planted-token".to_owned());
        assert_eq!(token, expected, "{path}");
    }
    assert_eq!(files.asked(), [(archive, None)]);
}

#[test]
fn a_killed_command_leaves_the_mirror_as_it_was_and_several_may_add_at_once() {
    let place = Place::without_engine();
    let registry = Registry::start();
    let url = registry.url();
    let good = small(&[7; 100_000]);
    let [_, _, archive] = paths();
    registry.publish("acme/db", &[("1.0.0", good.clone())]);
    registry.set(&archive, Answer::Held(good.clone()));
    let command = [&ADD[..], &[&url]].concat();
    let killed = place.start(command.clone());
    registry.wait_for(".zip");
    let packages = place.data().join("mirror/.packages");
    let staged = || {
        std::fs::read_dir(&packages)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .count()
    };
    wait_until("something is being written", || staged() == 1);
    killed.kill();
    assert_eq!(
        place.json(["mirror", "list", "-o", "json"]),
        serde_json::json!([])
    );
    registry.answer(&archive, good);
    let several: Vec<_> = (0..4).map(|_| place.start(command.clone())).collect();
    for one in several {
        let done = one.wait();
        assert_eq!(done.code, Some(0), "{done}");
    }
    let listed = place.json(["mirror", "list", "-o", "json"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed:#}");
    place
        .ok(["mirror", "verify"])
        .says(&["1 packages are as they came"]);
    place.ok(["mirror", "remove", "acme/db"]);
    assert_eq!(staged(), 0, "what was killed is swept");
}
