//! Agents: another data directory, which knows a server and which no server knows, carries runs.

mod net;
pub(crate) mod relay;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use self::net::Network;
use self::relay::Relay;
use crate::server::{Server, TOKEN};
use crate::support::{CATALOGUE, Client, Engine, Launcher, Place, wait_until};

const STATE: &str = r#"{"version":4,"serial":2,"lineage":"l","outputs":{},"resources":[]}"#;
const MANIFEST: &str = "workloads: {web: {resources: {note: {type: note, params: {text: x}}}}}";

/// An engine that stands in the middle of an apply until it may go on.
fn gated() -> Place {
    Place::scripted(&format!(
        "case $1 in apply) planned 1; echo ran >> state/effects; touch state/mid.waiting; \
         until [ -e state/mid.go ]; do sleep 0.02; done; rm -f state/mid.*; \
         echo '{STATE}' > state/terraform.tfstate; applied 1;; output) echo '{{}}';; esac"
    ))
}

/// A server that carries nothing itself, and a client of it that knows the catalogue and a runner of agents.
struct World {
    place: Place,
    server: Option<Server>,
    client: Place,
    relay: std::sync::Arc<Relay>,
}

impl World {
    fn new(launcher: &str) -> Self {
        let place = Place::without_engine();
        place.with_variable("WINDLASS_LEASE_SECONDS", "2");
        let server = Server::start(&place, &[]);
        let relay = Relay::to(server.address());
        let client = server.client(TOKEN);
        client.write("catalogue/all.yaml", CATALOGUE);
        client.write(
            "catalogue/edge.yaml",
            format!(
                "kind: runner\nid: edge\nrunner_configuration: {{type: agent, launcher: {launcher}}}\n\
                 state_storage_configuration: {{type: local}}\n---\nkind: runner-rule\nrunner_id: edge\n"
            ),
        );
        client.ok(["apply", "-f", "catalogue"]);
        Self {
            place,
            server: Some(server),
            client,
            relay,
        }
    }

    fn token(&self) -> String {
        let done = self.client.ok(["create", "agent-token", "edge"]);
        done.stdout.trim().to_owned()
    }

    /// Enrols and starts an agent.
    fn agent(&self, place: &Place) -> Client {
        place.write("token", self.token());
        let agent = self.start(place, &["--enrol", "@token"]);
        connected(&agent);
        agent
    }

    fn start(&self, place: &Place, more: &[&str]) -> Client {
        let url = self.relay.url();
        let mut line = vec!["agent", "--server", &url, "--launchers", "docker,process"];
        line.extend(more);
        place.start(line)
    }

    /// Takes the server away, in the middle of what it does.
    fn kill_server(&mut self) {
        self.relay.cut();
        self.server.take().expect("it serves").kill();
    }

    /// Starts it again, elsewhere.
    fn restart_server(&mut self) {
        let server = Server::start(&self.place, &[]);
        self.client.with_variable("WINDLASS_URL", server.url());
        self.relay.mend(server.address());
        self.server = Some(server);
    }

    fn deploy(&self) -> String {
        self.client.write("app.yaml", MANIFEST);
        self.client.ok([
            "deploy",
            "shop",
            "dev",
            "app.yaml",
            "--no-prompt",
            "--no-wait",
        ]);
        self.client.newest("dev")
    }

    fn agents(&self) -> Vec<Value> {
        let listed = self.client.json(["get", "agents", "-o", "json"]);
        listed.as_array().cloned().unwrap_or_default()
    }
}

fn connected(agent: &Client) {
    wait_until("the agent is connected", || {
        agent.has_said("the agent is connected")
    });
}

/// The state directory in which a run stands at the gate.
fn at_gate(place: &Place) -> Option<PathBuf> {
    let mut states = place.states().into_iter();
    states.find(|state| state.join("mid.waiting").exists())
}

fn wait_at_gate(place: &Place) -> PathBuf {
    let mut found = None;
    wait_until("the run stands at the gate", || {
        found = at_gate(place);
        found.is_some()
    });
    found.expect("it stands there")
}

fn go_on(state: &std::path::Path) {
    fs::write(state.join("mid.go"), "").expect("writes");
}

/// How often the engine applied.
fn effects(place: &Place) -> usize {
    let read = |state: PathBuf| fs::read_to_string(state.join("effects")).unwrap_or_default();
    let counts = place
        .states()
        .into_iter()
        .map(|state| read(state).lines().count());
    counts.sum()
}

