//! Many deployments at once: what comes out at the end, against the same engine commands run by as many hands.
//!
//! By hand, each of two workers takes the next environment and types its deployments one after the other, as
//! `xargs -P 2` over a script for each environment does. Ours are all submitted by the command line, as many at a time, and
//! carried out by a worker that has two places for runs. The time is from the first command to the last end, so a
//! client's start counts on our side.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::case::{Bundle, Case, Provider};
use crate::hand::Hand;
use crate::ours::{Launch, Ours, Outputs};
use crate::parts::Parts;
use crate::report::{Report, Row, Verdict};
use crate::stats::{Ratio, median};
use crate::{Options, report};

/// Runs at once, on both sides.
const PLACES: usize = 2;
const NODES: usize = 10;
/// A comparison that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Hand,
    HandAgain,
    Windlass(Launch),
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Hand => "by hand",
            Self::HandAgain => "by hand again",
            Self::Windlass(Launch::Process) => "process",
            Self::Windlass(Launch::Cold) => "docker cold",
            Self::Windlass(Launch::Standby) => "docker standby",
        }
    }

    /// The least throughput, by hand = 1.
    fn budget(self) -> Option<f64> {
        match self {
            Self::Hand | Self::HandAgain => None,
            Self::Windlass(Launch::Process) => Some(0.8),
            Self::Windlass(Launch::Cold) => Some(0.5),
            Self::Windlass(Launch::Standby) => Some(0.75),
        }
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Size {
    environments: usize,
    each: usize,
    rounds: usize,
}

pub(crate) fn measure(parts: &Parts, options: &Options, report: &mut Report) {
    let size = match options.quick {
        true => Size {
            environments: 4,
            each: 2,
            rounds: 1,
        },
        false => Size {
            environments: 20,
            each: 5,
            rounds: 2,
        },
    };
    if let Err(why) = compare(parts, size, report) {
        report.failed("many deployments at once", &why);
    }
}

fn text(number: usize) -> String {
    format!("sunrise-{number}")
}

fn compare(parts: &Parts, size: Size, report: &mut Report) -> Result<(), String> {
    let case = Case {
        nodes: NODES,
        provider: Provider::BuiltIn,
    };
    let mirror = TempDir::new().map_err(|error| format!("no temporary directory: {error}"))?;
    let bundles = bundles(parts, case, &mirror, size)?;
    let mut variants = vec![
        Variant::Hand,
        Variant::Windlass(Launch::Process),
        Variant::Windlass(Launch::Cold),
        Variant::HandAgain,
        Variant::Windlass(Launch::Standby),
    ];
    if let Err(why) = &parts.docker {
        report.failed("many deployments at once with docker", why);
        variants.retain(|variant| {
            !matches!(variant, Variant::Windlass(Launch::Cold | Launch::Standby))
        });
    }
    let mut times: Vec<(Variant, Vec<f64>)> = variants
        .iter()
        .map(|variant| (*variant, Vec::new()))
        .collect();
    let mut first = Vec::new();
    for round in 1..=size.rounds {
        for place in 0..times.len() {
            let place = (place + round) % times.len();
            let variant = times[place].0;
            report::say(&format!(
                "many deployments at once: {}, round {round} of {}",
                variant.name(),
                size.rounds
            ));
            let seconds = match variant {
                Variant::Hand | Variant::HandAgain => {
                    by_hand(parts, case, &mirror, &bundles, size)?
                }
                Variant::Windlass(launch) => {
                    let (seconds, part) = ours(parts, case, &mirror, launch, size)?;
                    first.push(part);
                    seconds
                }
            };
            let total = size.environments * size.each;
            report.measured(
                &json!({"what": "throughput", "variant": variant.name(), "round": round,
                "deployments": total, "seconds": seconds}),
            );
            times[place].1.push(seconds);
        }
    }
    rows(&times, &first, size, report);
    Ok(())
}

fn rows(times: &[(Variant, Vec<f64>)], first: &[f64], size: Size, report: &mut Report) {
    let of = |wanted: Variant| {
        let found = times.iter().find(|(variant, _)| *variant == wanted);
        found.map(|(_, times)| times.clone()).unwrap_or_default()
    };
    let hand = of(Variant::Hand);
    let noise = Ratio::paired(&hand, &of(Variant::HandAgain));
    let total = size.environments * size.each;
    for (variant, times) in times {
        // Throughput: the time by hand by ours.
        let ratio = Ratio::paired(&hand, times);
        let seconds = median(times);
        let mut row = Row::plain(
            format!(
                "{total} deployments of {NODES} nodes on {} environments, {PLACES} at a time: {}",
                size.environments,
                variant.name()
            ),
            format!("{:.2}/s", total as f64 / seconds),
        )
        .spread(format!("{:.2}-{:.2}", ratio.min, ratio.max));
        row.ratio = format!("{:.2}", ratio.median);
        if let Some(budget) = variant.budget() {
            row.budget = format!("≥ {budget:.2} x");
            row.verdict = match ratio.median >= budget {
                true => Verdict::Met,
                false if !noise.is_level() => {
                    Verdict::Open(format!("the noise of this run is {:.2}", noise.median))
                }
                false => {
                    Verdict::Missed(format!("by {:.0} %", (1.0 - ratio.median / budget) * 100.0))
                }
            };
        }
        report.row(row);
    }
    let worst = first.iter().copied().fold(0.0, f64::max);
    report.row(Row::plain(
        "when every environment had its first end, part of the whole time",
        format!("{:.0} %", worst * 100.0),
    ));
}

/// The HCL of every deployment of an environment, as Windlass makes it.
fn bundles(parts: &Parts, case: Case, mirror: &TempDir, size: Size) -> Result<Vec<Bundle>, String> {
    let maker = Ours::new(parts, case, Launch::Process, mirror.path())?;
    let make = |number| {
        let made = maker.deploy(&text(number), Outputs::Skipped)?;
        let id = made.record["id"].as_str().unwrap_or_default().to_owned();
        case.bundle(maker.run(&["get", "tf", &id])?)
    };
    (0..size.each).map(make).collect()
}

/// Has so many hands do jobs, each the next one; returns the first failure.
fn hands(jobs: usize, job: impl Fn(usize) -> Result<(), String> + Sync) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..PLACES {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= jobs {
                        return;
                    }
                    if let Err(why) = job(number) {
                        next.store(jobs, Ordering::Relaxed);
                        if let Ok(mut failure) = failure.lock() {
                            failure.get_or_insert(why);
                        }
                    }
                }
            });
        }
    });
    match failure.into_inner() {
        Ok(None) => Ok(()),
        Ok(Some(why)) => Err(why),
        Err(_) => Err("a hand panicked".to_owned()),
    }
}

