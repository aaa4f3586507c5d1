//! The outputs, whose objects have an entry per resource.
//!
//! Why not as one tree: an object of hcl-rs is a list that compares every new key with all before it, which is half of
//! the whole compilation at 10 000 resources. So a large object is printed in pieces, each a tree of its own, inside
//! the same block; what comes out is the same to the byte.

use hcl::expr::ObjectKey;
use hcl::{Block, Body, Expression, Object};

use super::attribute;
use crate::hcl::expr::string;

/// Entries that are printed at once.
const PIECE: usize = 32;
/// What is printed after the entries of a piece.
const END: &str = "  }\n}\n";

/// One output block.
pub(super) struct Output {
    pub(super) name: String,
    /// Of its value; keys differ.
    pub(super) entries: Vec<(ObjectKey, Expression)>,
    pub(super) description: String,
    pub(super) is_sensitive: bool,
}

impl Output {
    fn block(&self, attributes: impl IntoIterator<Item = hcl::Attribute>) -> String {
        let block = Block::builder("output")
            .add_label(self.name.as_str())
            .add_attributes(attributes)
            .build();
        // Printing into memory fails only on what the tree cannot hold.
        hcl::format::to_string(&Body(vec![block.into()])).unwrap_or_default()
    }

    fn value(entries: impl IntoIterator<Item = (ObjectKey, Expression)>) -> hcl::Attribute {
        attribute("value", Expression::Object(Object::from_iter(entries)))
    }

    fn facts(&self) -> Vec<hcl::Attribute> {
        let mut facts = vec![attribute("description", string(&self.description))];
        if self.is_sensitive {
            facts.push(attribute("sensitive", Expression::Bool(true)));
        }
        facts
    }

    /// Prints the block.
    pub(super) fn print(mut self, out: &mut String) {
        let entries = std::mem::take(&mut self.entries);
        if entries.len() <= PIECE {
            let mut attributes = vec![Self::value(entries)];
            attributes.extend(self.facts());
            out.push_str(&self.block(attributes));
            return;
        }
        let mut entries = entries.into_iter();
        let mut is_first = true;
        loop {
            let piece: Vec<_> = entries.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                break;
            }
            let printed = self.block([Self::value(piece)]);
            let inside = printed.strip_suffix(END).unwrap_or(&printed);
            // The block's and the attribute's own line.
            let head: usize = inside.split_inclusive('\n').take(2).map(str::len).sum();
            out.push_str(if is_first { inside } else { &inside[head..] });
            is_first = false;
        }
        out.push_str("  }\n");
        let facts = self.block(self.facts());
        out.push_str(facts.split_once('\n').map_or("", |(_, rest)| rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hcl::expr::object_key;

    #[test]
    fn pieces_are_the_same_bytes_as_one_tree() {
        for count in [0, 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7] {
            let entry = |number: usize| {
                let value = match number % 4 {
                    0 => Expression::from_iter([("inner", "x\ny"), ("b", "  }\n}\n")]),
                    1 => Expression::from(vec![Expression::from(1), Expression::from("}")]),
                    2 => Expression::Object(Object::new()),
                    _ => string("${a}\n  }"),
                };
                (object_key(&format!("k {number}")), value)
            };
            let output = || Output {
                name: "web".to_owned(),
                entries: (0..count).map(entry).collect(),
                description: "words".to_owned(),
                is_sensitive: count % 2 == 0,
            };
            let whole = output();
            let mut attributes = vec![Output::value((0..count).map(entry))];
            attributes.extend(whole.facts());
            let mut pieces = String::new();
            output().print(&mut pieces);
            assert_eq!(pieces, whole.block(attributes), "{count} entries");
        }
    }
}
