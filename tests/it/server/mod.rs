//! The server as a process of its own, and clients that reach it over the network only.

mod audit;
mod away;
mod backup;
mod contexts;
mod crowd;
mod extensions;
pub(crate) mod http;
mod identity;
mod invitations;
mod issuer;
mod login;
mod oidc;
mod scopes;
mod several;
mod sign_on;
mod traces;

use std::path::PathBuf;

use crate::support::{CATALOGUE, Client, Place, by_both_launchers, wait_until};

/// A token as automation brings one along.
pub(crate) const TOKEN: &str = "SU-bootstrap-token-of-the-tests-0123456789";
/// The organisation that it administers.
pub(crate) const ORG: &str = "acme";

/// A server that is going on; killed when dropped.
pub(crate) struct Server {
    process: Client,
    url: String,
}

impl Server {
    /// Starts a server in the data directory of `place` on a free port, with an administrator, and waits until it serves.
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        Self::of(place, ORG, TOKEN, arguments)
    }

    /// The same with another organisation and its administrator.
    fn of(place: &Place, org: &str, token: &str, arguments: &[&str]) -> Self {
        place
            .with_variable("WINDLASS_BOOTSTRAP_ORG", org)
            .with_variable("WINDLASS_BOOTSTRAP_TOKEN", token);
        let mut line = vec!["serve", "--listen", "127.0.0.1:0"];
        if !arguments.contains(&"--process-runner") {
            line.extend(["--process-runner", "true"]);
        }
        line.extend(arguments);
        let mut process = place.start(line);
        let mut url = None;
        wait_until("the server serves", || {
            if let Some(done) = process.over() {
                panic!("the server ended\n{done}");
            }
            url = served_at(&process.said());
            url.is_some()
        });
        Self {
            process,
            url: url.expect("it serves"),
        }
    }

    /// Where it is reached.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same, as an address.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        let host = self.url.trim_start_matches("http://");
        host.parse().expect("an address")
    }

    /// A machine with a client of this server: nothing of the server's directory, and a token.
    pub(crate) fn client(&self, token: &str) -> Place {
        let place = Place::without_engine();
        place
            .with_variable("WINDLASS_URL", &self.url)
            .with_variable("WINDLASS_ORG", ORG)
            .with_variable("WINDLASS_TOKEN", token);
        place
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// Tells it to stop and waits for its end.
    pub(crate) fn stop(self) -> crate::support::Done {
        self.process.terminate();
        self.process.wait()
    }
}

/// Makes an organisation and its administrator, by a server that serves for a moment.
pub(crate) fn bootstrap(place: &Place, org: &str, token: &str) {
    Server::of(place, org, token, &[]).stop();
}

/// The address in what the server said.
fn served_at(said: &str) -> Option<String> {
    let line = said
        .lines()
        .find(|line| line.starts_with("Windlass serves "))?;
    line.split_whitespace().nth(2).map(str::to_owned)
}

by_both_launchers! {
    commands_do_over_the_network_what_they_do_here
}

fn commands_do_over_the_network_what_they_do_here(place: &Place) {
    let server = Server::start(place, &[]);
    let client = server.client(TOKEN);
    client.write("catalogue/all.yaml", CATALOGUE);
    client.ok(["apply", "-f", "catalogue"]);
    client.write(
        "app.yaml",
        "workloads: {web: {resources: {one: {type: note, params: {text: far}}}, outputs: {TEXT: \"${resources.one.outputs.text}\"}}}",
    );
    let runner = place.launcher().runner();
    client.ok([
        "deploy",
        "shop",
        "dev",
        "app.yaml",
        "--no-prompt",
        "--runner",
        runner,
    ]);
    let outputs = client.json(["get", "outputs", "shop", "dev", "-o", "json"]);
    assert_eq!(outputs["web"]["TEXT"], "far");
    let id = client.newest("dev");
    let log = client.ok(["logs", &id]);
    assert!(
        log.stdout.contains("note"),
        "the log is opened with the client's key\n{log}"
    );
    assert_eq!(
        client.states(),
        Vec::<PathBuf>::new(),
        "the state lies with the server"
    );

    let done = server.stop();
    assert_eq!(done.code, Some(0), "told to stop, it stops\n{done}");
    assert!(
        !format!("{}{}", done.stdout, done.stderr).contains(TOKEN),
        "no token is in what the server says"
    );
    let gone = client.refused(["get", "projects"]);
    gone.says(&["was not reached"]);
}

