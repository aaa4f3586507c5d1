//! All terminal output. Data goes to standard output, everything else to standard error; colour only
//! where a terminal reads and `NO_COLOR` is not set. A reader that goes away is a normal end.
//!
//! Start at [`data`] and [`note`]; [`value`] chooses between table, JSON and YAML.

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

/// Log lines as they come, above the progress, made harmless for terminals.
pub(crate) fn log(text: &str) {
    let text = if is_watched() {
        harmless(text)
    } else {
        text.to_owned()
    };
    progress::above(|| {
        let mut err = anstream::stderr().lock();
        let _ = err.write_all(text.as_bytes());
        let _ = err.flush();
    });
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
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\t' => clean.push(c),
            '\u{1b}' => skip_sequence(&mut rest),
            // C0, DEL and C1; and what reorders text.
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {}
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            _ => clean.push(c),
        }
    }
    clean
}

/// Eats the rest of an escape sequence (CSI, OSC and the like, or two characters).
fn skip_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        Some('[') => {
            for c in rest.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&c) {
                    break;
                }
            }
        }
        Some(']' | 'P' | '_' | '^' | 'X') => {
            while let Some(c) = rest.next() {
                if c == '\u{7}' {
                    break;
                }
                if c == '\u{1b}' {
                    rest.next();
                    break;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn a_log_line_cannot_move_the_cursor_or_set_the_title() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{1b}]0;evil\u{7}c\rd\u{8}"), "abcd");
        assert_eq!(harmless("\u{1b}]0;evil\u{1b}\\kept\ttab\n"), "kept\ttab\n");
        assert_eq!(harmless("pay\u{202e}load"), "payload");
    }
}
