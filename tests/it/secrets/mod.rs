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

/// A secret that is looked for.
struct Wanted {
    what: &'static str,
    search: Search,
    /// Where it may be.
    allowed: Option<PathBuf>,
    /// Of the files of this machine, only those below this are looked at, and neither database nor processes.
    only: Option<PathBuf>,
}

impl Wanted {
    fn in_place(&self, place: impl std::fmt::Display) -> String {
        format!("{} is in {place}", self.what)
    }

    fn is_in_file(&self, path: &Path, content: &[u8]) -> bool {
        let below = |folder: &PathBuf| path.starts_with(folder);
        !self.allowed.as_ref().is_some_and(below)
            && self.only.as_ref().is_none_or(below)
            && self.search.is_in(content)
    }
}

/// A search of one place.
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
        let [first, ..] = &self.wanted()[..] else {
            unreachable!("something is looked for")
        };
        wait_until("the secret is printed and stored", || {
            let log = self.place.run(["logs", &id]);
            // Without sealing there is nothing to open; then it lies there in clear.
            log.stdout.contains(&secret(self.place))
                || !self.in_rows(std::slice::from_ref(first)).is_empty()
        });
        client
    }

    /// Every place that holds a secret now and should not. Everything is read once, whatever is looked for in it: a module
    /// does not stand at its gate for ever.
    fn found(&self) -> Vec<String> {
        let all = self.wanted();
        let mut found = self.in_files(&all);
        found.extend(self.in_rows(&all));
        let everywhere = || all.iter().filter(|wanted| wanted.only.is_none());
        for (pid, line) in processes() {
            let line = line.join(" ");
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            for wanted in everywhere() {
                if wanted.search.is_in(line.as_bytes()) {
                    found.push(wanted.in_place(format!("the command line of process {pid}")));
                }
                if wanted.search.is_in(&environment) {
                    found.push(wanted.in_place(format!("the environment of process {pid}")));
                }
            }
        }
        if self.place.launcher() == Launcher::Docker {
            for container in self.place.containers() {
                found.extend(in_container(&all, &container));
            }
        }
        found
    }

    /// What is looked for.
    fn wanted(&self) -> Vec<Wanted> {
        let data = self.place.data();
        let (state, keys, spool) = (data.join("state"), data.join("keys"), data.join("spool"));
        let wanted =
            |what, secret: &str, allowed: Option<&PathBuf>, only: Option<&PathBuf>| Wanted {
                what,
                search: Search::new(secret),
                allowed: allowed.cloned(),
                only: only.cloned(),
            };
        let mut all = vec![
            wanted("the secret", &secret(self.place), Some(&state), None),
            wanted("the configuration", &configured(self.place), None, None),
            // What the manifest says goes into the root module, beside the configuration of providers: of neither may
            // a run leave a file.
            wanted(
                "what the manifest says",
                &salt(self.place),
                None,
                Some(&spool),
            ),
        ];
        for key in walk(&keys) {
            let text = fs::read_to_string(&key).unwrap_or_default();
            let begins = "AGE-SECRET-KEY-1";
            let key = text.split_once(begins).expect("a private key").1;
            let key: String = key
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            all.push(wanted("a private key", &key, Some(&keys), None));
        }
        all
    }

    /// The data directory with database, write-ahead log and spool; and what is new in the machine's temporary directory.
    fn in_files(&self, all: &[Wanted]) -> Vec<String> {
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
        let mut found = Vec::new();
        for path in files.iter().filter(|path| is_file(path) && is_ours(path)) {
            let content = fs::read(path).unwrap_or_default();
            let holds = all
                .iter()
                .filter(|wanted| wanted.is_in_file(path, &content));
            found.extend(holds.map(|wanted| wanted.in_place(path.display())));
        }
        found
    }

    /// Every value of the database: in its file, long ones lie in pieces.
    fn in_rows(&self, all: &[Wanted]) -> Vec<String> {
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
                    let value = value.get::<Option<Vec<u8>>, _>(0).unwrap_or_default();
                    for wanted in all.iter().filter(|wanted| wanted.only.is_none()) {
                        if wanted.search.is_in(&value) {
                            found.push(wanted.in_place(format!("{table}.{column}")));
                        }
                    }
                }
            }
            found
        })
    }
}

/// What the daemon knows of a container, its files, and its volumes.
fn in_container(all: &[Wanted], container: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |content: &[u8], place: &dyn std::fmt::Display| {
        let holds = all.iter().filter(|wanted| wanted.search.is_in(content));
        found.extend(holds.map(|wanted| wanted.in_place(place)));
    };
    for what in ["logs", "inspect", "diff", "top"] {
        let said = docker(&[what, container]);
        look(said.as_bytes(), &format!("docker {what} {container}"));
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
        if entry.size() < PROGRAM_BYTES && entry.read_to_end(&mut bytes).is_ok() {
            let path = entry.path().map(|path| path.display().to_string());
            let path = path.unwrap_or_default();
            look(&bytes, &format!("{path} of container {container}"));
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
            if is_file(&path) && !is_program {
                look(&fs::read(&path).unwrap_or_default(), &path.display());
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
