//! A state file that is changed: single objects are put in, taken out or set aside; all else stays as it is, byte by byte.
//!
//! Why raw values: the engines write numbers of any length, which would not survive being read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::document::address_of;

type Fields = BTreeMap<String, Box<RawValue>>;

/// A state file, format 4.
#[derive(Debug)]
pub(crate) struct StateFile {
    fields: Fields,
    blocks: Vec<Block>,
}

/// One resource block with its objects.
#[derive(Debug, Clone)]
struct Block {
    fields: Fields,
    instances: Vec<Fields>,
}

/// An object, with the fields of its block.
#[derive(Debug)]
pub(crate) struct Object {
    block: Fields,
    instance: Fields,
}

impl Object {
    /// Whether two objects of one address are the same one: by the attribute `id`, else by all attributes.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let text = |object: &Self| {
            object
                .instance
                .get("attributes")
                .map(|raw| raw.get().to_owned())
        };
        let id = |object: &Self| {
            let attributes: Fields = parsed(&object.instance, "attributes")?;
            attributes.get("id").map(|raw| raw.get().to_owned())
        };
        match (id(self), id(other)) {
            (Some(one), Some(two)) => one == two,
            _ => text(self) == text(other),
        }
    }
}

impl StateFile {
    /// Reads one; `None` when it is none, or of a format that we do not know.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields: Fields = serde_json::from_slice(bytes).ok()?;
        if parsed::<u64>(&fields, "version") != Some(4) {
            return None;
        }
        parsed::<u64>(&fields, "serial")?;
        let blocks: Vec<Fields> = match fields.remove("resources") {
            Some(raw) => serde_json::from_str(raw.get()).ok()?,
            None => Vec::new(),
        };
        let blocks = blocks.into_iter().map(|mut fields| {
            let raw = fields.remove("instances")?;
            let instances = serde_json::from_str(raw.get()).ok()?;
            Some(Block { fields, instances })
        });
        let blocks = blocks.collect::<Option<_>>()?;
        Some(Self { fields, blocks })
    }

    /// The current object at an address.
    pub(crate) fn object(&self, address: &str) -> Option<Object> {
        self.blocks.iter().find_map(|block| {
            let instance = block.instances.iter().find(|instance| {
                !is_deposed(instance) && block.address(instance).as_deref() == Some(address)
            })?;
            Some(Object {
                block: block.fields.clone(),
                instance: instance.clone(),
            })
        })
    }

    /// Removes the current object at an address, because it is gone.
    pub(crate) fn forget(&mut self, address: &str) {
        for block in &mut self.blocks {
            let Block { fields, instances } = block;
            instances.retain(|instance| {
                is_deposed(instance) || address_in(fields, instance).as_deref() != Some(address)
            });
        }
        self.blocks.retain(|block| !block.instances.is_empty());
    }

    /// Sets the current object at an address aside: the next apply removes what was replaced. `key`: eight hexadecimal
    /// digits, by which the engine tells such objects apart.
    pub(crate) fn depose(&mut self, address: &str, key: &str) {
        for block in &mut self.blocks {
            let Block { fields, instances } = block;
            for instance in instances {
                if !is_deposed(instance)
                    && address_in(fields, instance).as_deref() == Some(address)
                    && let Ok(key) = to_raw_value(key)
                {
                    instance.insert("deposed".to_owned(), key);
                }
            }
        }
    }

    /// Puts an object where none is.
    pub(crate) fn put(&mut self, object: Object) {
        let same = |block: &&mut Block| {
            ["module", "mode", "type", "name"].iter().all(|key| {
                parsed::<String>(&block.fields, key) == parsed::<String>(&object.block, key)
            })
        };
        match self.blocks.iter_mut().find(same) {
            Some(block) => block.instances.push(object.instance),
            None => self.blocks.push(Block {
                fields: object.block,
                instances: vec![object.instance],
            }),
        }
    }

    /// The file, as the successor of what was read.
    pub(crate) fn successor(&self) -> Option<Vec<u8>> {
        let mut fields = self.fields.clone();
        let serial = parsed::<u64>(&fields, "serial")? + 1;
        fields.insert("serial".to_owned(), to_raw_value(&serial).ok()?);
        let blocks: Vec<Fields> = self
            .blocks
            .iter()
            .map(|block| {
                let mut fields = block.fields.clone();
                fields.insert("instances".to_owned(), to_raw_value(&block.instances).ok()?);
                Some(fields)
            })
            .collect::<Option<_>>()?;
        fields.insert("resources".to_owned(), to_raw_value(&blocks).ok()?);
        serde_json::to_vec(&fields).ok()
    }
}

