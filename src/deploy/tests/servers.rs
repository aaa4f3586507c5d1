//! Several servers at one database: what each may claim, carry on and write.

use std::time::Duration;

use super::*;
use crate::wire::deployments::WaitingFor;

/// A lease that is over at once, as that of a server that is not heard of any more.
const OVER: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(3600);

impl World {
    /// A server with such leases at a database.
    async fn leasing(home: Home, lease: Duration) -> Self {
        let store = home.open().await;
        let settings = Settings {
            lease,
            ..Settings::default()
        };
        let service = Service::new(store, settings);
        let desk = LocalDesk::new(service.clone());
        Self {
            home,
            service,
            desk,
        }
    }

    /// The same server with other leases, after it was started again.
    async fn again(self, lease: Duration) -> Self {
        let Self {
            home,
            service,
            desk,
        } = self;
        drop((service, desk));
        Self::leasing(home, lease).await
    }

    /// Another server of the same database.
    async fn beside(&self, lease: Duration) -> Self {
        let other = self.home.other();
        self.home.share_keyring(&other);
        Self::leasing(other, lease).await
    }

    async fn running(&self) -> Vec<RunKey> {
        let running = self.desk.running().await.expect("the desk answers");
        running.into_iter().map(|it| it.assignment.key).collect()
    }