fn by_hand(
    parts: &Parts,
    case: Case,
    mirror: &TempDir,
    bundles: &[Bundle],
    size: Size,
) -> Result<f64, String> {
    let environments: Vec<Hand> = (0..size.environments)
        .map(|_| Hand::new(parts, mirror.path()))
        .collect::<Result<_, _>>()?;
    let started = Instant::now();
    hands(size.environments, |environment| {
        for (number, bundle) in bundles.iter().enumerate() {
            environments[environment].deploy(bundle, case, &text(number))?;
        }
        Ok(())
    })?;
    Ok(started.elapsed().as_secs_f64())
}

/// Seconds, and after which part of them every environment had its first end.
fn ours(
    parts: &Parts,
    case: Case,
    mirror: &TempDir,
    launch: Launch,
    size: Size,
) -> Result<(f64, f64), String> {
    let place = Ours::new(parts, case, launch, mirror.path())?;
    let mut more = String::new();
    for number in 0..size.environments {
        more.push_str(&format!(
            "---\nkind: environment\nproject_id: shop\nid: e{number}\nenv_type_id: development\n"
        ));
    }
    place.write("more.yaml", &more)?;
    place.run(&["apply", "-f", "more.yaml"])?;
    place.settings(&format!("parallel_runs: {PLACES}\n"))?;
    for number in 0..size.each {
        place.write(&format!("m{number}.yaml"), &case.manifest(&text(number)))?;
    }
    let started = Instant::now();
    // The first of each environment, then the second of each.
    hands(size.environments * size.each, |job| {
        let environment = format!("e{}", job % size.environments);
        let file = format!("m{}.yaml", job / size.environments);
        place.run(&place.queued(&environment, &file)).map(|_| ())
    })?;
    let ended = wait(&place, started)?;
    let seconds = started.elapsed().as_secs_f64();
    let total = size.environments * size.each;
    if ended.succeeded != total as i64 {
        return Err(format!(
            "{} of {total} deployments succeeded",
            ended.succeeded
        ));
    }
    Ok((seconds, ended.first))
}

/// What the record says when everything is over.
struct Over {
    succeeded: i64,
    /// When the last environment had its first end, as a part of the time from first acceptance to last end.
    first: f64,
}

fn wait(place: &Ours<'_>, started: Instant) -> Result<Over, String> {
    use sqlx::{ConnectOptions as _, Row as _};
    let wrong = |error: sqlx::Error| format!("the database cannot be read: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut database = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(place.data().join("windlass.db"))
            .read_only(true)
            .connect()
            .await
            .map_err(wrong)?;
        loop {
            let open: i64 = sqlx::query("SELECT count(*) FROM deployments WHERE phase <> 'ended'")
                .fetch_one(&mut database)
                .await
                .map_err(wrong)?
                .get(0);
            if open == 0 {
                break;
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("{open} deployments are not over"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM deployments WHERE outcome = 'applied'), \
             (SELECT max(first) FROM (SELECT min(completed_us) AS first FROM deployments GROUP BY env_uuid)), \
             (SELECT min(created_us) FROM deployments), (SELECT max(completed_us) FROM deployments)",
        )
        .fetch_one(&mut database)
        .await
        .map_err(wrong)?;
        let (first, begin, end): (i64, i64, i64) = (row.get(1), row.get(2), row.get(3));
        Ok(Over {
            succeeded: row.get(0),
            first: (first - begin) as f64 / (end - begin).max(1) as f64,
        })
    })
}
