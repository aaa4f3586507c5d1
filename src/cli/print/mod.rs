//! All terminal output. Data goes to standard output, everything else to standard error; colour only
//! where a terminal reads and `NO_COLOR` is not set. A reader that goes away is a normal end.
//!
//! Start at [`data`] and [`note`]; [`value`] chooses between table, JSON and YAML.

mod clean;
pub(crate) mod diagnostic;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod value;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};

/// Set once by `--quiet`: notes and progress are left out, warnings and errors stay.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Green: done.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Yellow: changed, or look here.
pub(crate) const CHANGED: Style = AnsiColor::Yellow.on_default();
/// Red: failed, or goes away.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// Dim: beside the point.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Bold: names and headings.
pub(crate) const BOLD: Style = Style::new().bold();

/// Switches notes and progress off.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether `--quiet` was given.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Whether a person sits at standard error.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Paints `text`; plain writers strip it again.
pub(crate) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes data to standard output, with a newline at its end.
pub(crate) fn data(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') && !text.is_empty() {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Writes bytes to standard output exactly as they are.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Says how it goes; silent with `--quiet`.
pub(crate) fn note(text: impl std::fmt::Display) {
    if !is_quiet() {
        error_line(&text.to_string());
    }
}

/// Says that something is done; silent with `--quiet`.
pub(crate) fn success(text: impl std::fmt::Display) {
    note(paint(GOOD, text));
}

/// Says something that must be seen, also with `--quiet`.
pub(crate) fn say(text: impl std::fmt::Display) {
    error_line(&text.to_string());
}

/// Warns, also with `--quiet`.
pub(crate) fn warning(text: impl std::fmt::Display) {
    error_line(&format!("{} {text}", paint(CHANGED.bold(), "Warning:")));
}

/// The one printed error of a command: the chain, each cause once.
pub(crate) fn error(error: &anyhow::Error) {
    let mut words = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words.push_str(": ");
            words.push_str(&cause);
        }
    }
    error_line(&format!("{} {words}", paint(BAD.bold(), "Error:")));
}

/// What can be done, as commands or sentences.
pub(crate) fn suggestions(lines: &[String]) {
    match lines {
        [] => {}
        [one] => error_line(&format!("{} {one}", paint(BOLD, "Suggestion:"))),
        many => {
            error_line(&paint(BOLD, "Suggestion:"));
            for line in many {
                error_line(&format!("  {line}"));
            }
        }
    }
}

/// A log that is printed as it comes, in pieces that end anywhere. A terminal gets what it cannot obey, others get the
/// bytes as they are.
#[derive(Debug, Default)]
pub(crate) struct LogPrinter(clean::Cleaner);

impl LogPrinter {
    /// To standard error, above the progress. Whether anybody reads it is not our business.
    pub(crate) fn beside(&mut self, bytes: &[u8]) {
        let clean = is_watched().then(|| self.0.bytes(bytes));
        let bytes = clean.as_deref().map_or(bytes, str::as_bytes);
        progress::above(|| {
            let mut err = io::stderr().lock();
            let _ = err.write_all(bytes);
            let _ = err.flush();
        });
    }

    /// To standard output.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let clean = io::stdout().is_terminal().then(|| self.0.bytes(bytes));
        self::bytes(clean.as_deref().map_or(bytes, str::as_bytes))
    }
}

/// A question, without a newline.
pub(crate) fn prompt(question: &str) {
    progress::above(|| {
        let mut err = anstream::stderr().lock();
        let _ = err.write_all(question.as_bytes());
        let _ = err.flush();
    });
}

/// One line to standard error. Whether anybody reads it is not our business.
fn error_line(text: &str) {
    progress::above(|| {
        let mut err = anstream::stderr().lock();
        let _ = err.write_all(text.as_bytes());
        let _ = err.write_all(b"\n");
    });
}

/// Removes what a terminal would obey from text that others wrote: all controls but newline and tab.
pub(crate) fn harmless(text: &str) -> String {
    clean::Cleaner::default().text(text)
}
