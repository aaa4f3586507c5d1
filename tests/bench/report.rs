//! The one table, the raw measurements, and what could not be measured. Nothing else prints.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints; this file alone does"
)]

use std::process::ExitCode;

use serde_json::Value;

/// A line for people, on standard error.
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// What became of a budget.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// There is none for this row.
    None,
    Met,
    /// And by how much it was missed, in words.
    Missed(String),
    /// This run cannot tell, and why.
    Open(String),
}

/// One row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was measured, and of how many.
    pub(crate) what: String,
    /// The median, with its unit.
    pub(crate) value: String,
    /// Against by hand or against another row, where there is one.
    pub(crate) ratio: String,
    /// Least to greatest, and the ratio of the minima.
    pub(crate) spread: String,
    pub(crate) budget: String,
    pub(crate) verdict: Verdict,
}

impl Row {
    /// A row without a comparison.
    pub(crate) fn plain(what: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            value: value.into(),
            ratio: String::new(),
            spread: String::new(),
            budget: String::new(),
            verdict: Verdict::None,
        }
    }

    pub(crate) fn spread(mut self, spread: impl Into<String>) -> Self {
        self.spread = spread.into();
        self
    }

    /// With a limit that the value keeps or does not.
    pub(crate) fn at_most(mut self, value: f64, limit: f64, budget: impl Into<String>) -> Self {
        self.budget = budget.into();
        self.verdict = if value <= limit {
            Verdict::Met
        } else {
            Verdict::Missed(format!("by {:.0} %", (value / limit - 1.0) * 100.0))
        };
        self
    }

    fn cells(&self) -> [String; 6] {
        let verdict = match &self.verdict {
            Verdict::None => String::new(),
            Verdict::Met => "met".to_owned(),
            Verdict::Missed(by) => format!("MISSED {by}"),
            Verdict::Open(why) => format!("open: {why}"),
        };
        [
            self.what.clone(),
            self.value.clone(),
            self.ratio.clone(),
            self.spread.clone(),
            self.budget.clone(),
            verdict,
        ]
    }
}

/// Collects rows; prints measurements as they come where that was asked for.
pub(crate) struct Report {
    raw: bool,
    rows: Vec<Row>,
    failures: Vec<String>,
}

impl Report {
    pub(crate) fn new(raw: bool) -> Self {
        Self {
            raw,
            rows: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// One measurement.
    pub(crate) fn measured(&self, measurement: &Value) {
        if self.raw {
            println!("{measurement}");
        }
    }

    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// What could not be measured, and what to do about it: a row, a line at the end, and the exit code.
    pub(crate) fn failed(&mut self, what: &str, why: &str) {
        say(&format!("error: {what}: {why}"));
        self.failures.push(format!("{what}: {why}"));
        let mut row = Row::plain(what, "not measured");
        row.verdict = Verdict::Open("see the error below".to_owned());
        self.rows.push(row);
    }

    /// Prints the table and what it was measured on.
    pub(crate) fn finish(self, facts: &[String]) -> ExitCode {
        let print = |line: &str| {
            if self.raw {
                eprintln!("{line}");
            } else {
                println!("{line}");
            }
        };
        let heads = [
            "what",
            "median",
            "by hand = 1",
            "min-max (of minima)",
            "budget",
            "verdict",
        ]
        .map(str::to_owned);
        let rows: Vec<[String; 6]> = std::iter::once(heads)
            .chain(self.rows.iter().map(Row::cells))
            .collect();
        let width = |column: usize| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: [usize; 6] = std::array::from_fn(width);
        let line = |row: &[String; 6]| {
            let cells = row.iter().zip(widths).enumerate();
            let cells = cells.map(|(column, (cell, width))| match column {
                1 | 2 => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            });
            format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
        };
        print("");
        print(&line(&rows[0]));
        let rules: [String; 6] = std::array::from_fn(|column| match column {
            1 | 2 => format!("{}:", "-".repeat(widths[column].saturating_sub(1))),
            _ => "-".repeat(widths[column]),
        });
        print(&line(&rules));
        for row in &rows[1..] {
            print(&line(row));
        }
        print("");
        for fact in facts {
            print(fact);
        }
        let missed = |row: &&Row| matches!(row.verdict, Verdict::Missed(_));
        let missed = self.rows.iter().filter(missed).count();
        print(&format!("budgets missed: {missed}"));
        for failure in &self.failures {
            eprintln!("error: {failure}");
        }
        if self.failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
