//! One value as the YAML reader gives it, and its way to a `serde_json::Value` with places.
//!
//! Holds what is done with numbers: what JSON cannot keep exactly is refused, never rounded.
//! Start at [`Node::split`].

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_yaml::Spanned;

use super::refusal::lines;
use super::{Places, Spot};
use crate::model::diag::pointer as join;

/// A value as it comes from the reader, places included.
pub(super) enum Node {
    Scalar(Value),
    /// A number that had to be rounded; kept only to look at its text.
    Float(f64),
    /// An integer beyond 64 bits.
    Huge,
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Node {
    /// Takes value and places apart; tells `refuse` of integers that did not survive.
    pub(super) fn split(
        self,
        text: &str,
        at: &serde_yaml::Location,
        pointer: &str,
        refuse: &mut dyn FnMut(&str, Spot),
    ) -> (Value, Places) {
        let mut places = Places {
            value: spot(at),
            ..Places::default()
        };
        let value = match self {
            Self::Scalar(value) => value,
            Self::Huge => {
                refuse(pointer, places.value);
                Value::Null
            }
            Self::Float(number) => {
                let written = word_at(text, places.value);
                let digits = written.trim_start_matches(['-', '+']);
                if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
                    refuse(pointer, places.value);
                }
                Number::from_f64(number).map_or(Value::Null, Value::Number)
            }
            Self::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (position, item) in items.into_iter().enumerate() {
                    let inner = format!("{pointer}/{position}");
                    let (value, place) = item.value.split(text, &item.defined, &inner, refuse);
                    list.push(value);
                    places.items.push(place);
                }
                Value::Array(list)
            }
            Self::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, item) in entries {
                    let inner = join(pointer, &key.value);
                    let (value, mut place) = item.value.split(text, &item.defined, &inner, refuse);
                    place.key = spot(&key.defined);
                    #[cfg(feature = "fuzz")]
                    if value.is_null() && crate::model::planted::is_planted("yaml") {
                        place.key.column += 1;
                    }
                    map.insert(key.value, value);
                    places.items.push(place);
                }
                Value::Object(map)
            }
        };
        (value, places)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "texts are far shorter than 2^32 lines"
)]
pub(super) fn spot(at: &serde_yaml::Location) -> Spot {
    Spot {
        line: at.line() as u32,
        column: at.column() as u32,
    }
}

/// The plain word that starts at a spot.
fn word_at(text: &str, at: Spot) -> &str {
    let Some(line) = lines(text).nth((at.line as usize).saturating_sub(1)) else {
        return "";
    };
    let start = line
        .char_indices()
        .nth((at.column as usize).saturating_sub(1))
        .map_or(line.len(), |(start, _)| start);
    let rest = &line[start..];
    let end = rest
        .find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}' | '#'))
        .unwrap_or(rest.len());
    &rest[..end]
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map, a list, a string, a number, a boolean or null")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        #[cfg(feature = "fuzz")]
        if value > 1 << 63 && crate::model::planted::is_planted("json") {
            return Ok(Node::Scalar((value as f64).into()));
        }
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Huge, |small| Node::Scalar(small.into())))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(u64::try_from(value).map_or(Node::Huge, |small| Node::Scalar(small.into())))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        if value.is_finite() {
            Ok(Node::Float(value))
        } else {
            Err(E::custom("not a finite number; put it in quotes"))
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Node, E> {
        Err(E::custom("binary data is not supported; use a string"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            map.push((key, entries.next_value()?));
        }
        Ok(Node::Map(map))
    }
}
