//! A stored object: its bytes and the few decoded keys that reads need.
//!
//! The bytes are the object's *tail*: canonical JSON from just after `"metadata":{"resourceVersion":"N"` to the end.
//! `kind`, `apiVersion` and `resourceVersion` (the *head*) are written when serving, so the bytes are final before the
//! revision exists, equal for every backend and served version, and shared by map, window, lists and watchers.
//! Invariant: `metadata` comes first and has at least a name, so a tail always starts with a comma.

mod extract;
mod message;

use crate::kind::{KindDef, Selectable};
use bytes::Bytes;
use proa_store::{Key, Revision};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// An immutable stored object at one revision.
#[derive(Debug)]
pub struct Entry {
    /// Storage key: `/group/resource/namespace/name`, namespace empty for cluster-scoped kinds.
    pub key: Key,
    /// The write that made this state; zero until published.
    pub revision: Revision,
    tail: Bytes,
    decoded: Arc<Decoded>,
    /// The definition's revision whose schema the object, though older, is known to fit.
    fits: AtomicU64,
}

/// A label as two ranges of the tail: label texts never need JSON escapes.
#[derive(Clone, Copy, Debug)]
struct LabelAt {
    key: (u32, u16),
    value: (u32, u16),
}

/// Separates the selectable fields' values in `Entry::fields`.
const SEPARATOR: &str = "\u{1}";

/// What has to be known of an object besides its bytes, made while its `Value` is at hand or when bytes are loaded.
#[derive(Debug)]
pub struct Decoded {
    metadata_end: u32,
    labels: Box<[LabelAt]>,
    fields: Box<str>,
    /// Length of the protobuf form, zero while nobody asked for it; in what would be padding.
    message_length: AtomicU32,
}

/// Storage key of an object.
pub fn storage_key(storage: &proa_meta::GroupResource, namespace: &str, name: &str) -> Key {
    format!("/{}/{}/{namespace}/{name}", storage.group, storage.resource).into()
}

/// The tail of `object` and what is decoded of it. `object` is complete; `kind`, `apiVersion` and the
/// resourceVersion are left out of the bytes.
pub fn encode(object: &Value, selectable: &[Selectable]) -> (Bytes, Decoded) {
    encode_as(object, selectable, None)
}

/// The same; the bytes say in which version the object is stored, where versions differ.
pub(crate) fn encode_as(
    object: &Value,
    selectable: &[Selectable],
    stored_as: Option<&str>,
) -> (Bytes, Decoded) {
    let mut out = Vec::with_capacity(1024);
    if let Some(metadata) = object.get("metadata").and_then(Value::as_object) {
        for (key, value) in metadata.iter().filter(|(key, _)| *key != "resourceVersion") {
            write_member(&mut out, key, value);
        }
    }
    out.push(b'}');
    let metadata_end = offset(out.len());
    if let Some(members) = object.as_object() {
        let rest = members.iter().filter(|(k, _)| !matches!(k.as_str(), "metadata" | "kind" | "apiVersion"));
        for (key, value) in rest {
            write_member(&mut out, key, value);
        }
    }
    if let Some(api_version) = stored_as {
        write_member(&mut out, "apiVersion", &Value::from(api_version));
    }
    out.push(b'}');
    let tail = Bytes::from(out);
    let decoded = decode_keys(&tail, metadata_end, object, selectable);
    (tail, decoded)
}

fn write_member(out: &mut Vec<u8>, key: &str, value: &Value) {
    out.push(b',');
    let written = serde_json::to_writer(&mut *out, key);
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
    out.push(b':');
    let written = serde_json::to_writer(&mut *out, value);
    debug_assert!(written.is_ok(), "a Value has string keys only");
}