fn an_agent_deploys_plans_and_destroys(far: &Place, launcher: &str) {
    let world = World::new(launcher);
    let agent = world.agent(far);
    let client = &world.client;
    client.write(
        "app.yaml",
        "workloads: {web: {resources: {one: {type: note, params: {text: far}}}, outputs: {TEXT: \"${resources.one.outputs.text}\"}}}",
    );
    client.ok(["deploy", "shop", "dev", "app.yaml", "--no-prompt"]);
    let outputs = client.json(["get", "outputs", "shop", "dev", "-o", "json"]);
    assert_eq!(outputs["web"]["TEXT"], "far");
    let log = client.ok(["logs", &client.newest("dev")]);
    assert!(log.stdout.contains("note"), "{log}");
    assert_eq!(far.states().len(), 1, "the state lies with the agent");
    assert_eq!(world.place.states(), Vec::<PathBuf>::new());
    client.ok([
        "deploy",
        "shop",
        "dev",
        "app.yaml",
        "--no-prompt",
        "--plan-only",
    ]);
    let agents = world.agents();
    let [shown] = &agents[..] else {
        panic!("one agent: {agents:?}");
    };
    assert_eq!(
        (&shown["runner_id"], &shown["connected"]),
        (&"edge".into(), &true.into())
    );
    assert_eq!(shown["about"]["version"], env!("CARGO_PKG_VERSION"));
    client.ok(["delete", "env", "shop", "dev", "--no-prompt"]);
    assert_eq!(
        far.states(),
        Vec::<PathBuf>::new(),
        "and goes with the environment"
    );
    agent.terminate();
    let done = agent.wait();
    assert_eq!(done.code, Some(0), "told to stop, it stops\n{done}");
}

#[test]
#[ignore = "needs opentofu"]
fn an_agent_deploys_plans_and_destroys_by_process() {
    let far = Place::new(Launcher::Process, Engine::OpenTofu);
    an_agent_deploys_plans_and_destroys(&far, "{type: process}");
}

#[test]
#[ignore = "needs docker and opentofu"]
fn an_agent_deploys_plans_and_destroys_by_docker() {
    let far = Place::new(Launcher::Docker, Engine::OpenTofu);
    an_agent_deploys_plans_and_destroys(&far, "{type: docker}");
}

#[test]
fn a_killed_agent_adopts_what_it_carried_and_a_server_that_is_away_loses_nothing() {
    let mut world = World::new("{type: process}");
    let far = gated();
    let agent = world.agent(&far);
    let id = world.deploy();
    let state = wait_at_gate(&far);
    agent.kill();
    world.kill_server();
    let agent = world.start(&far, &[]);
    wait_until("the agent says that the server is away", || {
        agent.has_said("the server does not answer")
    });
    go_on(&state);
    wait_until("the run has gone on without either", || {
        !state.join("mid.go").exists()
    });
    world.restart_server();
    let ended = world.client.ended(&id);
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(ended["windlass"]["attempt"], 1);
    assert_eq!(effects(&far), 1);
    agent.kill();
}

#[test]
fn the_second_of_two_copies_is_refused_and_one_that_was_taken_for_dead_writes_nothing() {
    let world = World::new("{type: process}");
    let far = gated();
    let agent = world.agent(&far);
    let copy = gated();
    fs::create_dir_all(copy.data().join("agent/self")).expect("directories");
    for name in ["format", "keyring", "agent/self/identity"] {
        fs::copy(far.data().join(name), copy.data().join(name)).expect("a copy");
    }
    let refused = world.start(&copy, &[]).wait();
    assert_eq!(refused.code, Some(1), "{refused}");
    refused.says(&["another agent goes by the name of this one"]);

    // The first one stands still until its lease is over, and the copy takes its place.
    let id = world.deploy();
    let state = wait_at_gate(&far);
    wait_until("the server has heard of the run", || {
        let heard = world.place.in_database(async |connection| {
            sqlx::query_scalar::<_, i64>("SELECT last_seq FROM attempts")
                .fetch_one(connection)
                .await
                .expect("an attempt")
        });
        heard > 0
    });
    agent.pause();
    let mut other = None;
    wait_until(
        "the copy takes the place of the one that stands still",
        || {
            let mut copy = world.start(&copy, &[]);
            wait_until("the copy is connected or refused", || {
                copy.over().is_some() || copy.has_said("the agent is connected")
            });
            if copy.has_said("the agent is connected") {
                other = Some(copy);
            }
            other.is_some()
        },
    );
    go_on(&state);
    // The copy has no such process and says so; what the first one says afterwards is not taken.
    let ended = world.client.ended(&id);
    assert_eq!(ended["status"], "failed", "{ended}");
    agent.resume();
    let fenced = agent.wait();
    assert_eq!(fenced.code, Some(1), "{fenced}");
    fenced.says(&["another agent has this one's place"]);
    assert_eq!(world.client.deployment(&id), ended, "it wrote nothing");
    other.expect("it is connected").kill();
}

