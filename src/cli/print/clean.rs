//! Takes out of text what a terminal would obey, however the text is cut into pieces.
//!
//! A log comes in pieces that end anywhere: in the middle of a character, or of an escape sequence. What decides lives
//! from one piece to the next. A sequence that is never ended hides the rest of its line and no more.

/// What has to be known of the pieces before.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    state: State,
    /// The beginning of a character whose rest has not come.
    held: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// Behind ESC.
    Escape,
    /// In a control sequence (`ESC [`), until its final letter.
    Control,
    /// In a string (title, link and the like), until BEL or ESC `\\`.
    Words,
}

impl Cleaner {
    /// The harmless text of these bytes; what is not UTF-8 is replaced.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let whole = whole_length(&all);
        self.held = all.split_off(whole);
        self.text(&String::from_utf8_lossy(&all))
    }

    /// The harmless part of this text: without controls but newline and tab, and without what reorders text.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        for c in text.chars() {
            self.state = match (self.state, c) {
                (_, '\n') => {
                    clean.push(c);
                    State::Text
                }
                (_, '\u{1b}') => State::Escape,
                (State::Text, _) => {
                    if !is_obeyed(c) {
                        clean.push(c);
                    }
                    State::Text
                }
                (State::Escape, '[') => State::Control,
                (State::Escape, ']' | 'P' | '_' | '^' | 'X') => State::Words,
                (State::Escape, _) => State::Text,
                (State::Control, '\u{40}'..='\u{7e}') => State::Text,
                (State::Words, '\u{7}') => State::Text,
                (State::Control | State::Words, _) => self.state,
            };
        }
        clean
    }
}

/// Whether a terminal does something instead of showing it: C0, DEL, C1, and what reorders text.
fn is_obeyed(c: char) -> bool {
    matches!(c, '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How many bytes there are before a character that is not whole.
fn whole_length(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    bytes[from..]
        .iter()
        .rposition(|byte| *byte >= 0b1100_0000)
        .map(|at| from + at)
        .filter(|at| {
            std::str::from_utf8(&bytes[*at..]).is_err_and(|error| error.error_len().is_none())
        })
        .unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRTY: &str = "a\u{1b}[2Jb\u{1b}]0;evil\u{7}c\rd\u{8} \u{1b}]0;evil\u{1b}\\kept\ttab — 🦀 pay\u{202e}load\u{9b}31m\n";
    const CLEAN: &str = "abcd kept\ttab — 🦀 payload31m\n";

    #[test]
    fn text_is_harmless_however_it_is_cut() {
        for size in 1..DIRTY.len() {
            let mut cleaner = Cleaner::default();
            let clean: String = DIRTY
                .as_bytes()
                .chunks(size)
                .map(|piece| cleaner.bytes(piece))
                .collect();
            assert_eq!(clean, CLEAN, "in pieces of {size}");
        }
    }

    #[test]
    fn a_sequence_without_an_end_hides_its_line_only() {
        for open in ["\u{1b}]0;title", "\u{1b}[31", "\u{1b}Pwords", "\u{1b}"] {
            let text = format!("before{open}\nafter\n");
            assert_eq!(Cleaner::default().text(&text), "before\nafter\n");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(
            Cleaner::default().bytes(b"a\xff\xc3b"),
            "a\u{fffd}\u{fffd}b"
        );
    }
}
