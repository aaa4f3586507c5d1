//! The outputs, whose objects have an entry per resource.
//!
//! Why not as one tree: an object of hcl-rs is a list that compares every new key with all before it, which is half of
//! the whole compilation at 10 000 resources. So a large object is printed in pieces, each a tree of its own that is
//! made when its turn comes, inside the same block; what comes out is the same to the byte.

use hcl::expr::ObjectKey;
use hcl::{Block, Expression, Object};

use super::{align, attribute, print};
use crate::hcl::expr::{Unexpressible, string};

/// Entries that are printed at once: few, because of the comparisons, but not one, because of the block around them.
const PIECE: usize = 8;
/// What is printed after the entries of a piece.
const END: &str = "  }\n}\n";

/// One output block.
pub(super) struct Output<'a> {
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    pub(super) is_sensitive: bool,
}

impl Output<'_> {
    fn block(&self, attributes: impl IntoIterator<Item = hcl::Attribute>) -> String {
        let block = Block::builder("output")
            .add_label(self.name)
            .add_attributes(attributes)
            .build();
        print(&block)
    }

    fn value(entries: impl IntoIterator<Item = (ObjectKey, Expression)>) -> hcl::Attribute {
        attribute("value", Expression::Object(Object::from_iter(entries)))
    }

    fn facts(&self) -> Vec<hcl::Attribute> {
        let mut facts = vec![attribute("description", string(self.description))];
        if self.is_sensitive {
            facts.push(attribute("sensitive", Expression::Bool(true)));
        }
        facts
    }

    /// Prints the block, after an empty line. `entries` are those of its value; their keys differ.
    pub(super) fn print(
        &self,
        entries: impl ExactSizeIterator<Item = Result<(ObjectKey, Expression), Unexpressible>>,
    ) -> Result<String, Unexpressible> {
        let printed = self.unaligned(entries)?;
        let mut out = String::from("\n");
        align(&printed, &mut out);
        Ok(out)
    }

    fn unaligned(
        &self,
        mut entries: impl ExactSizeIterator<Item = Result<(ObjectKey, Expression), Unexpressible>>,
    ) -> Result<String, Unexpressible> {
        if entries.len() <= PIECE {
            let mut attributes = vec![Self::value(entries.collect::<Result<Vec<_>, _>>()?)];
            attributes.extend(self.facts());
            return Ok(self.block(attributes));
        }
        let mut out = String::new();
        let mut is_first = true;
        while entries.len() > 0 {
            let piece: Result<Vec<_>, _> = entries.by_ref().take(PIECE).collect();
            let printed = self.block([Self::value(piece?)]);
            let inside = printed.strip_suffix(END).unwrap_or(&printed);
            // The block's and the attribute's own line.
            let head: usize = inside.split_inclusive('\n').take(2).map(str::len).sum();
            out.push_str(if is_first { inside } else { &inside[head..] });
            is_first = false;
        }
        out.push_str("  }\n");
        let facts = self.block(self.facts());
        out.push_str(facts.split_once('\n').map_or("", |(_, rest)| rest));
        Ok(out)
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
            let output = Output {
                name: "web",
                description: "words",
                is_sensitive: count % 2 == 0,
            };
            let mut attributes = vec![Output::value((0..count).map(entry))];
            attributes.extend(output.facts());
            let pieces = output.unaligned((0..count).map(|number| Ok(entry(number))));
            assert_eq!(pieces, Ok(output.block(attributes)), "{count} entries");
        }
    }
}
