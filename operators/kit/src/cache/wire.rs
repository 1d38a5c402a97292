//! How a watched object arrives: as text, with the one field of it that kube's `watcher` reads.
//!
//! It is decoded when its cache takes it in (`watching`), not by the watch: so one `watcher` serves all views, and what it
//! is made of is in the program once.

use crate::kind::Kind;
use kube::core::{DynamicResourceScope, ObjectMeta};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// A watched object, of which the server may be asked for the metadata only.
#[derive(Clone, Debug)]
pub(super) struct Wire<const METADATA_ONLY: bool> {
    text: Box<RawValue>,
    /// kube's `Resource` wants the whole of it; only the resourceVersion is filled in.
    meta: ObjectMeta,
}

impl<const METADATA_ONLY: bool> Wire<METADATA_ONLY> {
    /// Its JSON.
    pub(super) fn text(&self) -> &str {
        self.text.get()
    }
}

impl<'de, const METADATA_ONLY: bool> Deserialize<'de> for Wire<METADATA_ONLY> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let resource_version = resource_version(text.get());
        Ok(Self { text, meta: ObjectMeta { resource_version, ..ObjectMeta::default() } })
    }
}

/// `metadata.resourceVersion`. What comes after it in the text is not looked at.
fn resource_version(text: &str) -> Option<String> {
    let mut found = None;
    let walk = Walk { path: &[Field::Metadata, Field::ResourceVersion], found: &mut found };
    // Stopping in the middle of an object is an error of the walk, which is no news.
    let _ = walk.deserialize(&mut serde_json::Deserializer::from_str(text));
    found
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Metadata,
    ResourceVersion,
    #[serde(other)]
    Other,
}

/// Goes down a path of fields to a string.
struct Walk<'a> {
    path: &'a [Field],
    found: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            *self.found = Some(String::deserialize(deserializer)?);
            return Ok(());
        }
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let [first, rest @ ..] = self.path else { return Ok(()) };
        while let Some(field) = map.next_key::<Field>()? {
            if field == *first {
                return map.next_value_seed(Walk { path: rest, found: self.found });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

impl<const METADATA_ONLY: bool> kube::Resource for Wire<METADATA_ONLY> {
    type DynamicType = Kind;
    type Scope = DynamicResourceScope;
    fn kind(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.kind)
    }
    fn group(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.group)
    }
    fn version(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.version)
    }
    fn plural(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.plural)
    }
    fn metadata_api() -> bool {
        METADATA_ONLY
    }
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_learns_the_version_of_what_it_does_not_decode() {
        let version =
            |text: &str| serde_json::from_str::<Wire<false>>(text).map(|wire| wire.meta.resource_version);
        for (text, expected) in [
            (
                r#"{"kind":"Pod","metadata":{"name":"a","resourceVersion":"7","labels":{}},"spec":5}"#,
                Some("7"),
            ),
            (
                r#"{"spec":{"metadata":{"resourceVersion":"1"}},"metadata":{"labels":{"resourceVersion":"2"},"resourceVersion":"3"}}"#,
                Some("3"),
            ),
            (r#"{"m\u0065tadata":{"resourceVersion":"4"}}"#, Some("4")),
            (r#"{"metadata":{"name":"a"}}"#, None),
            (r#"{"metadata":{"resourceVersion":5}}"#, None),
            (r#"{"metadata":null}"#, None),
            ("5", None),
        ] {
            assert_eq!(version(text).unwrap().as_deref(), expected, "{text}");
        }
        assert!(version(r#"{"metadata":{"resourceVersion":"7"},"#).is_err(), "text that breaks off is none");
    }
}
