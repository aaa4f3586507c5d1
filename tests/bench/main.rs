//! `cargo bench`: what Windlass costs, as one table.
//!
//! Six groups of rows, each in a file of its own:
//!
//! | file | measures |
//! | --- | --- |
//! | `compile` | manifest to HCL: wall time, instructions, memory, and how both grow |
//! | `sealing` | sealed and opened bytes per second on one core |
//! | `deploys` | whole deploys beside the same three commands typed by hand, round by round |
//! | `latency` | the steps between: request to engine start, a log line, acceptance, what standing by costs |
//! | `throughput` | many deployments at once, beside the same commands run by as many hands |
//! | `server` | a server under load on either database, beside a bare handler: acceptance, reads, followers, memory |
//!
//! `hand` and `ours` are the two sides of a comparison, `case` is what both deploy, `parts` finds engine, daemon and
//! providers, `stats` turns rounds into ratios, `report` prints.
//!
//! How it stays honest: both sides run in every round, one after the other, and the order moves on by one each round; a
//! ratio is taken inside a round and the median of the ratios is reported, with the least, the greatest and the ratio of
//! the minima beside it; no round is dropped; "by hand again" is the same thing a second time, so that its ratio is the
//! noise of this very run; state, exit codes and engine processes are looked at outside the clock, so that a quick
//! failure cannot win. A missed budget is a row like any other: the exit code is 0. It is 1 where something could not be
//! measured at all, with the reason in its row and on standard error.
//!
//! `--quick` is for CI: fewer rounds, sizes and shapes, about a minute. `--raw` prints one JSON object per measurement on
//! standard output, so that every figure can be computed again; the table goes to standard error then. Names of groups
//! (`compile`, `sealing`, `deploys`, `latency`, `throughput`, `server`) restrict it to them.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark drives real files and processes"
)]

mod case;
mod compile;
mod deploys;
mod docker;
mod hand;
mod latency;
mod machine;
mod ours;
mod parts;
mod report;
mod sealing;
mod server;
mod stats;
mod throughput;

use std::process::ExitCode;

use self::parts::Parts;
use self::report::Report;

/// The groups, in the order of the table.
const GROUPS: [&str; 6] = [
    "compile",
    "sealing",
    "deploys",
    "latency",
    "throughput",
    "server",
];

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) quick: bool,
    raw: bool,
    groups: Vec<String>,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            quick: false,
            raw: false,
            groups: Vec::new(),
        };
        for argument in arguments {
            match argument.as_str() {
                // Cargo adds this one.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--raw" => options.raw = true,
                group if GROUPS.contains(&group) => options.groups.push(group.to_owned()),
                other => {
                    return Err(format!(
                        "`{other}` is not known: expected --quick, --raw or one of {}",
                        GROUPS.join(", ")
                    ));
                }
            }
        }
        Ok(options)
    }

    fn wants(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|wanted| wanted == group)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == compile::CHILD) {
        return compile::child(&arguments[1..]);
    }
    if arguments.first().is_some_and(|word| word == server::CHILD) {
        return match server::child() {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                report::say(&format!("error: {message}"));
                ExitCode::FAILURE
            }
        };
    }
    let options = match Options::read(&arguments) {
        Ok(options) => options,
        Err(message) => {
            report::say(&format!("error: {message}"));
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::new(options.raw);
    let before = machine::Load::now();
    if options.wants("compile") {
        compile::measure(&options, &mut report);
    }
    if options.wants("sealing") {
        sealing::measure(&options, &mut report);
    }
    let mut engine = None;
    if ["deploys", "latency", "throughput"]
        .iter()
        .any(|group| options.wants(group))
    {
        match Parts::find() {
            Ok(parts) => {
                if options.wants("deploys") {
                    deploys::measure(&parts, &options, &mut report);
                }
                if options.wants("latency") {
                    latency::measure(&parts, &options, &mut report);
                }
                if options.wants("throughput") {
                    throughput::measure(&parts, &options, &mut report);
                }
                engine = Some(parts.describe());
            }
            Err(message) => report.failed("whole deploys", &message),
        }
    }
    if options.wants("server") {
        server::measure(&options, &mut report);
    }
    report.finish(&machine::describe(engine.as_deref(), &before, &arguments))
}