impl Block {
    fn address(&self, instance: &Fields) -> Option<String> {
        address_in(&self.fields, instance)
    }
}

/// The address of an object; `None` for data, and for what is not an object.
fn address_in(block: &Fields, instance: &Fields) -> Option<String> {
    (parsed::<String>(block, "mode")? == "managed").then_some(())?;
    Some(address_of(
        &parsed::<String>(block, "module").unwrap_or_default(),
        &parsed::<String>(block, "type")?,
        &parsed::<String>(block, "name")?,
        &parsed(instance, "index_key").unwrap_or_default(),
    ))
}

fn is_deposed(instance: &Fields) -> bool {
    parsed::<String>(instance, "deposed").is_some_and(|key| !key.is_empty())
}

fn parsed<'a, T: Deserialize<'a>>(fields: &'a Fields, key: &str) -> Option<T> {
    serde_json::from_str(fields.get(key)?.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::engine::document::State;

    const STATE: &str = r#"{"version":4,"serial":7,"lineage":"l","outputs":{"n":{"value":1.00000000000000000001,"type":"number"}},
      "resources":[
        {"mode":"data","type":"t","name":"a","provider":"p","instances":[{"attributes":{"id":"d"}}]},
        {"module":"module.x[\"k\"]","mode":"managed","type":"t","name":"a","provider":"p","instances":[
          {"index_key":0,"schema_version":1,"attributes":{"id":"1","big":123456789012345678901234567890}},
          {"index_key":1,"attributes":{"id":"2"}}]}],
      "check_results":null,"of_tomorrow":[1]}"#;

    fn written(file: &StateFile) -> String {
        String::from_utf8(file.successor().expect("written")).expect("text")
    }

    #[test]
    fn what_is_not_changed_stays_as_it_is() {
        let file = StateFile::read(STATE.as_bytes()).expect("read");
        let text = written(&file);
        for part in [
            "1.00000000000000000001",
            "123456789012345678901234567890",
            r#""of_tomorrow":[1]"#,
            r#""serial":8"#,
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn objects_are_taken_out_set_aside_and_put_in() {
        let from = StateFile::read(STATE.as_bytes()).expect("read");
        let mut file = StateFile::read(STATE.as_bytes()).expect("read");
        file.forget(r#"module.x["k"].t.a[0]"#);
        assert!(file.object(r#"module.x["k"].t.a[0]"#).is_none());
        file.depose(r#"module.x["k"].t.a[1]"#, "0123abcd");
        assert!(file.object(r#"module.x["k"].t.a[1]"#).is_none());
        file.put(from.object(r#"module.x["k"].t.a[0]"#).expect("there"));
        let text = written(&file);
        let state = State::read(text.as_bytes()).expect("valid");
        assert_eq!(state.managed, 2);
        assert!(state.holds(r#"module.x["k"].t.a[0]"#, Some(("id", "1"))));
        assert!(text.contains(r#""deposed":"0123abcd""#), "{text}");
        let mut empty =
            StateFile::read(br#"{"version":4,"serial":1,"lineage":"l"}"#).expect("read");
        empty.put(from.object(r#"module.x["k"].t.a[1]"#).expect("there"));
        let state = State::read(written(&empty).as_bytes()).expect("valid");
        assert!(state.holds(r#"module.x["k"].t.a[1]"#, Some(("id", "2"))));
    }

    #[test]
    fn other_formats_are_refused() {
        for text in ["", "{}", r#"{"version":3,"serial":1}"#, r#"{"version":4}"#] {
            assert!(StateFile::read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
