//! Whole deploys: first, one change, nothing changed; by hand and through Windlass, in rounds.
//!
//! What is compared: `windlass deploy … --no-prompt --skip-outputs`, which asks for what the three commands give. Rows
//! with "outputs" read them as well, as a deploy does unless told otherwise: one engine process more, and a person
//! would type a fourth command. By hand `init` runs each time, because a person in a fresh checkout must; its row says
//! what the ratio is without it. The state is a local file on both sides.

use serde_json::json;
use tempfile::TempDir;

use crate::case::{Bundle, Case, Provider};
use crate::hand::{Hand, Took};
use crate::ours::{Launch, Ours, Outputs};
use crate::parts::Parts;
use crate::report::{Report, Row, Verdict};
use crate::stats::{Ratio, greatest, median};
use crate::{Options, report};

/// Rounds of a comparison; below a fifth's difference more would be needed.
const ROUNDS: usize = 7;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Hand,
    HandAgain,
    Windlass(Launch, Outputs),
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Hand => "by hand",
            Self::HandAgain => "by hand again",
            Self::Windlass(Launch::Process, Outputs::Skipped) => "process",
            Self::Windlass(Launch::Process, Outputs::Read) => "process, outputs",
            Self::Windlass(Launch::Cold, _) => "docker cold",
            Self::Windlass(Launch::Standby, Outputs::Skipped) => "docker standby",
            Self::Windlass(Launch::Standby, Outputs::Read) => "docker standby, outputs",
        }
    }

    fn is_docker(self) -> bool {
        matches!(self, Self::Windlass(Launch::Cold | Launch::Standby, _))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    First,
    Change,
    Same,
}

impl Scenario {
    const ALL: [Self; 3] = [Self::First, Self::Change, Self::Same];

    fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Change => "one change",
            Self::Same => "no change",
        }
    }

    /// What the first resource says in this one.
    fn text(self) -> &'static str {
        match self {
            Self::First => "sunrise",
            Self::Change | Self::Same => "sunset",
        }
    }
}

/// One deploy of one variant in one round.
struct Sample {
    variant: Variant,
    scenario: Scenario,
    wall_ms: f64,
    init_ms: f64,
    processes: f64,
}

pub(crate) fn measure(parts: &Parts, options: &Options, report: &mut Report) {
    let built_in = |nodes| Case {
        nodes,
        provider: Provider::BuiltIn,
    };
    let large = Case {
        nodes: 10,
        provider: Provider::Large,
    };
    let (cases, rounds) = if options.quick {
        (vec![built_in(10)], 3)
    } else {
        let cases = vec![built_in(1), built_in(10), built_in(100), large];
        (cases, ROUNDS)
    };
    if let Err(why) = &parts.docker {
        report.failed("deploys with docker", why);
    }
    let mut processes = Vec::new();
    for case in cases {
        match compare(parts, case, rounds, report) {
            Ok(samples) => {
                rows(case, &samples, report);
                let ours = samples.iter().filter(|sample| {
                    matches!(sample.variant, Variant::Windlass(_, Outputs::Skipped))
                });
                processes.extend(ours.map(|sample| sample.processes));
            }
            Err(why) => report.failed(&format!("deploys, {}", case.name()), &why),
        }
    }
    if !processes.is_empty() {
        let most = greatest(&processes);
        let row = Row::plain(
            "engine processes of a deploy without outputs, at most",
            format!("{most:.0}"),
        );
        report.row(row.at_most(most, 1.0, "1"));
    }
}

/// All variants in every round, the order moved on by one each time; round 0 warms up and is not counted.
fn compare(
    parts: &Parts,
    case: Case,
    rounds: usize,
    report: &mut Report,
) -> Result<Vec<Sample>, String> {
    let mirror = TempDir::new().map_err(|error| format!("no temporary directory: {error}"))?;
    if case.provider == Provider::Large {
        parts.large_mirror(mirror.path())?;
    }
    let mut variants = vec![
        Variant::Hand,
        Variant::Windlass(Launch::Process, Outputs::Skipped),
        Variant::HandAgain,
        Variant::Windlass(Launch::Cold, Outputs::Skipped),
        Variant::Windlass(Launch::Standby, Outputs::Skipped),
    ];
    if case.nodes == 10 && case.provider == Provider::BuiltIn {
        variants.push(Variant::Windlass(Launch::Process, Outputs::Read));
        variants.push(Variant::Windlass(Launch::Standby, Outputs::Read));
    }
    variants.retain(|variant| parts.docker.is_ok() || !variant.is_docker());
    let bundles = bundles(parts, case, &mirror)?;
    let mut samples = Vec::new();
    for round in 0..=rounds {
        report::say(&format!(
            "deploys, {}: round {round} of {rounds}",
            case.name()
        ));
        variants.rotate_left(1);
        for variant in variants.clone() {
            let measured = one(parts, case, variant, &bundles, &mirror)
                .map_err(|why| format!("{}: {why}", variant.name()))?;
            for (sample, raw) in measured {
                if round == 0 {
                    continue;
                }
                let mut raw = raw;
                raw["nodes"] = json!(case.nodes);
                raw["provider"] = json!(format!("{:?}", case.provider));
                raw["round"] = json!(round);
                report.measured(&raw);
                samples.push(sample);
            }
        }
    }
    Ok(samples)
}

