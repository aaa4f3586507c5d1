//! Two servers at one database and two agents under load, of which one thing after another is killed, stopped for a while
//! or taken away, at random: nothing that was accepted is lost or done twice, and afterwards everything goes on.
//!
//! Each tenant is a client with one environment that deploys, plans, cancels, deletes and begins anew, and looks after
//! each round whether the record, the state and the world agree ([`tenant`], [`world`]). Meanwhile the test kills
//! ([`killer`]) what [`members`] of the fleet there are. The engine is a script, `tests/engine/fleet`.
//!
//! A short program by default. `WINDLASS_KILL_MINUTES=30` says how long it goes on, `WINDLASS_KILLS` how many kills there are
//! at least, and `WINDLASS_SEED` repeats what is drawn, though not what comes of it; all are printed, with a report.
//! Where it fails, what its members said and what the engines did is kept, and named.

mod killer;
mod members;
mod report;
mod tenant;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::killer::Killer;
use self::members::Fleet;
use self::report::Report;
use self::tenant::Tenant;
use crate::lot::{Lot, number, seed};

/// Of servers and of agents, alternately, over three projects.
const TENANTS: u64 = 12;
/// The same, and kills, of a short program.
const FEW: u64 = 4;
const KILLS: u64 = 8;

#[test]
#[ignore = "needs PostgreSQL"]
#[expect(
    clippy::print_stderr,
    reason = "the seed repeats a program, and the report is what it is run for"
)]
fn random_kills_of_a_fleet_lose_nothing() {
    let minutes = number("WINDLASS_KILL_MINUTES").unwrap_or(0);
    let kills = number("WINDLASS_KILLS").unwrap_or(KILLS);
    let seed = seed();
    eprintln!("WINDLASS_KILL_MINUTES={minutes} WINDLASS_KILLS={kills} WINDLASS_SEED={seed}");
    let report = Arc::new(Report::default());
    let tenants = if minutes > 0 { TENANTS } else { FEW };
    let fleet = Fleet::start(tenants);
    eprintln!("what is said and done lies in {}", fleet.root().display());
    let began = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let tenants = (0..tenants).map(|number| {
        let mut tenant = Tenant::new(&fleet, number, Lot::new(seed ^ number), &report);
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                tenant.round();
            }
            tenant.goes_on();
        })
    });
    let tenants: Vec<_> = tenants.collect();
    let mut killer = Killer::new(fleet, Lot::new(!seed), Arc::clone(&report));
    while killer.kills() < kills || began.elapsed() < Duration::from_secs(60 * minutes) {
        killer.strike();
        if report.is_hopeless() {
            break;
        }
    }
    over.store(true, Ordering::Release);
    let fleet = killer.rest(|| tenants.iter().all(std::thread::JoinHandle::is_finished));
    for tenant in tenants {
        if tenant.join().is_err() {
            report.wrong("a tenant gave up; what it said stands above");
        }
    }
    fleet.is_tidy(&report);
    eprintln!("after {:?}: {report}", began.elapsed());
    report.check(|| fleet.keep());
}
