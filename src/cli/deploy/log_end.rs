//! The end of a log, for the report of a failure. Bounded: a log may be longer than memory.

use crate::cli::print;

/// Bytes of the end that are kept at most.
const KEPT: usize = 1024 * 1024;

/// What a log ends with.
#[derive(Debug, Default)]
pub(crate) struct LogEnd {
    bytes: Vec<u8>,
    /// Whether there is more before.
    cut: bool,
}

impl LogEnd {
    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        // Not at every piece: moving what is kept costs as much as keeping it.
        if self.bytes.len() > 2 * KEPT {
            let over = self.bytes.len() - KEPT;
            self.bytes.drain(..over);
            self.cut = true;
        }
    }

    /// What comes is not the beginning.
    pub(crate) fn begin_later(&mut self) {
        self.cut = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All that is kept, harmless for terminals.
    pub(crate) fn shown(&self) -> String {
        self.last_lines(usize::MAX)
    }

    /// The last lines, and how many or that some stand before them.
    pub(crate) fn last_lines(&self, count: usize) -> String {
        let text = print::harmless(&String::from_utf8_lossy(&self.bytes));
        let all: Vec<&str> = text.lines().collect();
        let from = all.len().saturating_sub(count);
        let before = match (self.cut, from) {
            (true, _) => "… more lines before\n".to_owned(),
            (false, 0) => String::new(),
            (false, from) => format!("… {from} lines before\n"),
        };
        format!("{before}{}", all[from..].join("\n"))
            .trim_end()
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_long_log_is_kept() {
        let mut end = LogEnd::default();
        for number in 0..500_000 {
            end.push(format!("line {number}\n").as_bytes());
            assert!(end.bytes.len() <= 2 * KEPT);
        }
        assert_eq!(
            end.last_lines(2),
            "… more lines before\nline 499998\nline 499999"
        );
    }

    #[test]
    fn what_stands_before_is_counted_where_it_is_known() {
        let mut end = LogEnd::default();
        end.push(b"a\nb\n\x1b[2Jc\n");
        assert_eq!(end.last_lines(1), "… 2 lines before\nc");
        assert_eq!(end.shown(), "a\nb\nc");
    }
}