#[test]
fn tokens_and_keys_that_are_spent_over_or_taken_away_are_refused() {
    let world = World::new("{type: process}");
    let url = world.relay.url();
    let enrol = |place: &Place, token: &str| {
        place.write("token", token);
        place.start(["agent", "--server", &url, "--enrol", "@token"])
    };
    let far = Place::without_engine();
    for token in ["nonsense", TOKEN] {
        let done = enrol(&far, token).wait();
        assert_eq!(done.code, Some(1), "{done}");
        done.says(&["unknown, spent or over"]);
        assert!(!format!("{done}").contains(TOKEN));
    }
    let none = far.refused(["agent", "--server", &url]);
    none.says(&["is no agent's yet", "windlass create agent-token"]);
    far.refused(["agent", "--server", "http://192.0.2.1", "--enrol", "x"])
        .says(&["is not encrypted", "--allow-http"]);
    world
        .client
        .refused(["create", "agent-token", "local"])
        .says(&["of type `docker`", "of type `agent`"]);

    let token = world.token();
    let agent = enrol(&far, &token);
    connected(&agent);
    let spent = enrol(&Place::without_engine(), &token).wait();
    spent.says(&["unknown, spent or over"]);
    // What is on the disk of the server opens nothing.
    let hashes = world.place.in_database(async |connection| {
        sqlx::query_scalar::<_, String>("SELECT public FROM agent_keys")
            .fetch_all(connection)
            .await
            .expect("keys")
    });
    assert_eq!(hashes.len(), 1);
    // Two keys hold after a change, the first is over with the next.
    let keys = || {
        world.place.in_database(async |connection| {
            sqlx::query_scalar::<_, String>("SELECT id FROM agent_keys ORDER BY created_us")
                .fetch_all(connection)
                .await
                .expect("keys")
        })
    };
    let first = keys();
    agent.terminate();
    assert_eq!(agent.wait().code, Some(0));
    let agent = world.start(&far, &["--key-days", "0"]);
    wait_until("the key was changed twice", || {
        let now = keys();
        now.len() == 2 && !now.contains(&first[0])
    });
    agent.terminate();
    assert_eq!(agent.wait().code, Some(0));
    let agent = world.start(&far, &[]);
    connected(&agent);

    let id = world.agents()[0]["id"].as_str().expect("an id").to_owned();
    world.client.ok(["delete", "agent", &id]);
    wait_until("the agent says that it is not known any more", || {
        agent.has_said("its key is not known here, or not any more")
    });
    assert_eq!(world.agents(), Vec::<Value>::new());
    agent.kill();
    let rows = world.client.ok(["audit", "export", "-o", "-"]);
    for route in [
        "agent-tokens",
        "/agents/enrol",
        "/agents/self/keys",
        "/agents/{id}",
    ] {
        assert!(rows.stdout.contains(route), "{route} is in the audit log");
    }
}

#[test]
fn a_deployment_without_an_agent_waits_as_long_as_is_said_and_fails_with_a_name() {
    let world = World::new("{type: process}");
    world.client.write("app.yaml", MANIFEST);
    let deploy = ["deploy", "shop", "dev", "app.yaml", "--no-prompt"];
    world.client.refused(deploy).says(&[
        "agent runner \"edge\" not reachable",
        "windlass create agent-token edge",
    ]);
    let record = world.client.deployment(&world.client.newest("dev"));
    assert_eq!(record["windlass"]["failure_class"], "runner_unreachable");

    let far = gated();
    let agent = world.agent(&far);
    agent.kill();
    wait_until("nobody is connected", || {
        world.agents()[0]["connected"] == false
    });
    let id = world.deploy();
    let waiting = &world.client.deployment(&id)["windlass"]["waiting"];
    assert_eq!(waiting["reason"], "agent_away", "{waiting}");
    assert!(
        waiting["message"]
            .as_str()
            .is_some_and(|text| text.contains("within 120 seconds")),
        "{waiting}"
    );
    let agent = world.start(&far, &[]);
    go_on(&wait_at_gate(&far));
    assert_eq!(world.client.ended(&id)["status"], "succeeded");
    agent.kill();
}

