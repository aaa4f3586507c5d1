//! A planted secret is in the state of the engine and nowhere else: not while the engine runs, not after success, failure or
//! a kill. A control run with sealing switched off finds it, so the search itself is known to work.
//!
//! Three secrets are looked for: a value that a module computes, prints and gives back (the state holds it); the user's
//! private keys (`keys` holds them); a provider's configuration (nothing holds it in clear). Every place has secrets of
//! its own, because tests run side by side and the search looks at the whole machine.

mod search;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use self::search::Search;
use crate::support::{
    Client, Launcher, Place, by_both_launchers, docker, everywhere, processes, wait_until, walk,
};

everywhere! {
    a_secret_is_in_the_state_and_nowhere_else
}
by_both_launchers! {
    without_sealing_the_search_finds_it
}

/// A larger file of a container than this is a program that came with its image.
const PROGRAM_BYTES: u64 = 32 * 1024 * 1024;

/// Computes a value that stands nowhere in what the user gave, prints it (by computing it once more, so that no argument and
/// no variable holds it), gives it back, and stands at a gate while the test looks around; then ends as its param says.
const CATALOGUE: &str = r#"
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
kind: resource-type
id: secret
output_schema: {type: object, properties: {value: {type: string}}}
---
kind: module
id: secret
resource_type: secret
module_source: inline
module_params: {salt: {type: string}, status: {type: string}}
module_source_code: |
  variable "salt" {
    type = string
  }
  variable "status" {
    type = string
  }
  locals {
    secret = sha256(var.salt)
  }
  resource "terraform_data" "kept" {
    input = local.secret
  }
  resource "terraform_data" "printed" {
    triggers_replace = [terraform_data.kept.output, var.status]
    provisioner "local-exec" {
      command = "printf %s $SALT | sha256sum; touch state/gate.waiting; n=0; until [ -e state/gate.go ] || [ $n -gt 6000 ]; do n=$((n+1)); sleep 0.02; done; rm -f state/gate.*; exit $STATUS"
      environment = {
        SALT   = var.salt
        STATUS = var.status
      }
    }
  }
  output "value" {
    value = terraform_data.kept.output
  }
---
kind: module-rule
module_id: secret
---
kind: provider
provider_type: aws
id: main
source: hashicorp/aws
version_constraint: ~> 5.0
configuration: {secret_key: CONFIGURED}
"#;

/// Letters and digits that no other place has.
fn salt(place: &Place) -> String {
    hex_digest(place.data().to_string_lossy().as_bytes())
}

/// What the module computes.
fn secret(place: &Place) -> String {
    hex_digest(salt(place).as_bytes())
}

/// What the configuration of a provider holds.
fn configured(place: &Place) -> String {
    hex_digest(secret(place).as_bytes())
}

fn hex_digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is looked for, and where it may be.
struct Hunt<'a> {
    place: &'a Place,
    since: SystemTime,
}

impl<'a> Hunt<'a> {
    fn begin(place: &'a Place) -> Self {
        place.write(
            "catalogue/all.yaml",
            CATALOGUE.replace("CONFIGURED", &configured(place)),
        );
        place.ok(["apply", "-f", "catalogue"]);
        let since = SystemTime::now();
        Self { place, since }
    }

    /// Starts a deployment of the secret that ends as `status` says; returns when its module stands at the gate.
    fn start(&self, status: &str) -> Client {
        let salt = salt(self.place);
        self.place.write(
            "secret.yaml",
            format!(
                "workloads:\n  web:\n    resources:\n      secret: {{type: secret, params: {{salt: {salt:?}, status: {status:?}}}}}\n    outputs:\n      VALUE: ${{resources.secret.outputs.value}}\n"
            ),
        );
        // A killed run leaves the files of its gate behind.
        for state in self.place.states() {
            let _ = fs::remove_file(state.join("gate.waiting"));
        }
        let mut client = self.place.start(self.place.deploy("dev", "secret.yaml"));
        self.place.wait_at_gate("gate", &mut client);
        let id = self.place.newest("dev");
        let search = Search::new(&secret(self.place));
        wait_until("the secret is printed and stored", || {
            let log = self.place.run(["logs", &id]);
            // Without sealing there is nothing to open; then it lies there in clear.
            log.stdout.contains(&secret(self.place)) || !self.in_rows(&search).is_empty()
        });
        client
    }

