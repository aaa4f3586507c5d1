//! The machine: what it is, how busy it was, and how busy it was with others.

use std::fs;

/// Milliseconds of one tick of the counters in `/proc`; 100 Hz on every Linux that matters here.
const TICK_MS: f64 = 10.0;

/// Counters since boot, to be subtracted from later ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    /// Time that the processors worked for anybody, in milliseconds, all processors together.
    busy: f64,
    /// Time that another guest had.
    steal: f64,
    /// Processor time of children of this process that were waited for.
    children: f64,
}

/// What happened between two looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// Processor time of the whole machine.
    pub(crate) busy_ms: f64,
    pub(crate) steal_ms: f64,
    /// Processor time of commands this process started and waited for; what they left behind is not in it.
    pub(crate) own_ms: f64,
}

impl Counters {
    pub(crate) fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let fields: Vec<f64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|word| word.parse().ok())
            .collect();
        let at = |index: usize| fields.get(index).copied().unwrap_or(0.0);
        let own = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name stands in parentheses and may hold anything; the counters follow.
        let rest = own.rsplit(") ").next().unwrap_or_default();
        let own: Vec<f64> = rest
            .split_whitespace()
            .map(|word| word.parse().unwrap_or(0.0))
            .collect();
        let of_children = own.get(13).unwrap_or(&0.0) + own.get(14).unwrap_or(&0.0);
        Self {
            busy: (at(0) + at(1) + at(2) + at(5) + at(6)) * TICK_MS,
            steal: at(7) * TICK_MS,
            children: of_children * TICK_MS,
        }
    }

    pub(crate) fn since(self) -> Spent {
        let now = Self::now();
        Spent {
            busy_ms: now.busy - self.busy,
            steal_ms: now.steal - self.steal,
            own_ms: now.children - self.children,
        }
    }
}

/// Load average and counters at the start of everything.
pub(crate) struct Load {
    average: String,
    started: std::time::Instant,
}

impl Load {
    pub(crate) fn now() -> Self {
        Self {
            average: average(),
            started: std::time::Instant::now(),
        }
    }
}

fn average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}

/// What a reader of the table must know.
pub(crate) fn describe(engine: Option<&str>, before: &Load, arguments: &[String]) -> Vec<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| {
            rest.trim_start_matches([' ', '\t', ':']).trim()
        });
    let arguments: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| *argument != "--bench")
        .collect();
    let command = if arguments.is_empty() {
        "cargo bench".to_owned()
    } else {
        format!("cargo bench -- {}", arguments.join(" "))
    };
    let mut facts: Vec<String> = engine.map(str::to_owned).into_iter().collect();
    facts.push(format!(
        "machine: Linux {}, {cores} cores ({model}), load {} at the start and {} at the end",
        kernel.trim(),
        before.average,
        average()
    ));
    facts.push(format!(
        "command: {command}, took {:.0} s",
        before.started.elapsed().as_secs_f64()
    ));
    facts
}
