//! Every type with a kind reads back from its protobuf form as the JSON that it was written from.

use proa_crds::facts;
use proa_schema::{
    Schema, Shape,
    canonical::canonical,
    protobuf::{self, Wire},
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Values of a schema, the same ones for the same seed.
struct Samples {
    state: u64,
    /// How many more values there may be.
    room: usize,
}

impl Samples {
    const fn new(seed: u64) -> Self {
        Self { state: seed, room: 400 }
    }

    /// `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn of<T: Clone>(&mut self, values: &[T]) -> T {
        let at = usize::try_from(self.next() % values.len() as u64).expect("less than a length");
        values[at].clone()
    }

    fn value(&mut self, schema: &Schema, depth: usize) -> Value {
        self.room = self.room.saturating_sub(1);
        match &schema.shape {
            Shape::Any => self.any(&schema.wire, depth),
            Shape::Boolean => self.of(&[true, false]).into(),
            Shape::Integer { bits: 32 } => self.of(&[0, 1, -1, 80, i32::MAX, i32::MIN]).into(),
            Shape::Integer { .. } => self.of(&[0, 1, -1, 3600, i64::MAX, i64::MIN]).into(),
            Shape::Number => self.of(&[json!(0), json!(-3), json!(0.25), json!(1.5e300)]),
            Shape::String => self.of(&["", "a", "nginx:1", "ä€𝄞", "two words\n"]).into(),
            Shape::Bytes => self.of(&["AA==", "AP/+", "aGVsbG8="]).into(),
            Shape::Time => {
                self.of(&["2026-01-02T03:04:05Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:01Z"]).into()
            }
            Shape::MicroTime => {
                self.of(&["2026-01-02T03:04:05.000006Z", "1969-12-31T23:59:59.999999Z"]).into()
            }
            Shape::Duration => self.of(&["0s", "1h0m0s", "-1.5s", "1µs"]).into(),
            Shape::Quantity => self.of(&["0", "1", "100m", "1Gi", "-3", "1500u"]).into(),
            Shape::IntOrString => self.of(&[json!(0), json!(-8080), json!(""), json!("25%")]),
            Shape::Object(object) => {
                let message = object.message.as_ref().expect("a built-in type has a message");
                let mut map = Map::new();
                for name in message.names() {
                    let chance = if depth < 3 { 8 } else { 3 };
                    if depth < 14 && self.room > 0 && self.next() % 10 < chance {
                        map.insert(name.to_owned(), self.value(&object.fields[name].schema, depth + 1));
                    }
                }
                Value::Object(map)
            }
            Shape::Map(map) => {
                let entries = 1 + self.next() % 2;
                let entry =
                    |i| (["", "key"][usize::from(i == 1)].to_owned(), self.value(&map.values, depth + 1));
                Value::Object((0..entries).map(entry).collect())
            }
            Shape::List(list) => {
                let items = 1 + self.next() % 2;
                (0..items).map(|_| self.value(&list.items, depth + 1)).collect()
            }
        }
    }

    fn any(&mut self, wire: &Wire, depth: usize) -> Value {
        let whole = self.next().is_multiple_of(2);
        match wire {
            // Such a field would have no protobuf form; its text does not read back, so that the test fails.
            Wire::Plain | Wire::Wrapped => json!("no protobuf form"),
            Wire::Raw => self.of(&[json!({"a": [1, null, "x"], "b": {"c": true}}), json!({})]),
            Wire::SchemaOrBool(_) if whole => self.of(&[json!(true), json!(false)]),
            Wire::SchemaOrArray(schema) if whole => json!([self.canonical(schema, depth)]),
            Wire::SchemaOrStrings(_) if whole => json!(["a", ""]),
            Wire::SchemaOrBool(schema) | Wire::SchemaOrArray(schema) | Wire::SchemaOrStrings(schema) => {
                self.canonical(schema, depth)
            }
        }
    }

    /// The canonical form does not reach below a node of any shape.
    fn canonical(&mut self, schema: &Schema, depth: usize) -> Value {
        let mut value = self.value(schema, depth + 1);
        canonical(schema, &mut value);
        value
    }
}

/// Types that are served as kinds and have messages.
fn kinds() -> Vec<&'static str> {
    let named = facts::types().filter(|of| of.kinds().next().is_some()).map(|of| of.name);
    named.filter(|name| protobuf::is_message(facts::schema(name).get())).collect()
}

fn sample(name: &str, seed: u64) -> Value {
    let schema = facts::schema(name);
    let mut value = Samples::new(seed).value(&schema, 0);
    canonical(&schema, &mut value);
    value
}

fn encoded(name: &str, value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    protobuf::encode(&facts::schema(name), value, &mut bytes);
    bytes
}

