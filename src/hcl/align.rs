//! What the printer leaves to do for the engine's own formatter to be content: `=` in columns.

/// Appends what was printed, with successive one-line `key = value` lines aligned and empty blocks broken in two lines.
pub(super) fn align(printed: &str, out: &mut String) {
    out.reserve(printed.len() + printed.len() / 16);
    let mut group: Vec<(&str, &str)> = Vec::new();
    for line in printed.lines() {
        match halves(line) {
            Some(found) if !line.ends_with(['{', '[']) => group.push(found),
            _ => {
                flush(&mut group, out);
                match empty_block(line) {
                    Some(head) => {
                        let indent = &line[..line.len() - line.trim_start().len()];
                        out.push_str(head);
                        out.push('\n');
                        out.push_str(indent);
                        out.push('}');
                    }
                    None => out.push_str(line),
                }
                out.push('\n');
            }
        }
    }
    flush(&mut group, out);
}

fn flush(group: &mut Vec<(&str, &str)>, out: &mut String) {
    let width = |key: &str| key.chars().count();
    let widest = group.iter().map(|(key, _)| width(key)).max().unwrap_or(0);
    for (key, rest) in group.drain(..) {
        out.push_str(key);
        out.extend(std::iter::repeat_n(' ', widest - width(key)));
        out.push_str(rest);
        out.push('\n');
    }
}

/// Key with indentation, and ` = …`.
fn halves(line: &str) -> Option<(&str, &str)> {
    // What is printed is indented by spaces, and looked at byte by byte: most of it is ASCII.
    let indent = line.bytes().take_while(|byte| *byte == b' ').count();
    let body = &line[indent..];
    let length = if let Some(quoted) = body.strip_prefix('"') {
        let mut is_escaped = false;
        let end = quoted.char_indices().find(|(_, letter)| {
            let is_end = *letter == '"' && !is_escaped;
            is_escaped = *letter == '\\' && !is_escaped;
            is_end
        });
        end?.0 + 2
    } else {
        body.bytes()
            .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')))?
    };
    let (key, rest) = line.split_at(indent + length);
    (length > 0 && rest.starts_with(" = ")).then_some((key, rest))
}

/// The head of `name {  }`.
fn empty_block(line: &str) -> Option<&str> {
    let head = line.strip_suffix('}')?.trim_end();
    let is_empty = head.ends_with(" {") && !head.contains(" = ");
    is_empty.then_some(head)
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn equal_signs_stand_in_columns_within_a_run() {
        let printed = "a {\n  b = 1\n  long = \"x = y\"\n  c = {\n    \"q = \\\" r\" = 1\n    s = 2\n  }\n  d = 3\n\n  e {  }\n}\n";
        let aligned = "a {\n  b    = 1\n  long = \"x = y\"\n  c = {\n    \"q = \\\" r\" = 1\n    s          = 2\n  }\n  d = 3\n\n  e {\n  }\n}\n";
        let after = |printed: &str| {
            let mut out = String::new();
            align(printed, &mut out);
            out
        };
        assert_eq!(after(printed), aligned);
        assert_eq!(after(aligned), aligned, "a second time changes nothing");
    }
}