#[test]
fn a_run_is_cancelled_through_its_agent() {
    let world = World::new("{type: process}");
    let far = gated();
    let agent = world.agent(&far);
    let id = world.deploy();
    wait_at_gate(&far);
    world.client.ok(["cancel", &id]);
    let ended = world.client.ended(&id);
    assert_eq!(ended["windlass"]["outcome"], "cancelled", "{ended}");
    agent.kill();
}

#[test]
fn an_agent_carries_no_run_by_a_launcher_that_it_does_not_allow() {
    let world = World::new("{type: process}");
    let far = gated();
    far.write("token", world.token());
    let url = world.relay.url();
    let agent = far.start(["agent", "--server", &url, "--enrol", "@token"]);
    connected(&agent);
    world.client.write("app.yaml", MANIFEST);
    let done = world
        .client
        .refused(["deploy", "shop", "dev", "app.yaml", "--no-prompt"]);
    done.says(&["does not carry runs by `process`", "--launchers process"]);
    assert_eq!(effects(&far), 0);
    agent.kill();
}

/// What the engine says while the way is cut is told when it is there again; `WINDLASS_TEST_OUTAGE_SECONDS` makes it long.
#[test]
fn what_a_run_says_while_the_server_is_away_is_told_later() {
    let world = World::new("{type: process}");
    let far = Place::scripted(&format!(
        "case $1 in apply) planned 1; touch state/mid.waiting; until [ -e state/mid.go ]; do sleep 0.02; done; \
         n=0; while [ $n -lt 400 ]; do n=$((n+1)); \
         printf '{{\"@level\":\"info\",\"@message\":\"line %s of 400\",\"type\":\"log\"}}\\n' $n; done; \
         echo '{STATE}' > state/terraform.tfstate; applied 1; touch state/mid.over;; output) echo '{{}}';; esac"
    ));
    let agent = world.agent(&far);
    let id = world.deploy();
    let state = wait_at_gate(&far);
    let began = std::time::Instant::now();
    world.relay.cut();
    wait_until("the agent says that the server is away", || {
        agent.has_said("the server does not answer")
    });
    go_on(&state);
    wait_until("the run has ended meanwhile", || {
        state.join("mid.over").exists()
    });
    let outage = std::env::var("WINDLASS_TEST_OUTAGE_SECONDS").ok();
    let outage = outage.map_or(0, |secs| secs.parse().expect("seconds"));
    wait_until("the outage is long enough", || {
        began.elapsed().as_secs() >= outage && world.agents()[0]["connected"] == false
    });
    let waiting = &world.client.deployment(&id)["windlass"]["waiting"];
    assert_eq!(waiting["reason"], "agent_away", "{waiting}");
    let server = world.server.as_ref().expect("it serves");
    world.relay.mend(server.address());
    let ended = world.client.ended(&id);
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(ended["windlass"]["attempt"], 1);
    let log = world.client.ok(["logs", &id]);
    for line in ["line 1 of 400", "line 400 of 400"] {
        assert!(log.stdout.contains(line), "{line}\n{log}");
    }
    assert_eq!(world.place.ends(&id), 1);
    agent.terminate();
    assert_eq!(agent.wait().code, Some(0));
}

#[test]
#[ignore = "needs ip and iptables"]
fn an_agent_that_nothing_can_reach_carries_runs() {
    let world = World::new("{type: process}");
    let network = Network::new();
    let server = world.server.as_ref().expect("it serves");
    let relay = Relay::at(network.near(), server.address());
    let far = gated();
    far.write("token", world.token());
    let url = relay.url();
    let line = [
        "agent",
        "--server",
        &url,
        "--allow-http",
        "--launchers",
        "process",
    ];
    let mut agent = network.start(&far, &[&line[..], &["--enrol", "@token"]].concat());
    wait_until("the agent is connected", || {
        let said = fs::read_to_string(far.work().join("said")).unwrap_or_default();
        let ended = agent.try_wait().expect("a child");
        assert!(ended.is_none(), "the agent ended: {said}");
        said.contains("the agent is connected")
    });
    let id = world.deploy();
    let state = wait_at_gate(&far);
    assert!(!network.lets_in(), "nobody gets in");
    agent.kill().expect("a signal");
    agent.wait().expect("a child");
    let mut agent = network.start(&far, &line);
    go_on(&state);
    let ended = world.client.ended(&id);
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(ended["windlass"]["attempt"], 1);
    assert_eq!(effects(&far), 1);
    agent.kill().expect("a signal");
    agent.wait().expect("a child");
}