fn decoded(name: &str, bytes: &[u8]) -> Result<Value, protobuf::DecodeError> {
    let schema = facts::schema(name);
    let mut value = protobuf::decode(&schema, bytes)?;
    canonical(&schema, &mut value);
    Ok(value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_kind_reads_back(seed: u64) {
        for name in kinds() {
            let value = sample(name, seed);
            prop_assert_eq!(decoded(name, &encoded(name, &value)).unwrap(), value, "{}", name);
        }
    }

    /// What is stored is transcoded without a tree of values.
    #[test]
    fn text_and_values_give_the_same_message(seed: u64) {
        for name in kinds() {
            let value = sample(name, seed);
            let mut bytes = Vec::new();
            let json = serde_json::to_vec(&value).unwrap();
            protobuf::encode_json(&facts::schema(name), &json, &mut bytes).unwrap();
            prop_assert_eq!(bytes, encoded(name, &value), "{}", name);
        }
    }

    #[test]
    fn damaged_messages_are_read_or_refused(seed: u64, at: prop::sample::Index, flip: u8) {
        for name in ["io.k8s.api.core.v1.Pod", "io.k8s.api.core.v1.Secret", "io.k8s.api.apps.v1.Deployment"] {
            let mut bytes = encoded(name, &sample(name, seed));
            let at = at.index(bytes.len().max(1));
            let _ = decoded(name, &bytes[..at.min(bytes.len())]);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= flip;
                if let Ok(value) = decoded(name, &bytes) {
                    prop_assert_eq!(decoded(name, &encoded(name, &value)).unwrap(), value);
                }
            }
        }
    }
}

#[test]
fn the_catalogue_has_messages() {
    assert!(kinds().len() > 100, "{}", kinds().len());
    for def in proa_crds::catalogue() {
        assert!(protobuf::is_message(def.schema.get()), "{}", def.gvk);
        for subresource in &def.subresources {
            assert!(protobuf::is_message(subresource.schema.get()), "{}/{}", def.gvk, subresource.name);
        }
    }
}

/// Structs that Go embeds are messages of their own.
#[test]
fn embedded_structs_are_nested() {
    const VOLUME: &str = "io.k8s.api.core.v1.Volume";
    let value = json!({"name": "a", "hostPath": {"path": "/x"}});
    let bytes = encoded(VOLUME, &value);
    assert_eq!(bytes, b"\x12\x06\x0a\x04\x0a\x02/x\x0a\x01a");
    assert_eq!(decoded(VOLUME, &bytes).unwrap(), value);
}

/// Lists are written with the numbers that every list has.
#[test]
fn lists_have_their_metadata_and_items_where_all_have_them() {
    for def in proa_crds::catalogue() {
        let name = facts::type_of(&def.gvk.group, &def.gvk.version, &def.list_kind).map(|of| of.name);
        // Kinds that are only answers have no list.
        let Some(name) = name else { continue };
        let item = json!({"metadata": {"name": "a"}});
        let bytes =
            encoded(name, &json!({"metadata": {"continue": "x"}, "items": [item.clone(), item.clone()]}));
        let mut written = Vec::new();
        protobuf::write_list_field(protobuf::ListField::Metadata, &mut written, |out| {
            let meta = facts::schema("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
            protobuf::encode(&meta, &json!({"continue": "x"}), out);
        });
        for _ in 0..2 {
            let message = |out: &mut Vec<u8>| protobuf::encode(&def.schema, &item, out);
            protobuf::write_list_field(protobuf::ListField::Items, &mut written, message);
        }
        // Fields are written in the order in which JSON has them.
        let (items, metadata) =
            bytes.split_at(bytes.len() - written.iter().position(|b| *b == 0x12).unwrap());
        assert_eq!([metadata, items].concat(), written, "{name}");
    }
}

/// Documents that are no kinds: errors, metadata, discovery.
#[test]
fn documents_read_back() {
    const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
    for (name, value) in [
        (
            format!("{META}Status"),
            json!({
                "metadata": {}, "status": "Failure", "code": 404, "reason": "NotFound", "message": "ä",
                "details": {"name": "a", "causes": [{"field": "spec.x", "reason": "FieldValueInvalid"}]},
            }),
        ),
        (
            format!("{META}APIVersions"),
            json!({"versions": ["v1"], "serverAddressByClientCIDRs": [
                {"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"},
            ]}),
        ),
        (
            format!("{META}APIGroupList"),
            json!({"groups": [{
                "name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
                "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"},
            }]}),
        ),
        (
            format!("{META}APIResourceList"),
            json!({"groupVersion": "v1", "resources": [{
                "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "verbs": ["get", "list"],
                "shortNames": ["po"],
            }]}),
        ),
        (format!("{META}PartialObjectMetadata"), json!({"metadata": {"name": "a", "labels": {"x": "y"}}})),
        (
            "io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList".to_owned(),
            json!({"metadata": {}, "items": [{
                "metadata": {"name": "apps", "creationTimestamp": null},
                "versions": [{"version": "v1", "freshness": "Current", "resources": [{
                    "resource": "deployments", "scope": "Namespaced", "singularResource": "deployment",
                    "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"}, "verbs": ["get"],
                    "subresources": [{"subresource": "status", "verbs": ["get"]}],
                }]}],
            }]}),
        ),
    ] {
        let mut canonical_value = value;
        canonical(&facts::schema(&name), &mut canonical_value);
        assert_eq!(decoded(&name, &encoded(&name, &canonical_value)).unwrap(), canonical_value, "{name}");
    }
}