/// A body is at most a few MiB, far below 4 GiB.
fn offset(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The keys of a tail that was read from the store.
///
/// # Errors
/// The bytes are not a tail: the store is damaged.
pub fn decode_tail(tail: &Bytes, selectable: &[Selectable]) -> Result<Decoded, serde_json::Error> {
    let mut json = Vec::with_capacity(tail.len() + 64);
    write_head(&mut json, "", "", Revision(0));
    json.extend_from_slice(tail);
    let paths: Vec<&str> =
        selectable.iter().flat_map(|s| [&*s.field, s.fallback.unwrap_or(&*s.field)]).collect();
    let found = extract::extract(&json, &paths)?;
    let labels = found.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    let fields = found.fields.chunks(2).zip(selectable).map(|(texts, s)| {
        let there = texts[0].as_deref().filter(|text| !text.is_empty());
        there.or(texts[1].as_deref()).unwrap_or(s.absent)
    });
    Ok(Decoded {
        metadata_end: metadata_end(tail).unwrap_or(0),
        labels: find_labels(tail, labels),
        fields: fields.collect::<Vec<_>>().join(SEPARATOR).into_boxed_str(),
        message_length: AtomicU32::new(0),
    })
}

/// Position just behind the metadata's closing brace.
fn metadata_end(tail: &[u8]) -> Option<u32> {
    let (mut depth, mut quoted, mut escaped) = (1_u32, false, false);
    for (at, &byte) in tail.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(offset(at + 1));
                }
            }
            _ => {}
        }
    }
    None
}

fn decode_keys(tail: &Bytes, metadata_end: u32, object: &Value, selectable: &[Selectable]) -> Decoded {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    let labels = find_labels(tail, labels.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())));
    let mut fields = String::new();
    for (i, field) in selectable.iter().enumerate() {
        if i > 0 {
            fields.push_str(SEPARATOR);
        }
        push_field(&mut fields, object, field);
    }
    let fields = fields.into_boxed_str();
    Decoded { metadata_end, labels, fields, message_length: AtomicU32::new(0) }
}

/// Finds the labels' texts in the tail, where they stand in the given order.
fn find_labels<'a>(tail: &Bytes, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Box<[LabelAt]> {
    const NEEDLE: &[u8] = b",\"labels\":{";
    // The first match is the metadata's own: keys are sorted, so only annotations, a deletion timestamp, finalizers
    // and the like come before, and a quote inside their texts is escaped.
    let Some(start) = tail.windows(NEEDLE.len()).position(|w| w == NEEDLE) else { return Box::default() };
    let mut at = start + NEEDLE.len();
    let mut found = Vec::with_capacity(labels.size_hint().0);
    for (key, value) in labels {
        let key_at = at + 1;
        let value_at = key_at + key.len() + 3;
        found.push(LabelAt {
            key: (offset(key_at), u16::try_from(key.len()).unwrap_or(0)),
            value: (offset(value_at), u16::try_from(value.len()).unwrap_or(0)),
        });
        at = value_at + value.len() + 2;
    }
    found.into_boxed_slice()
}

fn push_field(out: &mut String, object: &Value, field: &Selectable) {
    let there = lookup(object, &field.field);
    let is_empty = there.is_none_or(|value| value == "");
    match field.fallback.filter(|_| is_empty).map_or(there, |fallback| lookup(object, fallback)) {
        Some(Value::String(text)) => out.push_str(text),
        Some(Value::Bool(flag)) => out.push_str(if *flag { "true" } else { "false" }),
        Some(Value::Number(n)) => out.push_str(&n.to_string()),
        _ => out.push_str(field.absent),
    }
}

/// The value at a dotted path.
pub fn lookup<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.trim_start_matches('.').split('.').try_fold(object, |value, step| value.get(step))
}

fn parse_tail<T: DeserializeOwned>(
    tail: &[u8],
    api_version: &str,
    kind: &str,
    revision: Revision,
) -> Result<T, serde_json::Error> {
    let mut json = Vec::with_capacity(tail.len() + 128);
    write_head(&mut json, kind, api_version, revision);
    json.extend_from_slice(tail);
    serde_json::from_slice(&json)
}

/// `{"kind":K,"apiVersion":V,"metadata":{"resourceVersion":"N"`, without the first two when `kind` is empty.
pub fn write_head(out: &mut Vec<u8>, kind: &str, api_version: &str, revision: Revision) {
    if kind.is_empty() {
        out.extend_from_slice(b"{\"metadata\":{\"resourceVersion\":\"");
    } else {
        out.extend_from_slice(b"{\"kind\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"apiVersion\":\"");
        out.extend_from_slice(api_version.as_bytes());
        out.extend_from_slice(b"\",\"metadata\":{\"resourceVersion\":\"");
    }
    push_number(out, revision.0);
    out.push(b'"');
}