    /// Every place that holds a secret now and should not.
    fn found(&self) -> Vec<String> {
        let state = self.place.data().join("state");
        let keys = self.place.data().join("keys");
        let mut found = self.holders("the secret", &secret(self.place), &state);
        found.extend(self.holders(
            "the configuration",
            &configured(self.place),
            Path::new("/nowhere"),
        ));
        found.extend(self.of_the_manifest());
        for key in walk(&keys) {
            let text = fs::read_to_string(&key).unwrap_or_default();
            let begins = "AGE-SECRET-KEY-1";
            let key = text.split_once(begins).expect("a private key").1;
            let key: String = key
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            found.extend(self.holders("a private key", &key, &keys));
        }
        found
    }

    /// What the manifest says goes into the root module, beside the configuration of providers: of neither may a run
    /// leave a file.
    fn of_the_manifest(&self) -> Vec<String> {
        let search = Search::new(&salt(self.place));
        let spool = self.place.data().join("spool");
        let mut found = self.in_files(&search, Path::new("/nowhere"));
        found.retain(|path| Path::new(path).starts_with(&spool));
        if self.place.launcher() == Launcher::Docker {
            for container in self.place.containers() {
                found.extend(in_container(&search, &container));
            }
        }
        found
            .iter()
            .map(|place| format!("what the manifest says is in {place}"))
            .collect()
    }

    fn holders(&self, what: &str, secret: &str, allowed: &Path) -> Vec<String> {
        let search = Search::new(secret);
        let mut found = self.in_files(&search, allowed);
        found.extend(self.in_rows(&search));
        for (pid, line) in processes() {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            if search.is_in(line.join(" ").as_bytes()) {
                found.push(format!("the command line of process {pid}"));
            }
            if search.is_in(&environment) {
                found.push(format!("the environment of process {pid}"));
            }
        }
        if self.place.launcher() == Launcher::Docker {
            for container in self.place.containers() {
                found.extend(in_container(&search, &container));
            }
        }
        found
            .iter()
            .map(|place| format!("{what} is in {place}"))
            .collect()
    }

    /// The data directory with database, write-ahead log and spool; and what is new in the machine's temporary directory.
    fn in_files(&self, search: &Search, allowed: &Path) -> Vec<String> {
        let mut files = walk(&self.place.data());
        let temporary = fs::read_dir("/tmp").expect("it is there").flatten();
        for entry in temporary {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Other tests have their own places, and look after themselves.
            if !name.starts_with("windlass-test-") && name.starts_with("windlass-") {
                files.extend(walk(&entry.path()));
            } else if entry.path().is_file() {
                files.push(entry.path());
            }
        }
        let is_ours = |path: &PathBuf| {
            path.starts_with(self.place.data())
                || fs::metadata(path)
                    .and_then(|about| about.modified())
                    .is_ok_and(|at| at >= self.since)
        };
        files
            .into_iter()
            .filter(|path| !path.starts_with(allowed) && is_file(path) && is_ours(path))
            .filter(|path| search.is_in(&fs::read(path).unwrap_or_default()))
            .map(|path| path.display().to_string())
            .collect()
    }

    /// Every value of the database: in its file, long ones lie in pieces.
    fn in_rows(&self, search: &Search) -> Vec<String> {
        self.place.in_database(async |database| {
            use sqlx::Row as _;
            let columns = sqlx::query(
                "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'",
            );
            let columns = columns.fetch_all(&mut *database).await.expect("columns");
            let mut found = Vec::new();
            for row in columns {
                let (table, column): (String, String) = (row.get(0), row.get(1));
                let query = format!("SELECT CAST(\"{column}\" AS BLOB) FROM \"{table}\"");
                let values = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&mut *database).await;
                for value in values.expect("values") {
                    let value: Option<Vec<u8>> = value.get(0);
                    if search.is_in(&value.unwrap_or_default()) {
                        found.push(format!("{table}.{column}"));
                    }
                }
            }
            found
        })
    }
}

