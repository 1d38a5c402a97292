//! Reads a few texts out of JSON without building the rest: labels and selectable fields of stored objects.
//!
//! A store with many objects is opened at the speed of this walk. Only wanted members are kept; everything else is
//! skipped by the parser.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Labels in the order of the text, and one text per wanted path (none where there is nothing).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extracted {
    pub(super) labels: Vec<(String, String)>,
    pub(super) fields: Vec<Option<String>>,
}

/// Extracts from a whole object.
///
/// # Errors
/// The bytes are no JSON object.
pub(super) fn extract(json: &[u8], paths: &[&str]) -> Result<Extracted, serde_json::Error> {
    let mut found = Extracted { labels: Vec::new(), fields: vec![None; paths.len()] };
    let wanted: Vec<(usize, &str)> = paths.iter().copied().enumerate().collect();
    let mut reader = serde_json::Deserializer::from_slice(json);
    Walk { wanted, labels: Labels::Below("metadata.labels"), found: &mut found }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(found)
}

/// Where the labels are, seen from a node.
#[derive(Clone, Copy)]
enum Labels {
    Below(&'static str),
    Here,
    Elsewhere,
}

impl Labels {
    fn step(self, key: &str) -> Self {
        match self {
            Self::Below("metadata.labels") if key == "metadata" => Self::Below("labels"),
            Self::Below("labels") if key == "labels" => Self::Here,
            _ => Self::Elsewhere,
        }
    }
}

struct Walk<'a, 'p> {
    /// Index of the field and the rest of its path; an empty rest means this node.
    wanted: Vec<(usize, &'p str)>,
    labels: Labels,
    found: &'a mut Extracted,
}

impl Walk<'_, '_> {
    fn take(self, text: impl Fn() -> String) {
        for (index, rest) in self.wanted {
            if rest.is_empty() {
                self.found.fields[index] = Some(text());
            }
        }
    }
}

fn below<'p>(wanted: &[(usize, &'p str)], key: &str) -> Vec<(usize, &'p str)> {
    let step = |&(index, path): &(usize, &'p str)| {
        let rest = path.strip_prefix(key)?;
        if rest.is_empty() { Some((index, rest)) } else { Some((index, rest.strip_prefix('.')?)) }
    };
    wanted.iter().filter_map(step).collect()
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        if matches!(self.labels, Labels::Here) {
            while let Some(label) = map.next_entry()? {
                self.found.labels.push(label);
            }
            return Ok(());
        }
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let wanted = below(&self.wanted, &key);
            let labels = self.labels.step(&key);
            if wanted.is_empty() && matches!(labels, Labels::Elsewhere) {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Walk { wanted, labels, found: &mut *self.found })?;
            }
        }
        Ok(())
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.take(|| text.to_owned());
        Ok(())
    }
    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.take(|| flag.to_string());
        Ok(())
    }
    fn visit_i64<E>(self, n: i64) -> Result<(), E> {
        self.take(|| n.to_string());
        Ok(())
    }
    fn visit_u64<E>(self, n: u64) -> Result<(), E> {
        self.take(|| n.to_string());
        Ok(())
    }
    fn visit_f64<E>(self, n: f64) -> Result<(), E> {
        self.take(|| serde_json::Number::from_f64(n).map(|n| n.to_string()).unwrap_or_default());
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_read() {
        let json = br#"{"metadata":{"annotations":{"labels":"{}"},"labels":{"b":"2","a":"1"},"name":"n"},
            "spec":{"nodeName":"x","list":[1,{"nodeName":"y"}],"on":true,"n":-3,"nothing":null},"type":"T"}"#;
        let paths =
            ["spec.nodeName", "type", "spec.on", "spec.n", "spec.nothing", "spec.list", "spec.nodeNameX"];
        let found = extract(json, &paths).expect("JSON");
        assert_eq!(found.labels, [("b".into(), "2".into()), ("a".into(), "1".into())]);
        let text = |t: &str| Some(t.to_owned());
        assert_eq!(found.fields, [text("x"), text("T"), text("true"), text("-3"), None, None, None]);
        assert!(extract(b"{\"a\":", &[]).is_err() && extract(b"{} x", &[]).is_err());
    }
}