#[test]
fn who_has_no_token_or_one_of_nobody_is_refused() {
    let place = Place::without_engine();
    let server = Server::start(&place, &[]);
    for token in ["", "SU-of-nobody"] {
        let client = server.client(token);
        client
            .refused(["get", "projects"])
            .says(&["a token is needed"]);
    }
    let client = server.client(TOKEN);
    client
        .refused(["get", "projects", "--org", "default"])
        .says(&["Forbidden"]);
    client.ok(["get", "projects"]);
    assert!(server.url().starts_with("http://127.0.0.1:"));
}

#[test]
fn the_settings_in_effect_are_printed_with_their_sources() {
    let place = Place::without_engine();
    place.with_variable("WINDLASS_STOP_SECONDS", "3");
    let done = place.ok(["serve", "--print-settings", "--listen", "127.0.0.1:9"]);
    for line in [
        "listen: 127.0.0.1:9 # flag",
        "stop_seconds: 3 # WINDLASS_STOP_SECONDS",
        "log_format: text # default",
        "database_url: sqlite: # default",
    ] {
        assert!(done.stdout.contains(line), "{line}\n{done}");
    }
    let named = |url: &str| place.run(["serve", "--print-settings", "--database-url", url]);
    let done = named("postgres://me@db.example/windlass?sslmode=verify-full");
    let line = "database_url: postgres://me@db.example/windlass?sslmode=verify-full # flag";
    assert!(done.stdout.contains(line), "{done}");
    let done = named("postgres://me:geheim@db.example/windlass");
    assert_eq!(done.code, Some(1));
    done.says(&["--database-url holds a password", "PGPASSWORD"]);
    assert!(!done.stderr.contains("geheim"));
    place.with_variable(
        "WINDLASS_DATABASE_URL",
        "postgres://me:geheim@db.example/windlass",
    );
    let done = place.ok(["serve", "--print-settings"]);
    let line = "database_url: postgres://me:…@db.example/windlass # WINDLASS_DATABASE_URL";
    assert!(done.stdout.contains(line), "{done}");
    place
        .refused(["serve", "--dev", "--listen", "0.0.0.0:0"])
        .says(&["only works on a loopback address"]);
}

#[test]
fn a_deployment_to_an_agent_that_nobody_runs_is_taken_and_fails_in_v1s_words() {
    let place = Place::without_engine();
    let server = Server::start(&place, &[]);
    let client = server.client(TOKEN);
    let key = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAc5dgCx4ano39JT0XgTsHnts3jej+5xl7ZAwSIrKpef0=\n-----END PUBLIC KEY-----\n";
    let runner = serde_json::json!({
        "runner_configuration": {"type": "kubernetes-agent", "key": key, "job": {"namespace": "n", "service_account": "s"}},
        "state_storage_configuration": {"type": "kubernetes", "namespace": "n"},
    });
    client.ok(["create", "environment-type", "test"]);
    client.ok(["create", "project", "shop"]);
    client.ok([
        "create",
        "environment",
        "shop",
        "dev",
        "--set",
        "env_type_id=test",
    ]);
    client.ok(["create", "runner", "far", "--set-json", &runner.to_string()]);
    client.ok([
        "create",
        "runner-rule",
        "--set",
        "runner_id=far",
        "--no-prompt",
    ]);
    client.write("app.yaml", "workloads: {web: {outputs: {A: cat}}}");
    let done = client.refused(["deploy", "shop", "dev", "app.yaml", "--no-prompt"]);
    let record = client.deployment(&client.newest("dev"));
    assert_eq!(record["status"], "failed", "{done}");
    assert_eq!(record["windlass"]["failure_class"], "runner_unreachable");
    let message = record["status_message"].as_str().expect("text");
    assert!(
        message.contains("kubernetes agent not reachable"),
        "{message}"
    );
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again_and_all_is_counted() {
    let place = Place::without_engine();
    let server = Server::start(&place, &["--rate-limit", "1"]);
    let get = async |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        crate::contract::http::send(server.address(), "GET", path, &headers, None).await
    };
    let mut refused = None;
    // A second is over before a thousand answers only where a millisecond each is too much, and then more are asked for.
    for _ in 0..1000 {
        let reply = get("/orgs/acme/projects", TOKEN).await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        assert_eq!(reply.status, 200);
    }
    let refused = refused.expect("nobody may ask for ever");
    refused.is_refusal("too often");
    assert!(refused.header("retry-after").is_some());
    // The bucket is the token's own.
    assert_eq!(get("/orgs/acme/projects", "SU-another").await.status, 401);
    let counted = get("/metrics", "SU-a-third").await;
    let counted = String::from_utf8_lossy(&counted.body).into_owned();
    for line in [
        "windlass_http_requests_total{method=\"GET\",route=\"/orgs/{org}/projects\",status=\"429\"} 1",
        "windlass_deployments{phase=\"queued\"} 0",
    ] {
        assert!(counted.contains(line), "{line}\n{counted}");
    }
}
