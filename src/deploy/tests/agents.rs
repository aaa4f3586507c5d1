//! Agents at the server's desk: what each may take, and what is not taken from one whose place another has.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::deploy::agents::AgentError;
use crate::deploy::agents::protocol::{Reply, Say};
use crate::deploy::hosted::{Locked, Proof};
use crate::store::agents::{self, Agent, Enrolment};
use crate::store::host::Seat;
use crate::store::identity::tokens::Secret;
use crate::wire::agents::About;
use crate::wire::runners::Runner;

const INSTANCE: &str = "0190c0de-0000-4000-8000-000000000001";

fn map(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().cloned().expect("a map")
}

fn seat(directory: &str) -> Seat {
    let holder = json!({"version": 1, "host": "edge", "machine": "m", "boot": "b", "pid": 1});
    serde_json::from_value(json!({"holder": holder, "directory": directory})).expect("a seat")
}

fn about() -> About {
    About {
        host: "edge".into(),
        launchers: vec!["process".into()],
        capacity: 2,
        ..About::default()
    }
}

impl World {
    /// With leases of this length, a runner of agents and one agent.
    async fn with_agent(on: On, lease: std::time::Duration) -> (Self, Agent) {
        Self::with_agent_and(on, lease, "local").await
    }

    /// The same, with the state of its environments somewhere else.
    async fn with_agent_and(on: On, lease: std::time::Duration, storage: &str) -> (Self, Agent) {
        let world = Self::new(on).await;
        let runner = Runner {
            id: "edge".into(),
            org_id: ORG.into(),
            description: None,
            runner_configuration: map(json!({"type": "agent", "launcher": {"type": "process"}})),
            state_storage_configuration: map(json!({"type": storage})),
            created_at: String::new(),
            updated_at: String::new(),
            windlass: None,
        };
        let store = world.service.store.clone();
        store.runner_create(runner).await.expect("makes");
        let secret = agents::new_token();
        let enrolment = Enrolment {
            org_id: ORG.into(),
            runner_id: "edge".into(),
            created_by: "somebody".into(),
        };
        let made = store.agent_token_create(&secret, &enrolment, 60_000_000);
        made.await.expect("makes");
        let enrolled = store
            .agent_enrol(&secret, INSTANCE, ("key", "public"), &about())
            .await
            .expect("enrols");
        let again = store
            .agent_enrol(&secret, INSTANCE, ("other", "public"), &about())
            .await;
        assert_eq!(again.expect("answers"), None, "it is spent");
        let World {
            home,
            service,
            desk,
        } = world;
        drop((service, desk));
        let settings = Settings {
            lease,
            state_url: Some("http://windlass.example".to_owned()),
            ..Settings::default()
        };
        let service = Service::new(store, settings);
        let desk = LocalDesk::new(service.clone());
        let world = World {
            home,
            service,
            desk,
        };
        (world, enrolled.expect("the token is good"))
    }

    async fn say(&self, agent: &Agent, epoch: i64, say: Say) -> Result<Reply, AgentError> {
        let stop = CancellationToken::new();
        self.service.agent_said(agent, epoch, say, &stop).await
    }

    async fn hello(&self, agent: &Agent, directory: &str) -> Result<i64, AgentError> {
        let hello = Say::Hello {
            seat: seat(directory),
            about: about(),
        };
        match self.say(agent, 0, hello).await? {
            Reply::Held { epoch, .. } => Ok(epoch),
            _ => panic!("it answers something else"),
        }
    }

    async fn claim_for(&self, agent: &Agent, epoch: i64, known: &[RunKey]) -> Option<Assignment> {
        let known = known.to_vec();
        match self.say(agent, epoch, Say::Claim { known }).await {
            Ok(Reply::Claimed(claimed)) => claimed.map(|assignment| *assignment),
            _ => panic!("it answers something else"),
        }
    }
}