fn push_number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // A remainder of ten is below 256.
        digits[at] = b'0' + u8::try_from(n % 10).unwrap_or(0);
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

impl Entry {
    /// An entry of final bytes.
    pub fn new(key: Key, revision: Revision, tail: Bytes, decoded: Arc<Decoded>) -> Self {
        Self { key, revision, tail, decoded, fits: AtomicU64::new(0) }
    }
    /// The same object with selectable fields decoded anew (a custom kind's definition changed).
    pub(crate) fn with_fields(&self, selectable: &[Selectable]) -> Self {
        let decoded = decode_tail(&self.tail, selectable).map_or_else(|_| self.decoded.clone(), Arc::new);
        Self::new(self.key.clone(), self.revision, self.tail.clone(), decoded)
    }
    /// The same object with the revision of its write.
    pub(crate) fn published_at(&self, revision: Revision) -> Self {
        Self::new(self.key.clone(), revision, self.tail.clone(), self.decoded.clone())
    }
    /// Namespace, empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.key.split('/').nth(3).unwrap_or_default()
    }
    /// Name.
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }
    /// Where the tail says in which version it is stored: its last member, if it says so.
    fn stored_as_at(&self) -> Option<(usize, &str)> {
        const MEMBER: &[u8] = b",\"apiVersion\":\"";
        let rest = self.tail.strip_suffix(b"\"}")?;
        let at = rest.iter().rposition(|&byte| byte == b'"')? + 1;
        let start = at.checked_sub(MEMBER.len())?;
        let api_version = std::str::from_utf8(&rest[at..]).ok()?;
        (&rest[start..at] == MEMBER).then_some((start, api_version))
    }
    /// The `apiVersion` in which the object is stored, where versions differ.
    pub(crate) fn stored_as(&self) -> Option<&str> {
        self.stored_as_at().map(|(_, api_version)| api_version)
    }
    /// Whether a schema of this revision may say something else than the object shows.
    pub(crate) fn may_misfit(&self, since: Revision) -> bool {
        self.revision <= since && self.fits.load(Ordering::Relaxed) < since.0
    }
    /// The object was looked at with the schema of this revision, which says nothing else.
    pub(crate) fn set_fitting(&self, since: Revision) {
        self.fits.fetch_max(since.0, Ordering::Relaxed);
    }
    /// Canonical JSON behind the resourceVersion.
    pub fn tail(&self) -> &Bytes {
        &self.tail
    }
    /// The part of the tail that belongs to the metadata, its closing brace included.
    pub fn metadata_tail(&self) -> Bytes {
        self.tail.slice(..self.decoded.metadata_end as usize)
    }
    /// Bytes of memory that the object holds, nearly.
    pub fn size(&self) -> usize {
        self.tail.len()
            + self.key.len()
            + self.decoded.labels.len() * size_of::<LabelAt>()
            + self.decoded.fields.len()
            + 160
    }
    /// Whether its deletion was asked for. Reads the metadata alone.
    pub(crate) fn is_deleting(&self) -> bool {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            deletion_timestamp: Option<serde::de::IgnoredAny>,
        }
        let Some(members) = self.tail.get(1..self.decoded.metadata_end as usize) else { return false };
        let json = [b"{", members].concat();
        serde_json::from_slice(&json).is_ok_and(|own: Metadata| own.deletion_timestamp.is_some())
    }
    fn text(&self, (at, len): (u32, u16)) -> &str {
        let at = at as usize;
        self.tail.get(at..at + usize::from(len)).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
    /// Labels in key order.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.decoded.labels.iter().map(|l| (self.text(l.key), self.text(l.value)))
    }
    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().find(|(k, _)| *k == key).map(|(_, v)| v)
    }
    /// Value of the nth selectable field.
    pub fn field(&self, index: usize) -> &str {
        self.decoded.fields.split(SEPARATOR).nth(index).unwrap_or_default()
    }
    /// The object, complete with `apiVersion`, `kind` and resourceVersion, in the version of `def`.
    pub fn value(&self, def: &KindDef) -> Value {
        self.value_at(def, self.revision)
    }
    /// The same with another resourceVersion (a deleted object carries its deletion's).
    pub fn value_at(&self, def: &KindDef, revision: Revision) -> Value {
        let mut object = self.converted_value(def, revision);
        if let Some(members) = object.as_object_mut() {
            members.insert("apiVersion".to_owned(), Value::String(def.gvk.api_version()));
            members.insert("kind".to_owned(), Value::String(def.gvk.kind.to_string()));
        }
        object
    }
    /// The object in the version of `def`; it may lack `apiVersion` and `kind`.
    fn converted_value(&self, def: &KindDef, revision: Revision) -> Value {
        let mut object = self.stored_value(revision);
        if let Some(convert) = def.convert {
            (convert.from_storage)(&mut object);
        }
        object
    }
    /// The object in its stored form, without `apiVersion` and `kind`.
    pub fn stored_value(&self, revision: Revision) -> Value {
        // The bytes were made by `encode` or passed `decode_tail` when loaded.
        parse_tail(&self.tail, "", "", revision).unwrap_or_default()
    }
    /// Fields of the stored form, decoded into a view.
    ///
    /// # Errors
    /// The view does not fit the object.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        parse_tail(&self.tail, "", "", self.revision)
    }
    /// Writes the object as JSON with `kind` and `apiVersion`.
    pub fn write_json(&self, def: &KindDef, out: &mut Vec<u8>) {
        self.write_json_at(def, self.revision, out);
    }
    /// The same with another resourceVersion.
    pub fn write_json_at(&self, def: &KindDef, revision: Revision, out: &mut Vec<u8>) {
        if def.convert.is_some() {
            let written = serde_json::to_writer(out, &self.value_at(def, revision));
            debug_assert!(written.is_ok(), "writing to memory cannot fail");
            return;
        }
        out.reserve(self.tail.len() + 128);
        write_head(out, &def.gvk.kind, &def.gvk.api_version(), revision);
        // Also where the definition has one version again; built-in kinds never say it.
        let stored_as = if def.custom { self.stored_as_at() } else { None };
        match stored_as {
            Some((at, _)) => {
                out.extend_from_slice(&self.tail[..at]);
                out.push(b'}');
            }
            None => out.extend_from_slice(&self.tail),
        }
    }
    /// Writes the object as a list element: built-in kinds leave out `kind` and `apiVersion`.
    pub fn write_list_item(&self, def: &KindDef, out: &mut Vec<u8>) {
        if def.custom {
            self.write_json(def, out);
        } else if def.convert.is_some() {
            let mut item = self.converted_value(def, self.revision);
            if let Some(members) = item.as_object_mut() {
                members.remove("apiVersion");
            }
            let written = serde_json::to_writer(out, &item);
            debug_assert!(written.is_ok(), "writing to memory cannot fail");
        } else {
            write_head(out, "", "", self.revision);
            out.extend_from_slice(&self.tail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Conversion;
    use serde_json::json;

    fn entry(object: &Value, selectable: &[Selectable]) -> Entry {
        let (tail, decoded) = encode(object, selectable);
        Entry::new("//pods/default/web".into(), Revision(42), tail, Arc::new(decoded))
    }

    #[test]
    fn tail_keeps_everything_but_the_head() {
        let object = json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": "web", "resourceVersion": "7", "annotations": {"a": "x\",\"labels\":{\"no\":\"no"},
                         "labels": {"app": "web", "tier": "front"}},
            "spec": {"nodeName": "n1"}, "status": {}
        });
        let entry =
            entry(&object, &[Selectable::new("spec.nodeName"), Selectable::new("status.phase").or("?")]);
        assert!(entry.tail().starts_with(b",\"annotations\""));
        assert_eq!(entry.labels().collect::<Vec<_>>(), [("app", "web"), ("tier", "front")]);
        assert_eq!((entry.field(0), entry.field(1)), ("n1", "?"));
        assert_eq!((entry.namespace(), entry.name()), ("default", "web"));
        let value = entry.stored_value(Revision(42));
        assert_eq!(value["metadata"]["resourceVersion"], "42");
        assert_eq!(value["spec"], object["spec"]);
        let again = decode_tail(entry.tail(), &[Selectable::new("spec.nodeName")]).expect("own bytes");
        assert_eq!(again.metadata_end, entry.decoded.metadata_end);
        let cut = [b"{\"metadata\":{\"x\":1".as_slice(), &entry.metadata_tail(), b"}"].concat();
        let partial: Value = serde_json::from_slice(&cut).expect("metadata alone is JSON");
        assert_eq!(partial["metadata"]["labels"]["app"], "web");
    }

    #[test]
    fn only_the_metadata_say_that_an_object_is_deleted() {
        let at = "2026-01-02T03:04:05Z";
        for (object, is_deleting) in [
            (json!({"metadata": {"name": "web", "deletionTimestamp": at}}), true),
            (json!({"metadata": {"name": "web"}, "deletionTimestamp": at}), false),
            (json!({"metadata": {"name": "web", "labels": {"deletionTimestamp": "no"}}}), false),
            (json!({"metadata": {"name": "web", "deletionTimestamp": null}}), false),
        ] {
            assert_eq!(entry(&object, &[]).is_deleting(), is_deleting, "{object}");
        }
    }

    #[test]
    fn the_stored_version_is_never_shown() {
        let object = json!({"metadata": {"name": "web"}, "spec": {"text": "ä\"}"}});
        let (tail, decoded) = encode_as(&object, &[], Some("example.com/v1"));
        let entry = Entry::new("/example.com/toys/d/web".into(), Revision(42), tail, Arc::new(decoded));
        assert_eq!(entry.stored_as(), Some("example.com/v1"));
        let gvk = proa_meta::Gvk::new("example.com", "v2", "Toy");
        // Of one version by now.
        let def =
            KindDef { custom: true, ..KindDef::namespaced(gvk, "toys", proa_schema::SchemaRef::default()) };
        let mut json = Vec::new();
        entry.write_json(&def, &mut json);
        let text = String::from_utf8(json).expect("text");
        assert_eq!(text.matches("apiVersion").count(), 1, "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON")["apiVersion"], "example.com/v2");
    }

    #[test]
    fn only_items_of_custom_kinds_name_their_kind() {
        let entry = entry(&json!({"metadata": {"name": "web"}, "spec": {"old": 1}}), &[]);
        let def = |version| {
            let gvk = proa_meta::Gvk::new("", version, "Toy");
            KindDef::namespaced(gvk, "toys", proa_schema::SchemaRef::default())
        };
        let renamed = Conversion {
            to_storage: |_| {},
            from_storage: |object| {
                object["spec"] = json!({"new": object["spec"]["old"]});
                object["apiVersion"] = json!("v2");
            },
        };
        for (def, named, spec) in [
            (def("v1"), false, json!({"old": 1})),
            (KindDef { convert: Some(renamed), ..def("v2") }, false, json!({"new": 1})),
            (KindDef { custom: true, ..def("v1") }, true, json!({"old": 1})),
        ] {
            let mut json = Vec::new();
            entry.write_list_item(&def, &mut json);
            let item: Value = serde_json::from_slice(&json).expect("JSON");
            let names = ["kind", "apiVersion"].map(|name| item.get(name).is_some());
            assert_eq!((names, &item["spec"]), ([named; 2], &spec));
        }
    }

    #[test]
    fn a_field_may_have_a_second_place() {
        let fields = [Selectable::new("a.b").else_at("c").called("d"), Selectable::new("a.b").or("?")];
        for (object, values) in [
            (json!({"metadata": {}, "a": {"b": "1"}, "c": "2"}), ["1", "1"]),
            (json!({"metadata": {}, "a": {"b": ""}, "c": "2"}), ["2", ""]),
            (json!({"metadata": {}, "c": "2"}), ["2", "?"]),
            (json!({"metadata": {}}), ["", "?"]),
        ] {
            let entry = entry(&object, &fields);
            assert_eq!([entry.field(0), entry.field(1)], values, "{object}");
            let again = decode_tail(entry.tail(), &fields).expect("own bytes");
            assert_eq!(again.fields, entry.decoded.fields, "{object}");
        }
    }

    #[test]
    fn numbers_are_written_in_full() {
        for n in [0, 7, 10, 18_446_744_073_709_551_615] {
            let mut out = Vec::new();
            push_number(&mut out, n);
            assert_eq!(String::from_utf8(out).expect("digits"), n.to_string());
        }
    }
}