    async fn ends(&self, id: &str) -> usize {
        let events = self.service.next_events(ORG, id, 0, Duration::ZERO).await;
        let is_end = |event: &&crate::wire::deployments::DeploymentEvent| {
            matches!(event.what, crate::wire::deployments::What::Ended(_))
        };
        events.expect("reads").iter().filter(is_end).count()
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_run_that_was_started_is_nobody_elses_and_its_end_is_recorded_once() {
    let one = World::new(On::Postgres).await.again(OVER).await;
    let other = one.beside(LONG).await;
    let accepted = one.accepted(deploy("dev", workload("web"))).await;
    let assignment = one.claim().await;
    one.start(&assignment).await;
    assert_eq!(other.running().await, []);
    assert!(other.nothing_to_claim().await);
    let waiting = other.get(&accepted.id).await.windlass.expect("extras");
    let waiting = waiting.waiting.expect("its server is not heard of");
    assert_eq!(waiting.reason, WaitingFor::ServerAway);
    assert_eq!(waiting.instance, one.service.store.instance());
    // What another server says about it changes nothing.
    let finished = |outcome| {
        let kind = Kind::Finished(Box::new(finished(outcome)));
        vec![event(&assignment.key, 2, kind)]
    };
    let stranger = other.accepted(deploy("qa", workload("web"))).await;
    assert_eq!(other.claim().await.job.deployment, stranger.id);
    let said = other
        .desk
        .events(&assignment.key, finished(Outcome::Failed))
        .await;
    said.expect("is dropped");
    let lost = RunEnd::Died {
        outcome: Outcome::Lost,
        failure_class: FailureClass::Lost,
        message: String::new(),
    };
    let said = other.desk.complete(&assignment.key, lost).await;
    said.expect("is dropped");
    assert_eq!(one.get(&accepted.id).await.status, "executing");
    // The same server, started again.
    let old = LocalDesk::new(one.service.clone());
    assert_eq!(old.running().await.expect("answers").len(), 1);
    let one = one.again(LONG).await;
    assert_eq!(one.running().await, std::slice::from_ref(&assignment.key));
    // The worker before it is fenced out, and told so rather than that all went well.
    for outcome in [Outcome::Failed, Outcome::Applied] {
        let said = old.events(&assignment.key, finished(outcome)).await;
        assert!(said.is_err());
    }
    assert!(
        old.complete(&assignment.key, RunEnd::Finished)
            .await
            .is_err()
    );
    // It stops with all that it carries.
    let stops = tokio::time::timeout(Duration::from_secs(120), old.keep());
    stops
        .await
        .expect("it knows that it is not the one any more");
    one.desk
        .events(&assignment.key, finished(Outcome::Applied))
        .await
        .expect("stores");
    one.desk
        .complete(&assignment.key, RunEnd::Finished)
        .await
        .expect("completes");
    let ended = other.get(&accepted.id).await;
    assert_eq!(ended.status, "succeeded");
    assert_eq!(ended.windlass.expect("extras").attempt, 1);
    assert_eq!(one.ends(&accepted.id).await, 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_was_claimed_and_not_started_goes_to_another_server_when_the_lease_is_over() {
    let one = World::new(On::Postgres).await.again(LONG).await;
    let other = one.beside(LONG).await;
    let accepted = one.accepted(deploy("dev", workload("web"))).await;
    let first = one.claim().await;
    assert_eq!(other.running().await, [], "its server lives");
    one.desk.release().await;
    assert_eq!(other.running().await, std::slice::from_ref(&first.key));
    // The first server wakes up with a container in its hand: it is told to remove it.
    let handle = Handle::Container { id: "late".into() };
    let launched = one.desk.launched(&first.key, &handle).await;
    assert!(!launched.expect("answers"));
    let never = RunEnd::NeverBegan {
        message: "the worker ended".into(),
    };
    let said = one.desk.complete(&first.key, never.clone()).await;
    said.expect("is dropped");
    assert_eq!(
        other.running().await,
        std::slice::from_ref(&first.key),
        "it is not over"
    );
    let given_back = other.desk.complete(&first.key, never).await;
    given_back.expect("gives back");
    other.make_ready(&accepted.id).await;
    // Nothing was ever written, so the environment is not bound to the first server.
    let second = other.claim().await;
    assert_eq!(
        (second.key.run.as_str(), second.key.attempt),
        (first.key.run.as_str(), 2)
    );
    other.play(&second, Outcome::Applied).await;
    assert_eq!(one.ends(&accepted.id).await, 1);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn an_environment_whose_state_lies_with_one_server_waits_for_it() {
    let one = World::new(On::Postgres).await.again(LONG).await;
    one.deploy(deploy("dev", workload("web"))).await;
    one.desk.release().await;
    let other = one.beside(LONG).await;
    let accepted = other.accepted(deploy("dev", workload("more"))).await;
    assert!(other.nothing_to_claim().await);
    assert!(
        other.service.is_idle().await.expect("reads"),
        "nothing to do here"
    );
    assert!(!one.service.is_idle().await.expect("reads"));
    let waiting = accepted.windlass.expect("extras").waiting;
    let waiting = waiting.expect("says what it waits for");
    assert_eq!(waiting.reason, WaitingFor::StateElsewhere);
    assert_eq!(waiting.instance, one.service.store.instance());
    assert!(waiting.host.is_some());
    let claimed = one.claim().await;
    assert_eq!(claimed.job.deployment, accepted.id);
    one.play(&claimed, Outcome::Applied).await;
    assert_eq!(other.get(&accepted.id).await.status, "succeeded");
    assert_eq!(
        other
            .get(&accepted.id)
            .await
            .windlass
            .expect("extras")
            .waiting,
        None
    );
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn servers_that_claim_at_once_claim_everything_once() {
    const ENVIRONMENTS: usize = 12;
    let one = World::new(On::Postgres).await.again(LONG).await;
    let mut ids = BTreeSet::new();
    for number in 0..ENVIRONMENTS {
        let name = format!("e{number}");
        one.environment(&name).await;
        ids.insert(one.accepted(deploy(&name, workload("web"))).await.id);
    }
    let servers = [one.beside(LONG).await, one.beside(LONG).await, one];
    let claim = async |server: &World| {
        let mut claimed = Vec::new();
        let mut misses = 0;
        // Another may look at the last ones in the very moment.
        while misses < 20 && claimed.len() < ENVIRONMENTS {
            match server.desk.claim().await.expect("the desk answers") {
                Some(assignment) => claimed.push(assignment.job.deployment),
                None => misses += 1,
            }
        }
        claimed
    };
    let [a, b, c] = &servers;
    let (a, b, c) = tokio::join!(claim(a), claim(b), claim(c));
    let all: Vec<String> = [a, b, c].concat();
    assert_eq!(all.len(), ENVIRONMENTS, "nothing is claimed twice");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), ids);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_copy_of_a_data_directory_does_not_take_the_place_of_one_in_use() {
    let one = World::new(On::Postgres).await.again(LONG).await;
    let accepted = one.accepted(deploy("dev", workload("web"))).await;
    let claimed = one.claim().await;
    let copy = one.home.other();
    for name in ["keyring", "format"] {
        std::fs::copy(one.home.path().join(name), copy.path().join(name)).expect("copies");
    }
    let copy = World::leasing(copy, LONG).await;
    assert_eq!(copy.service.store.instance(), one.service.store.instance());
    let refused = copy.desk.running().await.err().expect("is refused");
    let source = std::error::Error::source(&refused).expect("says why");
    assert!(source.to_string().contains("copy"), "{source}");
    one.play(&claimed, Outcome::Applied).await;
    assert_eq!(one.get(&accepted.id).await.status, "succeeded");
    assert_eq!(one.ends(&accepted.id).await, 1);
}
