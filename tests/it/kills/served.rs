//! A server, and the database of a server, killed while an engine stands still: the run goes on without either, and whoever
//! follows it sees its end.

use std::cell::RefCell;
use std::net::TcpListener;

use super::fake::{Fake, Stage};
use super::matrix::ended;
use super::requests::{fresh_engine, is_build};
use crate::proxy::Proxy;
use crate::server::TOKEN;
use crate::support::{CATALOGUE, Client, Engine, Launcher, Place, docker, mirror, wait_until};

/// One test for each database and launcher.
macro_rules! everywhere_served {
    ($($name:ident: $($variant:ident)*;)*) => {$(
        mod $name {
            use crate::kills::fake::Fake;

            $(
                #[test]
                #[ignore = "needs docker, opentofu and PostgreSQL"]
                fn $variant() {
                    super::$name(Fake::$variant());
                }
            )*
        }
    )*};
}

everywhere_served! {
    the_server_is_killed: process docker postgres_docker;
    the_server_is_killed_while_queued: process docker postgres_docker;
    the_database_is_killed: postgres_process postgres_docker;
    the_database_is_killed_while_queued: postgres_process postgres_docker;
}

const STAGES: [Stage; 5] = [
    Stage::Initializing,
    Stage::Planning,
    Stage::Applying,
    Stage::Writing,
    Stage::Saving,
];

/// A server in the directory of a place, at the same address each time it is started; the commands of the place are its
/// clients.
struct Served<'a> {
    place: &'a Place,
    address: String,
    server: RefCell<Option<Client>>,
}

impl<'a> Served<'a> {
    fn start(place: &'a Place) -> Self {
        // The server works in its place.
        for worker in place.workers() {
            crate::support::kill(worker);
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("its address").to_string();
        drop(free);
        place
            .with_variable("WINDLASS_BOOTSTRAP_ORG", "default")
            .with_variable("WINDLASS_BOOTSTRAP_TOKEN", TOKEN)
            .with_variable("WINDLASS_LEASE_SECONDS", "1");
        let served = Self {
            place,
            address,
            server: RefCell::new(None),
        };
        served.again();
        place
            .with_variable("WINDLASS_URL", &format!("http://{}", served.address))
            .with_variable("WINDLASS_TOKEN", TOKEN)
            .with_variable("WINDLASS_ORG", "default");
        served
    }

    fn again(&self) {
        let line = [
            "serve",
            "--listen",
            &self.address,
            "--process-runner",
            "true",
        ];
        let mut server = self.place.start(line);
        wait_until("the server serves", || {
            if let Some(done) = server.over() {
                panic!("the server ended\n{done}");
            }
            server.has_said("Windlass serves ")
        });
        *self.server.borrow_mut() = Some(server);
    }

    fn kill(&self) {
        let server = self.server.borrow_mut().take();
        server.expect("it serves").kill();
    }
}

/// The deployment ended well and once, by its first attempt, and its client was told.
fn ended_well(fake: &Fake, client: Client, id: &str, context: &str) {
    let record = ended(&fake.place, id, true, context);
    assert_eq!(record["windlass"]["attempt"], 1, "{context}: {record:#}");
    let done = client.wait();
    assert_eq!(
        done.code,
        Some(0),
        "{context}: the client sees the end\n{done}"
    );
    assert_eq!(fake.open(), (Vec::new(), Vec::new()), "{context}");
}

fn the_server_is_killed(fake: Fake) {
    let served = Served::start(&fake.place);
    for stage in STAGES {
        let context = format!("the server while {stage:?}");
        let (client, id, _) = fake.stand(stage);
        served.kill();
        fake.go();
        wait_until("the run goes on without it", || !fake.is_standing());
        served.again();
        ended_well(&fake, client, &id, &context);
        fake.goes_on(&context);
    }
}

fn the_server_is_killed_while_queued(fake: Fake) {
    let served = Served::start(&fake.place);
    let (first, first_id, _) = fake.stand(Stage::Applying);
    let (second, second_id) = in_line(&fake, &first_id);
    served.kill();
    served.again();
    fake.go();
    let context = "the server while one is in line";
    ended_well(&fake, first, &first_id, context);
    ended_well(&fake, second, &second_id, context);
    fake.goes_on(context);
}

fn the_database_is_killed(fake: Fake) {
    let _served = Served::start(&fake.place);
    for stage in STAGES {
        let context = format!("the database while {stage:?}");
        let (client, id, _) = fake.stand(stage);
        fake.place.tell_database("kill");
        fake.go();
        wait_until("the run goes on without it", || !fake.is_standing());
        fake.place.tell_database("start");
        ended_well(&fake, client, &id, &context);
        fake.goes_on(&context);
    }
}

fn the_database_is_killed_while_queued(fake: Fake) {
    let _served = Served::start(&fake.place);
    let (first, first_id, _) = fake.stand(Stage::Applying);
    let (second, second_id) = in_line(&fake, &first_id);
    fake.place.tell_database("kill");
    fake.go();
    fake.place.tell_database("start");
    let context = "the database while one is in line";
    ended_well(&fake, first, &first_id, context);
    ended_well(&fake, second, &second_id, context);
    fake.goes_on(context);
}

/// Another deployment, which waits for the first and stands nowhere.
fn in_line(fake: &Fake, first: &str) -> (Client, String) {
    fake.stand_no_more();
    let second = fake.place.start(fake.deploy());
    wait_until("the second one is in line", || {
        fake.place.newest("dev") != first
    });
    (second, fake.place.newest("dev"))
}

#[test]
#[ignore = "needs docker, opentofu and PostgreSQL"]
fn the_database_is_killed_while_an_image_is_built() {
    let place = Place::new(Launcher::Docker, Engine::OpenTofu).on_postgres();
    let socket = place.work().join("docker.sock");
    let gate = Proxy::at(&socket, is_build);
    place.settings(&format!(
        "engines:\n  opentofu: {}\nmirror: {}\ndocker_host: unix://{}\n",
        fresh_engine(&place, 0).display(),
        mirror().display(),
        socket.display()
    ));
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    let _served = Served::start(&place);
    place.write(
        "one.yaml",
        "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: one}}\n",
    );
    let client = place.start(place.deploy("dev", "one.yaml"));
    wait_until("the image is being built", || gate.is_waited_at());
    let id = place.newest("dev");
    place.tell_database("kill");
    gate.let_go();
    place.tell_database("start");
    let context = "the database while the image is built";
    ended(&place, &id, true, context);
    let done = client.wait();
    assert_eq!(done.code, Some(0), "{context}\n{done}");
    // The image is this test's alone; the container that stands by was made from it.
    let containers = place.containers();
    let named = |container: &String| {
        docker(&["inspect", "--format", "{{.Config.Image}}", container])
            .trim()
            .to_owned()
    };
    let image = containers.first().map(named).expect("one stands by");
    for container in containers {
        docker(&["rm", "--force", "--volumes", &container]);
    }
    docker(&["rmi", "--force", &image]);
}