fn on_edge(env: &str) -> DeploymentCreate {
    DeploymentCreate {
        windlass: Some(DeploymentCreateExtras {
            runner: Some("edge".into()),
            on_busy: OnBusy::Queue,
            ..DeploymentCreateExtras::default()
        }),
        ..deploy(env, workload("web"))
    }
}

const LONG: std::time::Duration = std::time::Duration::from_secs(3600);

on_both!(what_is_for_agents_is_given_to_them_alone_and_once_however_often_they_ask);
async fn what_is_for_agents_is_given_to_them_alone_and_once_however_often_they_ask(on: On) {
    let (world, agent) = World::with_agent(on, LONG).await;
    let accepted = world.accepted(on_edge("dev")).await;
    let epoch = world.hello(&agent, "/here").await.expect("holds");
    assert!(world.nothing_to_claim().await, "it is no server's");
    let first = world.claim_for(&agent, epoch, &[]).await.expect("its turn");
    assert_eq!(first.job.deployment, accepted.id);
    // The answer was lost on its way.
    let again = world.claim_for(&agent, epoch, &[]).await.expect("again");
    assert_eq!(again.key, first.key);
    let known = [first.key.clone()];
    assert!(world.claim_for(&agent, epoch, &known).await.is_none());
    let ours = world.accepted(deploy("qa", workload("web"))).await;
    assert_eq!(world.claim().await.job.deployment, ours.id);
    let mut reading = world.service.store.reading().await.expect("reads");
    let uuid = first.env_uuid.clone();
    let place = crate::store::deployments::places::find(&mut reading, &uuid).await;
    let state = place.expect("reads").expect("is there").state;
    assert_eq!(state.expect("a place").instance, INSTANCE);
}

on_both!(one_whose_place_another_has_writes_nothing_and_a_late_word_of_the_current_one_counts);
async fn one_whose_place_another_has_writes_nothing_and_a_late_word_of_the_current_one_counts(
    on: On,
) {
    // Every lease is over as soon as it is taken: nobody is heard of in between.
    let (world, agent) = World::with_agent(on, std::time::Duration::ZERO).await;
    let accepted = world.accepted(on_edge("dev")).await;
    let old = world.hello(&agent, "/here").await.expect("holds");
    let run = world.claim_for(&agent, old, &[]).await.expect("its turn");
    let key = run.key.clone();
    let launched = |key: &RunKey| Say::Launched {
        key: key.clone(),
        handle: Handle::Process { pid: 1, started: 1 },
    };
    let begun = world.say(&agent, old, launched(&key)).await;
    assert!(matches!(begun, Ok(Reply::Launched(true))));
    let waiting = world.get(&accepted.id).await.windlass.expect("extras");
    let reason = waiting.waiting.expect("nobody is heard of").reason;
    assert_eq!(reason, crate::wire::deployments::WaitingFor::AgentAway);

    let new = world.hello(&agent, "/copy").await.expect("holds");
    assert!(new > old);
    let events = |seqs: &[u64]| Say::Events {
        key: key.clone(),
        events: seqs
            .iter()
            .map(|seq| {
                let kind = match seq {
                    1 => Kind::Accepted {
                        bundle_digest: run.job.bundle_digest.clone(),
                    },
                    _ => Kind::Finished(Box::new(finished(Outcome::Applied))),
                };
                event(&key, *seq, kind)
            })
            .collect(),
    };
    let complete = || Say::Complete {
        key: key.clone(),
        end: RunEnd::Finished,
    };
    for say in [events(&[1, 2]), complete(), launched(&key)] {
        let fenced = world.say(&agent, old, say).await;
        assert!(matches!(fenced, Err(AgentError::Fenced(_))));
    }
    assert_eq!(world.get(&accepted.id).await.status, "executing");
    // What comes before its turn is refused for good, and what is left out makes way.
    let early = world.say(&agent, new, events(&[2])).await;
    assert!(matches!(early, Err(AgentError::Refused(_))));
    let skip = Say::Skip {
        key: key.clone(),
        seq: 1,
    };
    assert!(world.say(&agent, new, skip).await.is_ok());
    for _ in 0..2 {
        assert!(world.say(&agent, new, events(&[2])).await.is_ok());
        assert!(world.say(&agent, new, complete()).await.is_ok());
    }
    assert_eq!(world.get(&accepted.id).await.status, "succeeded");
}

