//! Everything that can be killed while an engine that was made for it stands still: half-way through its state, and while
//! it is asked for outputs after it has ended; and a daemon that is killed at any stage.

use super::fake::{Fake, Stage};
use super::matrix::ended;
use super::table::{Phase, victims};
use crate::support::wait_until;

/// One test for each launcher, and one with PostgreSQL.
macro_rules! by_all {
    ($($name:ident)*) => {$(
        mod $name {
            use crate::kills::fake::Fake;

            #[test]
            #[ignore = "needs opentofu"]
            fn process() {
                super::$name(&Fake::process());
            }

            #[test]
            #[ignore = "needs docker and opentofu"]
            fn docker() {
                super::$name(&Fake::docker());
            }

            #[test]
            #[ignore = "needs docker, opentofu and PostgreSQL"]
            fn postgres_docker() {
                super::$name(&Fake::postgres_docker());
            }
        }
    )*};
}

by_all! {
    killed_while_initializing
    killed_while_writing_the_state
    killed_while_saving
}

fn killed_while_initializing(fake: &Fake) {
    killed(fake, Stage::Initializing, Phase::Init);
}

fn killed_while_writing_the_state(fake: &Fake) {
    killed(fake, Stage::Writing, Phase::Writing);
}

fn killed_while_saving(fake: &Fake) {
    killed(fake, Stage::Saving, Phase::Saving);
}

fn killed(fake: &Fake, stage: Stage, phase: Phase) {
    let place = &fake.place;
    for victim in victims(phase, place.launcher()) {
        let context = format!("{victim:?} while {stage:?}");
        let (client, id, object) = fake.stand(stage);
        victim.strike(place, client);
        let spared = victim.spares_the_run();
        if spared {
            fake.go();
        }
        let record = ended(place, &id, spared, &context);
        assert_eq!(record["windlass"]["attempt"], 1, "{context}: {record:#}");
        // An engine that lost its supervisor is interrupted, and ends its writing as on any interrupt.
        let finishes = stage == Stage::Writing && victim.leaves_the_engine(place.launcher());
        let left = match spared || finishes {
            true => (Vec::new(), Vec::new()),
            false => stage.leaves(&object),
        };
        assert_eq!(fake.open(), left, "{context}: {record:#}");
        fake.goes_on(&context);
    }
}

#[test]
#[ignore = "needs docker and opentofu"]
fn the_daemon_is_killed_while_a_run_goes_on() {
    let fake = Fake::own_daemon();
    for stage in [
        Stage::Initializing,
        Stage::Planning,
        Stage::Applying,
        Stage::Writing,
        Stage::Saving,
    ] {
        let context = format!("the daemon while {stage:?}");
        let (client, id, _) = fake.stand(stage);
        restart(&fake);
        // A daemon that starts ends the containers that it finds, by asking: the engine saves what it began.
        let record = ended(&fake.place, &id, false, &context);
        assert_eq!(record["windlass"]["attempt"], 1, "{context}: {record:#}");
        assert_eq!(
            fake.open(),
            (Vec::new(), Vec::new()),
            "{context}: {record:#}"
        );
        drop(client);
        fake.goes_on(&context);
    }
}

#[test]
#[ignore = "needs docker and opentofu"]
fn the_daemon_is_killed_while_queued() {
    let fake = Fake::own_daemon();
    let (first, first_id, _) = fake.stand(Stage::Applying);
    fake.stand_no_more();
    let second = fake.place.start(fake.deploy());
    wait_until("the second one is in line", || {
        fake.place.newest("dev") != first_id
    });
    let second_id = fake.place.newest("dev");
    restart(&fake);
    let context = "the daemon while one is in line";
    ended(&fake.place, &first_id, false, context);
    ended(&fake.place, &second_id, true, context);
    assert_eq!(fake.open(), (Vec::new(), Vec::new()));
    drop((first, second));
    fake.goes_on(context);
}

fn restart(fake: &Fake) {
    let daemon = fake.daemon.as_ref().expect("a daemon of its own");
    daemon.end("-KILL");
    daemon.start();
}
