//! A server that answers with faults while a real engine writes its state, and people who handle what is left.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::{DEPLOY, MANIFEST, client, held};
use crate::server::http::Caller;
use crate::server::{Server, TOKEN};
use crate::support::{Engine, Launcher, Place, wait_until, walk};

/// Stands in front of a server and answers in its place while it is told to.
pub(super) struct Faults {
    url: String,
    behind: Mutex<Option<std::net::SocketAddr>>,
    broken: AtomicBool,
    /// Whether it lets pass whatever writes no state.
    pub(super) only_writes: AtomicBool,
    /// How many requests it answered with a fault.
    refused: AtomicUsize,
}

impl Faults {
    fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("its address");
        let it = Arc::new(Self {
            url: format!("http://{at}"),
            behind: Mutex::default(),
            broken: AtomicBool::new(false),
            only_writes: AtomicBool::new(false),
            refused: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&it);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let it = Arc::clone(&serving);
                thread::spawn(move || it.serve(near));
            }
        });
        it
    }

    /// One connection, and one whole request.
    fn serve(&self, mut near: TcpStream) {
        let Some(request) = request(&mut near) else {
            return;
        };
        let is_spared = self.only_writes.load(Ordering::SeqCst) && !request.starts_with(b"POST ");
        if self.broken.load(Ordering::SeqCst) && !is_spared {
            self.refused.fetch_add(1, Ordering::SeqCst);
            let _ = near.write_all(
                b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            );
            return;
        }
        let behind = self.behind.lock().expect("whole").expect("a server");
        let mut far = TcpStream::connect(behind).expect("the server is there");
        far.write_all(&request).expect("passes it on");
        let mut answer = Vec::new();
        far.read_to_end(&mut answer).expect("is answered");
        // The engine may be gone.
        let _ = near.write_all(&answer);
    }

    pub(super) fn breaks(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    pub(super) fn heals(&self) {
        self.broken.store(false, Ordering::SeqCst);
    }

    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

/// A whole request, changed so that its connection ends with it.
fn request(near: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 65536];
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        match near.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().expect("a length"));
    while bytes.len() < head + length {
        match near.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
    }
    let end = text.find("\r\n").expect("a first line") + 2;
    let mut whole = bytes[..end].to_vec();
    whole.extend_from_slice(b"connection: close\r\n");
    whole.extend_from_slice(&bytes[end..]);
    Some(whole)
}

/// A run that holds in the middle of its apply, before a server with faults in between. `more`: of the runner.
pub(super) fn world(place: &Place, more: &str) -> (Arc<Faults>, Server, Place, std::path::PathBuf) {
    let faults = Faults::start();
    let server = Server::start(place, &["--state-url", &faults.url]);
    *faults.behind.lock().expect("whole") = Some(server.address());
    let (client, hold) = client(place, &server);
    if !more.is_empty() {
        let file = client.work().join("catalogue/all.yaml");
        let text = fs::read_to_string(&file).expect("reads");
        let text = text.replace("{type: process}", &format!("{{type: process, {more}}}"));
        client.write("catalogue/all.yaml", text);
        client.ok(["apply", "-f", "catalogue"]);
    }
    (faults, server, client, hold)
}

fn go_on(hold: &Path) {
    fs::write(hold.join("go"), "").expect("writes");
}

#[test]
#[ignore = "needs opentofu"]
fn faults_of_the_server_while_a_state_is_written_are_sat_out() {
    let place = Place::new(Launcher::Process, Engine::OpenTofu);
    let (faults, _server, client, hold) = world(&place, "");
    let going = held(&client, &hold);
    faults.breaks();
    go_on(&hold);
    wait_until("the engine asks again", || faults.refused() >= 3);
    faults.heals();
    let done = going.wait();
    assert_eq!(done.code, Some(0), "{done}");
    let done = client.ok(DEPLOY);
    let record = client.deployment(&client.newest("dev"));
    assert_eq!(record["metrics"]["num_tf_resources_added"], 0, "{done}");
}

#[test]
#[ignore = "needs opentofu and terraform"]
fn a_state_that_the_engine_could_not_write_is_written_afterwards() {
    for engine in [Engine::OpenTofu, Engine::Terraform] {
        let place = Place::new(Launcher::Process, engine);
        let (faults, _server, client, hold) =
            world(&place, "environment: {TF_HTTP_RETRY_MAX: \"0\"}");
        let going = held(&client, &hold);
        faults.breaks();
        go_on(&hold);
        // The engine gives up after a few; what follows is ours.
        wait_until("it is tried again", || faults.refused() >= 6);
        faults.heals();
        let done = going.wait();
        assert_eq!(done.code, Some(1), "{done}");
        let record = client.deployment(&client.newest("dev"));
        assert_eq!(record["windlass"]["failure_class"], "state_write_failed");
        assert!(
            record["status_message"]
                .as_str()
                .is_some_and(|text| text.contains("nothing is lost")),
            "{record:#}"
        );
        let done = client.ok(DEPLOY);
        let record = client.deployment(&client.newest("dev"));
        assert_eq!(record["metrics"]["num_tf_resources_added"], 0, "{done}");
    }
}

