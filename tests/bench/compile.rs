//! The compiler, from a manifest to the bundle, for three shapes of graph at three sizes.
//!
//! Instructions are the figure to watch: two runs differ by a thousandth of a percent, where wall time differs by a
//! fifth. They are counted in a process of its own (this program again, with [`CHILD`]), and the same process that
//! only makes the manifest is subtracted. They do not see waiting for memory, so the peak of memory stands beside them.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use serde_json::json;
use windlass::{BenchShape, bench_manifest};

use crate::report::{Report, Row, Verdict};
use crate::stats::{greatest, least, median};
use crate::{Options, report};

/// The hidden first argument: `SHAPE NODES COMPILATIONS`.
pub(crate) const CHILD: &str = "--compile-only";

const SHAPES: [(&str, BenchShape); 3] = [
    ("chain", BenchShape::Chain),
    ("star", BenchShape::Star),
    ("random", BenchShape::Random),
];
const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// Ten times the nodes may cost this many times the instructions.
const GROWTH: f64 = 12.0;

/// Milliseconds that a size may take.
fn budget(nodes: usize) -> Option<(f64, &'static str)> {
    match nodes {
        100 => Some((2.0, "< 2 ms")),
        10_000 => Some((100.0, "< 100 ms")),
        _ => None,
    }
}

/// Makes a manifest and compiles it some times; prints its peak of memory in KiB.
pub(crate) fn child(arguments: &[String]) -> ExitCode {
    let shape = arguments.first().and_then(|name| {
        let found = SHAPES.iter().find(|(known, _)| known == name);
        found.map(|(_, shape)| *shape)
    });
    let number = |at: usize| {
        arguments
            .get(at)
            .and_then(|text| text.parse::<usize>().ok())
    };
    let (Some(shape), Some(nodes), Some(times)) = (shape, number(1), number(2)) else {
        report::say(&format!("{CHILD} takes SHAPE NODES COMPILATIONS"));
        return ExitCode::FAILURE;
    };
    let case = bench_manifest(shape, nodes);
    for _ in 0..times {
        std::hint::black_box(case.compile());
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    report::say(peak.unwrap_or("0 kB").trim());
    ExitCode::SUCCESS
}

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let counter = Counter::find();
    let rounds = if options.quick { 5 } else { 15 };
    // Counting is slow; for CI the shape that costs most stands for all.
    let shapes = if options.quick {
        &SHAPES[2..]
    } else {
        &SHAPES[..]
    };
    for (name, shape) in shapes.iter().copied() {
        let mut instructions = Vec::new();
        for nodes in SIZES {
            report::say(&format!("compile {name}, {nodes} nodes"));
            let case = bench_manifest(shape, nodes);
            let mut times = Vec::new();
            for round in 0..=rounds {
                let started = Instant::now();
                let length = std::hint::black_box(case.compile());
                let ms = started.elapsed().as_secs_f64() * 1e3;
                assert!(length > nodes * 10, "each node leaves its block");
                // The first one warms up.
                if round > 0 {
                    report.measured(&json!({
                        "what": "compile", "shape": name, "nodes": nodes, "round": round, "wall_ms": ms}));
                    times.push(ms);
                }
            }
            let counted = counter
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|counter| counter.count(name, nodes));
            let peak = peak_mib(name, nodes);
            let ms = median(&times);
            let mut row = Row::plain(
                format!("compile {name}, {nodes} nodes"),
                format!("{ms:.2} ms"),
            )
            .spread(format!("{:.2}-{:.2} ms", least(&times), greatest(&times)));
            if let Some((limit, words)) = budget(nodes) {
                row = row.at_most(ms, limit, words);
            }
            report.row(row);
            let memory = peak.map_or_else(String::new, |mib| format!("{mib:.0} MiB at most"));
            if let Ok(count) = counted {
                report.measured(&json!({
                    "what": "compile instructions", "shape": name, "nodes": nodes, "instructions": count,
                    "peak_mib": peak}));
                let row = Row::plain(
                    format!("compile {name}, {nodes} nodes, instructions"),
                    format!("{:.1} M", count / 1e6),
                );
                report.row(row.spread(memory));
            } else if let Err(why) = &counted {
                let row = Row::plain(
                    format!("compile {name}, {nodes} nodes, instructions"),
                    "not counted",
                );
                report.row(Row {
                    verdict: Verdict::Open(why.clone()),
                    ..row.spread(memory)
                });
            }
            instructions.push(counted);
        }
        if let [_, Ok(smaller), Ok(larger)] = &instructions[..] {
            let growth = larger / smaller;
            let row = Row::plain(
                format!("compile {name}, instructions 10 000 / 1 000"),
                format!("{growth:.1} x"),
            );
            report.row(row.at_most(growth, GROWTH, format!("≤ {GROWTH:.0} x")));
        }
    }
}

/// What counts instructions here.
enum Counter {
    Callgrind,
    Perf,
}

impl Counter {
    fn find() -> Result<Self, String> {
        let answers = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if answers("valgrind", &["--version"]) {
            Ok(Self::Callgrind)
        } else if answers("perf", &["stat", "-e", "instructions:u", "true"]) {
            Ok(Self::Perf)
        } else {
            Err("needs valgrind: apt-get install -y valgrind".to_owned())
        }
    }

    /// Instructions of one compilation.
    fn count(&self, shape: &str, nodes: usize) -> Result<f64, String> {
        let with = self.run(shape, nodes, 1)?;
        let without = self.run(shape, nodes, 0)?;
        Ok(with - without)
    }

    fn run(&self, shape: &str, nodes: usize, times: usize) -> Result<f64, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = match self {
            Self::Callgrind => {
                let mut command = Command::new("valgrind");
                command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
                command
            }
            Self::Perf => {
                let mut command = Command::new("perf");
                command.args(["stat", "-x", ",", "-e", "instructions:u"]);
                command
            }
        };
        command.arg(program).args([CHILD, shape]);
        command.args([nodes.to_string(), times.to_string()]);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{command:?}: {error}"))?;
        let text = String::from_utf8_lossy(&output.stderr);
        let found = text.lines().find_map(|line| match self {
            Self::Callgrind => line.split("Collected :").nth(1)?.trim().parse().ok(),
            Self::Perf => line
                .contains("instructions")
                .then(|| line.split(',').next()?.parse().ok())?,
        });
        found.ok_or_else(|| {
            let last = text.lines().last().unwrap_or_default();
            format!("no count came out ({}): {last}", output.status)
        })
    }
}

/// Peak of memory of a process that compiles once, in MiB.
fn peak_mib(shape: &str, nodes: usize) -> Option<f64> {
    let program = std::env::current_exe().ok()?;
    let nodes = nodes.to_string();
    let output = Command::new(program)
        .args([CHILD, shape, &nodes, "1"])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let kib: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}