/// What the daemon knows of a container, its files, and its volumes.
fn in_container(search: &Search, container: &str) -> Vec<String> {
    let mut found = Vec::new();
    for what in ["logs", "inspect", "diff", "top"] {
        if search.is_in(docker(&[what, container]).as_bytes()) {
            found.push(format!("docker {what} {container}"));
        }
    }
    let mut export = Command::new("docker")
        .args(["export", container])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the docker command");
    let mut archive = tar::Archive::new(export.stdout.take().expect("piped"));
    // A container that ends meanwhile has no more files.
    for entry in archive.entries().into_iter().flatten() {
        let Ok(mut entry) = entry else { break };
        let mut bytes = Vec::new();
        if entry.size() < PROGRAM_BYTES
            && entry.read_to_end(&mut bytes).is_ok()
            && search.is_in(&bytes)
        {
            let path = entry.path().map(|path| path.display().to_string());
            found.push(format!(
                "{} of container {container}",
                path.unwrap_or_default()
            ));
        }
    }
    drop(archive);
    let _ = export.wait();
    let mounts = docker(&[
        "inspect",
        "--format",
        "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Source}}\n{{end}}{{end}}",
        container,
    ]);
    for source in mounts.lines().filter(|line| line.starts_with('/')) {
        assert!(
            fs::read_dir(source).is_ok(),
            "the search needs to read the volume {source}: run it as root"
        );
        for path in walk(Path::new(source)) {
            let is_program = fs::metadata(&path).is_ok_and(|about| about.len() >= PROGRAM_BYTES);
            if is_file(&path) && !is_program && search.is_in(&fs::read(&path).unwrap_or_default()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Links are left out: what they lead to is searched where it lies, or is the memory of another process.
fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_file())
}

/// Whether the state directory holds the secret, as it must.
fn state_holds_it(place: &Place) -> bool {
    let search = Search::new(&secret(place));
    walk(&place.data().join("state"))
        .iter()
        .any(|path| search.is_in(&fs::read(path).unwrap_or_default()))
}

fn nothing() -> Vec<String> {
    Vec::new()
}

fn a_secret_is_in_the_state_and_nowhere_else(place: &Place) {
    let hunt = Hunt::begin(place);

    let client = hunt.start("0");
    assert_eq!(hunt.found(), nothing(), "while it runs");
    place.open_gate("gate");
    let done = client.wait();
    assert_eq!(done.code, Some(0), "{done}");
    assert_eq!(hunt.found(), nothing(), "after success");
    assert!(state_holds_it(place));
    let outputs = place.json(["get", "outputs", "shop", "dev", "-o", "json"]);
    assert_eq!(
        outputs["web"]["VALUE"],
        secret(place),
        "the requester can read it"
    );
    let log = place.ok(["logs", &place.newest("dev")]);
    assert!(
        log.stdout.contains(&secret(place)),
        "and so it stands in the log\n{log}"
    );

    let client = hunt.start("3");
    assert_eq!(hunt.found(), nothing(), "while it runs again");
    place.open_gate("gate");
    let done = client.wait();
    assert_eq!(done.code, Some(1), "{done}");
    assert_eq!(hunt.found(), nothing(), "after failure");
    let log = place.ok(["logs", &place.newest("dev")]);
    assert!(
        log.stdout.contains(&secret(place)),
        "a failed run's log is kept as well\n{log}"
    );

    let client = hunt.start("4");
    place.kill_workers();
    place.kill_engine();
    assert_eq!(hunt.found(), nothing(), "when worker and engine are killed");
    client.kill();
    let id = place.newest("dev");
    assert_eq!(place.ended(&id)["status"], "failed");
    assert_eq!(hunt.found(), nothing(), "after the killed engine's end");

    for resource in place.deployment(&id)["windlass"]["in_flight"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let address = resource.as_str().expect("an address");
        place.ok([
            "state",
            "dismiss",
            "shop",
            "dev",
            address,
            "--no-prompt",
            "--runner",
            place.launcher().runner(),
        ]);
    }
    let client = hunt.start("5");
    place.kill_supervisor();
    assert_eq!(hunt.found(), nothing(), "when the supervisor is killed");
    client.kill();
    let id = place.newest("dev");
    assert_eq!(place.ended(&id)["status"], "failed");
    wait_until("the worker has removed what the run left", || {
        place.workers().is_empty()
    });
    assert_eq!(hunt.found(), nothing(), "after the killed supervisor's end");
    assert!(state_holds_it(place));
}

fn without_sealing_the_search_finds_it(place: &Place) {
    let place = place.with_variable("WINDLASS_TEST_UNSEALED", "1");
    let hunt = Hunt::begin(place);
    let client = hunt.start("0");
    let now = hunt.found();
    let spool = match place.launcher() {
        Launcher::Docker => "_data/events.jsonl",
        Launcher::Process => "/spool/",
    };
    assert!(
        now.iter().any(|place| place.contains(spool)),
        "in the spool: {now:?}"
    );
    place.open_gate("gate");
    let done = client.wait();
    assert_eq!(done.code, Some(0), "{done}");
    let found = hunt.found();
    assert!(
        found.iter().any(|place| place.contains("frames.bytes")),
        "{found:?}"
    );
}