/// The HCL before and after the change, as Windlass makes it.
fn bundles(parts: &Parts, case: Case, mirror: &TempDir) -> Result<[Bundle; 2], String> {
    let maker = Ours::new(parts, case, Launch::Process, mirror.path())?;
    let make = |scenario: Scenario| {
        let made = maker.deploy(scenario.text(), Outputs::Skipped)?;
        let id = made.record["id"].as_str().unwrap_or_default().to_owned();
        case.bundle(maker.run(&["get", "tf", &id])?)
    };
    Ok([make(Scenario::First)?, make(Scenario::Change)?])
}

/// The three deploys of one variant, in a place of its own.
fn one(
    parts: &Parts,
    case: Case,
    variant: Variant,
    bundles: &[Bundle; 2],
    mirror: &TempDir,
) -> Result<Vec<(Sample, serde_json::Value)>, String> {
    let mut measured = Vec::new();
    match variant {
        Variant::Hand | Variant::HandAgain => {
            let hand = Hand::new(parts, mirror.path())?;
            for scenario in Scenario::ALL {
                let bundle = &bundles[usize::from(scenario != Scenario::First)];
                let took = hand.deploy(bundle, case, scenario.text())?;
                measured.push(sample(variant, scenario, &took, 3.0));
            }
        }
        Variant::Windlass(launch, outputs) => {
            let ours = Ours::new(parts, case, launch, mirror.path())?;
            for scenario in Scenario::ALL {
                let done = ours.deploy(scenario.text(), outputs)?;
                let processes = done.number("engine_processes");
                let (sample, mut raw) = sample(variant, scenario, &done.took, processes);
                for name in ["started_ms", "total_ms"] {
                    raw[name] = json!(done.number(name));
                }
                for name in ["launcher", "init"] {
                    raw[name] = json!(done.word(name));
                }
                let outcome = &done.record["windlass"]["outcome"];
                let expected = match scenario {
                    Scenario::Same => "unchanged",
                    Scenario::First | Scenario::Change => "applied",
                };
                if outcome != expected {
                    return Err(format!("the deploy ended as {outcome}, not `{expected}`"));
                }
                let stood_by = done.word("launcher").contains("standing by");
                if launch == Launch::Standby && scenario != Scenario::First && !stood_by {
                    return Err("the container that stood by was not used".to_owned());
                }
                measured.push((sample, raw));
                if scenario != Scenario::Same {
                    ours.settle(scenario.text())?;
                }
            }
        }
    }
    Ok(measured)
}

fn sample(
    variant: Variant,
    scenario: Scenario,
    took: &Took,
    processes: f64,
) -> (Sample, serde_json::Value) {
    let raw = json!({
        "what": "deploy", "variant": variant.name(), "scenario": scenario.name(), "wall_ms": took.wall_ms,
        "init_ms": took.init_ms, "engine_processes": processes, "machine_busy_ms": took.spent.busy_ms,
        "own_children_ms": took.spent.own_ms, "steal_ms": took.spent.steal_ms});
    let sample = Sample {
        variant,
        scenario,
        wall_ms: took.wall_ms,
        init_ms: took.init_ms,
        processes,
    };
    (sample, raw)
}