on_both!(
    an_agent_is_shown_the_state_that_the_server_keeps_for_what_it_carries_and_for_nothing_else
);
async fn an_agent_is_shown_the_state_that_the_server_keeps_for_what_it_carries_and_for_nothing_else(
    on: On,
) {
    let (world, agent) = World::with_agent_and(on, LONG, "windlass").await;
    world.accepted(on_edge("dev")).await;
    let epoch = world.hello(&agent, "/here").await.expect("holds");
    let run = world.claim_for(&agent, epoch, &[]).await.expect("its turn");
    let shown = async |key: &RunKey| {
        let say = Say::State { key: key.clone() };
        match world.say(&agent, epoch, say).await {
            Ok(Reply::State(state)) => state,
            _ => panic!("it answers something else"),
        }
    };
    assert_eq!(shown(&run.key).await, None, "there is none yet");
    let given = run.job.state.clone().expect("a hosted state");
    let proof = Proof {
        env_uuid: run.env_uuid.clone(),
        secret: Secret::sent(&given.password),
        username: format!("{}-1", given.username),
    };
    let lock = json!({"ID": "a", "Who": "me@edge"}).to_string();
    let locked = world.service.hosted_lock(&proof, lock.as_bytes()).await;
    assert!(matches!(locked, Ok(Locked::Yes)));
    let state = json!({"version": 4, "serial": 1, "lineage": "l", "outputs": {}, "resources": []});
    let state = state.to_string();
    let written = world
        .service
        .hosted_write(&proof, Some("a"), state.as_bytes());
    written.await.expect("writes");
    let encoded = BASE64_STANDARD.encode(&state);
    assert_eq!(shown(&run.key).await, Some(encoded));
    let other = RunKey {
        attempt: 2,
        ..run.key.clone()
    };
    assert_eq!(shown(&other).await, None);
}

on_both!(a_copy_is_refused_while_the_first_one_is_heard_of_and_a_removed_agent_loses_what_it_had);
async fn a_copy_is_refused_while_the_first_one_is_heard_of_and_a_removed_agent_loses_what_it_had(
    on: On,
) {
    let (world, agent) = World::with_agent(on, LONG).await;
    let begun = world.accepted(on_edge("dev")).await;
    let waits = world.accepted(on_edge("qa")).await;
    let epoch = world.hello(&agent, "/here").await.expect("holds");
    let copy = world.hello(&agent, "/copy").await;
    assert!(matches!(copy, Err(AgentError::Fenced(_))));
    let run = world.claim_for(&agent, epoch, &[]).await.expect("its turn");
    let launched = Say::Launched {
        key: run.key.clone(),
        handle: Handle::Process { pid: 1, started: 1 },
    };
    assert!(world.say(&agent, epoch, launched).await.is_ok());
    let known = [run.key.clone()];
    assert!(world.claim_for(&agent, epoch, &known).await.is_some());
    let elsewhere = world.service.agent_remove("other", INSTANCE).await;
    assert!(matches!(elsewhere, Err(Error::NotFound(_))));
    world
        .service
        .agent_remove(ORG, INSTANCE)
        .await
        .expect("is removed");
    let ended = world.get(&begun.id).await;
    assert_eq!(ended.windlass.expect("extras").outcome, Some(Outcome::Lost));
    // The other is in line again, and fails because nobody is left.
    assert!(world.nothing_to_claim().await);
    let ended = world.get(&waits.id).await.windlass.expect("extras");
    assert_eq!(ended.failure_class, Some(FailureClass::RunnerUnreachable));
}
