//! The desk of an agent against a server of a few lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::cli::agent::identity::Identity;
use crate::cli::agent::vault::Vault;
use crate::deploy::agents::protocol::{Answer, Message, VERSION};
use crate::store::{self, StoreConfig};

/// A server that gives a lease with each hello, and believes the last one.
#[derive(Default)]
struct Server {
    epoch: AtomicI64,
    /// A message that is not answered before [`Server::goes_on`].
    came: Notify,
    goes_on: Notify,
}

async fn said(State(server): State<Arc<Server>>, body: String) -> (StatusCode, Json<Value>) {
    let message = Message::read(body.as_bytes()).expect("a message");
    let say = match message.say {
        Say::Hello { .. } => Reply::Held {
            epoch: server.epoch.fetch_add(1, Ordering::SeqCst) + 1,
            lease_ms: 1000,
        },
        Say::Running => Reply::Running(Vec::new()),
        Say::Preparing { what, .. } => {
            if what == "slow" {
                server.came.notify_one();
                server.goes_on.notified().await;
            }
            Reply::Done
        }
        _ => Reply::Done,
    };
    let is_last = message.epoch == 0 || message.epoch == server.epoch.load(Ordering::SeqCst);
    if !is_last {
        let fenced = json!({"error": "agent_fenced", "message": "another agent has its place"});
        return (StatusCode::CONFLICT, Json(fenced));
    }
    let answer = Answer {
        version: VERSION,
        say,
    };
    (StatusCode::OK, Json(json!(answer)))
}

/// A desk that is enrolled with the server, and its directory.
async fn enrolled(server: &Arc<Server>) -> (AgentDesk, tempfile::TempDir) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let enrol =
        async || Json(json!({"id": "i", "org_id": "o", "runner_id": "edge", "audience": "a"}));
    let router = Router::new()
        .route("/agents/enrol", post(enrol))
        .route("/agents/self/messages", post(said))
        .with_state(Arc::clone(server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let directory = tempfile::tempdir().expect("a directory");
    let store = store::open(&StoreConfig::at(directory.path().join("data")))
        .await
        .expect("opens");
    let vault = Vault::open(&store, "self").expect("a directory");
    let about = About::default();
    let identity = Identity::enrol(&vault, &url, "token", "i", &about).await;
    let runs = Vault::open(&store, "runs").expect("a directory");
    let desk = AgentDesk::new(
        Link::new(identity.expect("enrols")),
        Journal::open(runs).expect("opens"),
        store.seat(),
        about,
        30,
        CancellationToken::new(),
    );
    (desk, directory)
}

#[tokio::test]
async fn a_message_that_comes_late_under_an_earlier_lease_of_its_own_does_not_stop_an_agent() {
    let server = Arc::new(Server::default());
    let (desk, _directory) = enrolled(&server).await;
    let key = RunKey {
        run: "r".into(),
        attempt: 1,
    };
    desk.begin().await.expect("the first lease");
    let late = async {
        server.came.notified().await;
        // As where the server went away before it had said which runs there are.
        desk.epoch.store(0, Ordering::Release);
        desk.begin().await.expect("the second lease");
        server.goes_on.notify_one();
    };
    let (told, ()) = tokio::join!(desk.preparing(&key, "slow"), late);
    assert!(told.is_err(), "it has to be said again");
    assert_eq!(desk.fenced(), None);
    desk.preparing(&key, "again").await.expect("is taken");
    // Now somebody else has its place.
    server.epoch.fetch_add(1, Ordering::SeqCst);
    assert!(desk.preparing(&key, "again").await.is_err());
    assert!(desk.fenced().is_some());
}