/// The rows of one case.
fn rows(case: Case, samples: &[Sample], report: &mut Report) {
    for scenario in Scenario::ALL {
        let of = |variant: Variant, value: fn(&Sample) -> f64| -> Vec<f64> {
            let matching = samples
                .iter()
                .filter(|sample| sample.variant == variant && sample.scenario == scenario);
            matching.map(value).collect()
        };
        let name = |what: &str| format!("{} deploy, {}: {what}", scenario.name(), case.name());
        let hand = of(Variant::Hand, |sample| sample.wall_ms);
        let hand_ms = median(&hand);
        let without = of(Variant::Hand, |sample| sample.wall_ms - sample.init_ms);
        let noise = Ratio::paired(&of(Variant::HandAgain, |sample| sample.wall_ms), &hand);
        report.row(Row {
            ratio: "1.00".to_owned(),
            spread: format!("{:.2} without init", Ratio::paired(&without, &hand).median),
            ..Row::plain(name("by hand"), format!("{hand_ms:.0} ms"))
        });
        let mut variants = vec![Variant::HandAgain];
        for outputs in [Outputs::Skipped, Outputs::Read] {
            for launch in [Launch::Process, Launch::Cold, Launch::Standby] {
                variants.push(Variant::Windlass(launch, outputs));
            }
        }
        for variant in variants {
            let times = of(variant, |sample| sample.wall_ms);
            if times.is_empty() {
                continue;
            }
            let ratio = Ratio::paired(&times, &hand);
            let more: Vec<f64> = times
                .iter()
                .zip(&hand)
                .map(|(one, base)| one - base)
                .collect();
            let more = median(&more);
            let noisy = if ratio.is_noisy() { ", noisy" } else { "" };
            let mut row = Row::plain(
                name(variant.name()),
                format!("{:.0} ms ({more:+.0})", median(&times)),
            );
            row.ratio = format!("{:.2}", ratio.median);
            row.spread = format!(
                "{:.2}-{:.2} ({:.2}){noisy}",
                ratio.min, ratio.max, ratio.of_minima
            );
            if variant == Variant::HandAgain {
                row.budget = "noise of this run".to_owned();
                if !noise.is_level() {
                    row.verdict = Verdict::Open("outside 0.9-1.1".to_owned());
                }
            } else if let Some(budget) = budget(variant, scenario, case, hand_ms) {
                row.budget = budget.words();
                row.verdict = budget.judge(&ratio, more, hand_ms, &noise);
            }
            report.row(row);
        }
    }
}

/// A limit for a deploy.
enum Budget {
    /// Of the time by hand.
    Ratio(f64),
    /// More than by hand, where that is so quick that a ratio says little.
    More(f64),
}

fn budget(variant: Variant, scenario: Scenario, case: Case, hand_ms: f64) -> Option<Budget> {
    let Variant::Windlass(launch, _) = variant else {
        return None;
    };
    match (scenario, launch) {
        (Scenario::First, Launch::Process) => None,
        (Scenario::First, Launch::Cold | Launch::Standby) if hand_ms >= 1000.0 => {
            Some(Budget::Ratio(1.10))
        }
        (Scenario::First, Launch::Cold | Launch::Standby) => Some(Budget::More(300.0)),
        (Scenario::Change | Scenario::Same, Launch::Process) => Some(Budget::Ratio(0.75)),
        (Scenario::Change, Launch::Standby) => Some(Budget::Ratio(0.7)),
        (Scenario::Same, Launch::Standby) => Some(Budget::Ratio(0.5)),
        (Scenario::Change, Launch::Cold) if case.provider == Provider::Large => {
            Some(Budget::Ratio(0.85))
        }
        (Scenario::Change | Scenario::Same, Launch::Cold) => None,
    }
}

impl Budget {
    fn words(&self) -> String {
        match self {
            Self::Ratio(limit) => format!("≤ {limit:.2} x"),
            Self::More(limit) => format!("≤ {limit:.0} ms more"),
        }
    }

    /// No verdict where equal things were not equal in this run, and none that the noise could turn.
    fn judge(&self, ratio: &Ratio, more: f64, hand_ms: f64, noise: &Ratio) -> Verdict {
        if !noise.is_level() {
            return Verdict::Open("the run is too noisy".to_owned());
        }
        let noise = (noise.median - 1.0).abs();
        let (over, noise, missed) = match self {
            Self::Ratio(limit) => (
                ratio.median - limit,
                noise,
                format!("by {:.0} %", (ratio.median / limit - 1.0) * 100.0),
            ),
            Self::More(limit) => (
                more - limit,
                noise * hand_ms,
                format!("by {:.0} ms", more - limit),
            ),
        };
        if over <= 0.0 {
            Verdict::Met
        } else if over <= noise {
            Verdict::Open(format!("missed {missed}, which is within the noise"))
        } else {
            Verdict::Missed(missed)
        }
    }
}
