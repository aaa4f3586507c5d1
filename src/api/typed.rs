//! Fields that are read by their types at once, where nothing of v1 has to be told in its words: what does not fit is told
//! with the place inside the field.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::body::{Fields, Problems};
use crate::model::diag::pointer;

/// What the deserializer calls things, and what people who write JSON call them.
const WORDS: &[(&str, &str)] = &[
    ("expected string or map", "expected a string or an object"),
    ("expected u64", "expected a whole number of at least 0"),
    ("expected u32", "expected a whole number of at least 0"),
    ("expected i64", "expected a whole number"),
    ("expected a sequence", "expected a list"),
    ("expected a map", "expected an object"),
    ("expected struct ", "expected an object: "),
    ("invalid type: sequence", "invalid type: list"),
    ("invalid type: map", "invalid type: object"),
];

impl Fields {
    /// Our own fields. Unknown ones among them are errors.
    pub(crate) fn extras<T: DeserializeOwned>(&mut self, found: &mut Problems) -> Option<T> {
        let value = self.value("windlass")?;
        let at = self.at("windlass");
        read(value, &at, found)
    }

    /// A field of a type; `None` where it is absent, or does not fit, which is noted.
    pub(crate) fn typed<T: DeserializeOwned>(
        &mut self,
        found: &mut Problems,
        key: &'static str,
    ) -> Option<T> {
        let at = self.at(key);
        read(self.value(key)?, &at, found)
    }

    /// The same, of a field that must be there.
    pub(crate) fn required_typed<T: DeserializeOwned>(
        &mut self,
        found: &mut Problems,
        key: &'static str,
    ) -> Option<T> {
        let at = self.at(key);
        let Some(value) = self.value(key) else {
            found.invalid(&at, format!("\"{at}\": property \"{key}\" is missing"));
            return None;
        };
        read(value, &at, found)
    }

    /// The items of a list; those that do not fit are noted.
    pub(crate) fn each<T: DeserializeOwned>(
        &mut self,
        found: &mut Problems,
        key: &'static str,
    ) -> Vec<T> {
        let at = self.at(key);
        let items = self.list(found, key).unwrap_or_default();
        let each = items.into_iter().enumerate();
        each.filter_map(|(index, item)| read(item, &pointer(&at, &index.to_string()), found))
            .collect()
    }
}

/// Reads a value that stands at `at`, or notes where and why it cannot be read.
fn read<T: DeserializeOwned>(value: Value, at: &str, found: &mut Problems) -> Option<T> {
    match serde_path_to_error::deserialize(value) {
        Ok(read) => Some(read),
        Err(error) => {
            let at = error
                .path()
                .iter()
                .fold(at.to_owned(), |at, part| match part {
                    Segment::Seq { index } => pointer(&at, &index.to_string()),
                    Segment::Map { key } => pointer(&at, key),
                    Segment::Enum { variant } => pointer(&at, variant),
                    Segment::Unknown => at,
                });
            let why = WORDS
                .iter()
                .fold(error.inner().to_string(), |why, (from, to)| {
                    why.replace(from, to)
                });
            found.invalid(&at, format!("\"{at}\": {why}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::deployments::DeploymentCreateExtras;
    use serde_json::json;

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        for (value, at) in [
            (json!({"on_busy": 7}), "/windlass/on_busy"),
            (json!({"on_busy": "wait"}), "/windlass/on_busy"),
            (
                json!({"log_recipients": [{"recipient": "age1x"}, {"recipient": 7}]}),
                "/windlass/log_recipients/1/recipient",
            ),
            (
                json!({"operations": [{"set": {"path": 7, "value": "x"}}]}),
                "/windlass/operations/0/set/path",
            ),
        ] {
            let mut found = Problems::default();
            let read: Option<DeploymentCreateExtras> = read(value.clone(), "/windlass", &mut found);
            assert!(read.is_none());
            let said = format!("{found:?}");
            assert!(said.contains(&format!("\\\"{at}\\\": ")), "{value}: {said}");
        }
    }
}