#[test]
#[ignore = "needs opentofu"]
fn a_state_that_cannot_be_written_is_kept_encrypted_with_its_lock() {
    let place = Place::new(Launcher::Process, Engine::OpenTofu);
    let more = "environment: {TF_HTTP_RETRY_MAX: \"0\"}, deadlines: {finish: 3}";
    let (faults, server, client, hold) = world(&place, more);
    let going = held(&client, &hold);
    faults.breaks();
    go_on(&hold);
    let done = going.wait();
    assert_eq!(done.code, Some(1), "{done}");
    faults.heals();
    let id = client.newest("dev");
    let record = client.deployment(&id);
    assert_eq!(record["windlass"]["failure_class"], "state_write_failed");
    let kept: Vec<_> = walk(&place.data().join("state"))
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("errored-"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let bytes = fs::read(&kept[0]).expect("reads");
    assert!(
        bytes.starts_with(b"age-encryption.org/v1"),
        "it is encrypted"
    );

    let versions = client.json(["state", "versions", "shop", "dev", "-o", "json"]);
    assert_eq!(versions["lock"]["deployment"], id.as_str(), "{versions:#}");
    assert_eq!(versions["lock"]["is_live"], false);
    client.ok(["state", "unlock", "shop", "dev", "--no-prompt"]);
    client
        .refused(["state", "unlock", "shop", "dev", "--no-prompt"])
        .says(&["is not locked"]);
    client.ok(["state", "import", "shop", "dev", "--no-prompt"]);
    let view = client.json(["state", "list", "shop", "dev", "-o", "json"]);
    assert_eq!(
        view["recorded"].as_array().map(Vec::len),
        Some(2),
        "{view:#}"
    );
    client.ok(DEPLOY);
    let record = client.deployment(&client.newest("dev"));
    assert_eq!(record["metrics"]["num_tf_resources_added"], 0, "{record:#}");

    // What people do with versions.
    let versions = client.json(["state", "versions", "shop", "dev", "-o", "json"]);
    let items = versions["items"].as_array().expect("versions").clone();
    assert!(
        items.len() >= 2 && versions["lock"].is_null(),
        "{versions:#}"
    );
    assert_eq!(items[0]["current"], true);
    let oldest = items.last().expect("one")["version"].to_string();
    let pulled = |version: Option<&str>| -> Value {
        let mut line = vec!["state", "pull", "shop", "dev"];
        line.extend(version.map(|_| "--version"));
        line.extend(version);
        client.json(line)
    };
    let before = pulled(Some(&oldest));
    let done = client.ok(["state", "restore", "shop", "dev", &oldest, "--no-prompt"]);
    assert_eq!(pulled(None), before, "{done}");
    let gone = client.refused(["state", "restore", "shop", "dev", "999", "--no-prompt"]);
    gone.says(&["999", "state versions"]);
    let made = client.ok(["create", "user", "Dora", "--role", "Deployer", "--link"]);
    let said = format!("{}{}", made.stdout, made.stderr);
    let (_, link) = said.split_once("/welcome#").expect("a link");
    let link = link.split_whitespace().next().expect("a token");
    let session = Caller::nobody(server.url())
        .post("/auth/link", &json!({"token": link}))
        .ok_session();
    let deployer = server.client(&session);
    deployer
        .refused(["state", "pull", "shop", "dev", "--version", &oldest])
        .says(&["Forbidden"]);
    deployer.ok(["state", "versions", "shop", "dev"]);
    let audit = server.client(TOKEN).ok(["audit", "export", "-o", "-"]);
    for word in ["state/actions/unlock", "actions/pull", "actions/restore"] {
        assert!(audit.stdout.contains(word), "{word}\n{audit}");
    }
}

#[test]
#[ignore = "needs opentofu"]
fn what_a_killed_run_made_is_imported_into_a_state_with_the_server() {
    for kills_all in [false, true] {
        let place = Place::new(Launcher::Process, Engine::OpenTofu);
        let (faults, _server, client, hold) = world(&place, "");
        faults.only_writes.store(true, Ordering::SeqCst);
        faults.breaks();
        client.write("app.yaml", MANIFEST);
        let mut going = client.start(DEPLOY);
        // Either it writes the first that it made, or it waits with that and has gone on.
        wait_until("something is made", || {
            assert!(going.over().is_none(), "it ended: {}", going.said());
            faults.refused() > 0 || hold.join("waiting").exists()
        });
        match kills_all {
            false => place.kill_engine(),
            true => place.kill_supervisor(),
        }
        let done = going.wait();
        assert_eq!(done.code, Some(1), "{done}");
        faults.heals();
        let listed = || client.json(["state", "list", "shop", "dev", "-o", "json"]);
        let view = listed();
        let made = view["unrecorded"][0].as_str().unwrap_or_default();
        assert!(made.contains("note"), "{view:#}");
        let refused = client.run(DEPLOY);
        assert_eq!(refused.code, Some(1), "{refused}");
        refused.says(&["windlass state import shop dev"]);
        client.ok(["state", "import", "shop", "dev", made, "--no-prompt"]);
        let view = listed();
        assert_eq!(view["recorded"], serde_json::json!([made]), "{view:#}");
        assert_eq!(view["unrecorded"], serde_json::json!([]), "{view:#}");
        for address in view["in_flight"].as_array().expect("a list") {
            let address = address.as_str().expect("text");
            client.ok(["state", "dismiss", "shop", "dev", address, "--no-prompt"]);
        }
        go_on(&hold);
        client.ok(DEPLOY);
        let record = client.deployment(&client.newest("dev"));
        assert_eq!(record["metrics"]["num_tf_resources_added"], 1, "{record:#}");
    }
}
