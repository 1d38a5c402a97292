use super::*;
use crate::{
    fixtures::{any_value, field, list, object, texts},
    schema::{Field, ListShape, ListType, MapShape, Omit, Schema, SchemaRef, Shape},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A type with every shape and framing.
fn thing() -> Schema {
    let wrapped = Schema { wire: Wire::Wrapped, ..Schema::of(texts_list()) };
    let extra = Shape::Map(MapShape { values: SchemaRef::inline(wrapped), atomic: false });
    let raw = Field {
        omit: Omit::Null,
        ..Field::new(SchemaRef::inline(Schema { wire: Wire::Raw, ..Schema::default() }))
    };
    let data = Shape::Map(MapShape { values: SchemaRef::inline(Schema::of(Shape::Bytes)), atomic: false });
    let numbers = list(SchemaRef::inline(Schema::of(Shape::Integer { bits: 64 })));
    let inner =
        numbered(object([("name", field(Shape::String, Omit::Never))]), vec![(1, Part::Field("name"))]);
    let shape = object([
        ("flag", field(Shape::Boolean, Omit::Empty)),
        ("small", field(Shape::Integer { bits: 32 }, Omit::Null)),
        ("rate", field(Shape::Number, Omit::Null)),
        ("name", field(Shape::String, Omit::Empty)),
        ("bytes", field(Shape::Bytes, Omit::Empty)),
        ("time", field(Shape::Time, Omit::Zero)),
        ("micro", field(Shape::MicroTime, Omit::Null)),
        ("wait", field(Shape::Duration, Omit::Null)),
        ("size", field(Shape::Quantity, Omit::Null)),
        ("port", field(Shape::IntOrString, Omit::Null)),
        ("labels", field(texts(), Omit::Empty)),
        ("extra", field(extra, Omit::Empty)),
        ("raw", raw),
        ("data", field(data, Omit::Empty)),
        ("numbers", field(numbers, Omit::Empty)),
        ("inner", field(inner.shape, Omit::Null)),
        ("hostPath", field(Shape::String, Omit::Null)),
    ]);
    let names = [
        "flag", "small", "rate", "name", "bytes", "time", "micro", "wait", "size", "port", "labels", "extra",
        "raw", "data", "numbers", "inner",
    ];
    let mut parts: Vec<_> = (1..).zip(names.map(Part::Field)).collect();
    parts.push((17, Part::Inlined(Message::new(vec![(2, Part::Field("hostPath"))]))));
    numbered(shape, parts)
}

fn numbered(mut shape: Shape, parts: Vec<(u32, Part)>) -> Schema {
    if let Shape::Object(object) = &mut shape {
        object.message = Some(Message::new(parts));
    }
    Schema::of(shape)
}

fn texts_list() -> Shape {
    Shape::List(ListShape {
        items: SchemaRef::inline(Schema::of(Shape::String)),
        list_type: ListType::Atomic,
    })
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&thing(), value, &mut out);
    out
}

fn decoded(bytes: &[u8]) -> Result<Value, DecodeError> {
    decode(&thing(), bytes)
}

#[test]
fn every_shape_reads_back() {
    for value in [
        json!({}),
        json!({"flag": true, "small": -1, "rate": 0.5, "name": "ä"}),
        json!({"small": 0, "rate": 3, "hostPath": ""}),
        json!({"rate": -1.0e300}),
        json!({"bytes": "AP8=", "data": {"a": "", "b": "aGk="}}),
        json!({"time": "2026-01-02T03:04:05Z", "micro": "1969-12-31T23:59:59.250000Z", "wait": "-1h0m1s"}),
        json!({"time": "1970-01-01T00:00:00Z"}),
        json!({"size": "1500m", "port": 0, "labels": {"": "", "a": "b"}}),
        json!({"port": "http", "extra": {"k": ["a", ""], "e": []}, "numbers": [0, -1, i64::MAX]}),
        json!({"raw": {"a": [1, null, {"b": "c"}]}, "inner": {"name": ""}}),
        json!({"hostPath": "x".repeat(20_000)}),
    ] {
        assert_eq!(decoded(&encoded(&value)).unwrap(), value);
    }
}

/// The bytes as the protobuf documents say them.
#[test]
fn bytes_of_known_values() {
    for (value, bytes) in [
        (json!({"flag": true}), b"\x08\x01".to_vec()),
        (json!({"small": -1}), b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec()),
        (json!({"rate": 1.5}), b"\x19\0\0\0\0\0\0\xf8\x3f".to_vec()),
        (json!({"name": "ab"}), b"\x22\x02ab".to_vec()),
        (json!({"time": "1970-01-01T00:00:01Z"}), b"\x32\x04\x08\x01\x10\0".to_vec()),
        (json!({"wait": "1us"}), b"\x42\x03\x08\xe8\x07".to_vec()),
        (json!({"size": "1Gi"}), b"\x4a\x05\x0a\x031Gi".to_vec()),
        (json!({"port": "a"}), b"\x52\x05\x08\x01\x1a\x01a".to_vec()),
        (json!({"labels": {"a": "b"}}), b"\x5a\x06\x0a\x01a\x12\x01b".to_vec()),
        (json!({"extra": {"a": ["b"]}}), b"\x62\x08\x0a\x01a\x12\x03\x0a\x01b".to_vec()),
        (json!({"raw": [1]}), b"\x6a\x05\x0a\x03[1]".to_vec()),
        (json!({"numbers": [1, 2]}), b"\x78\x01\x78\x02".to_vec()),
        (json!({"hostPath": "a"}), b"\x8a\x01\x03\x12\x01a".to_vec()),
    ] {
        assert_eq!(encoded(&value), bytes, "{value}");
    }
}

#[test]
fn what_go_writes_and_json_leaves_out() {
    for (bytes, value) in [
        (b"\x08\0\x22\0\x32\0".to_vec(), json!({})),
        (b"\x42\0\x4a\0\x52\0".to_vec(), json!({"wait": "0s", "size": "0", "port": 0})),
        (b"\x7a\x03\x01\x02\x03".to_vec(), json!({"numbers": [1, 2, 3]})),
        (b"\x5a\0\x72\0".to_vec(), json!({"labels": {"": ""}, "data": {"": ""}})),
        // A field comes twice: the last scalar stands, messages and lists are merged.
        (b"\x22\x01a\x22\x01b".to_vec(), json!({"name": "b"})),
        (b"\x22\x01a\x22\0".to_vec(), json!({})),
        (b"\x82\x01\x03\x0a\x01a\x82\x01\0".to_vec(), json!({"inner": {"name": "a"}})),
        // Unknown fields of every wire type.
        (b"\xf8\x07\x01\xfa\x07\x01x\xf9\x07\0\0\0\0\0\0\0\0\xfd\x07\0\0\0\0".to_vec(), json!({})),
    ] {
        assert_eq!(decoded(&bytes).unwrap(), value, "{bytes:?}");
    }
}

#[test]
fn broken_messages_are_refused() {
    for (bytes, why) in [
        (b"\x08".to_vec(), "unexpected EOF"),
        (b"\x22\x05ab".to_vec(), "unexpected EOF"),
        (b"\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec(), "unexpected EOF"),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec(), "proto: integer overflow"),
        (b"\x00\x01".to_vec(), "proto: illegal tag 0"),
        (b"\x0b\x0c".to_vec(), "proto: illegal wireType 3"),
        (b"\x20\x01".to_vec(), "proto: wrong wireType = 0"),
        (b"\x22\x01\xff".to_vec(), "proto: invalid UTF-8 in a string field"),
        (b"\x4a\x03\x0a\x01x".to_vec(), "quantities must match"),
        (b"\x52\x02\x08\x07".to_vec(), "impossible IntOrString.Type"),
        (b"\x32\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x10".to_vec(), "unexpected EOF"),
        (b"\x32\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(), "time outside"),
        (b"\x19\0\0\0\0\0\0\xf8\x7f".to_vec(), "unsupported value: NaN"),
        (b"\x6a\x03\x0a\x01{".to_vec(), "unexpected end of JSON input"),
    ] {
        let error = decoded(&bytes).unwrap_err().to_string();
        assert!(error.contains(why), "{bytes:?}: {error}");
    }
}

#[test]
fn nesting_is_bounded() {
    fn load(_: &str) -> Schema {
        let own = Field {
            omit: Omit::Null,
            ..Field::new(SchemaRef::Lazy(std::sync::Arc::new(crate::Lazy::new("", load))))
        };
        numbered(object([("not", own)]), vec![(1, Part::Field("not"))])
    }
    let nested = |depth: usize| {
        let mut bytes = Vec::new();
        for _ in 0..depth {
            let mut outer = Vec::new();
            super::writer::bytes_field(1, &bytes, &mut outer);
            bytes = outer;
        }
        bytes
    };
    assert!(decode(&load(""), &nested(MAX_DEPTH)).is_ok());
    let error = decode(&load(""), &nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(error.to_string(), "proto: exceeded max depth");
    assert!(decode(&load(""), &nested(20_000)).is_err());
}

#[test]
fn envelopes_name_the_type() {
    let value = json!({"name": "a"});
    let mut body = Vec::new();
    write_envelope("apps/v1", "Thing", &mut body, |out| encode(&thing(), &value, out));
    assert_eq!(body, b"k8s\0\x0a\x10\x0a\x07apps/v1\x12\x05Thing\x12\x03\x22\x01a\x1a\0\x22\0");
    let envelope = Envelope::open(&body).unwrap();
    assert_eq!(envelope.head(), json!({"apiVersion": "apps/v1", "kind": "Thing"}));
    let object = json!({"apiVersion": "apps/v1", "kind": "Thing", "name": "a"});
    assert_eq!(envelope.object(&thing()).unwrap(), object);
    for (body, why) in [
        (&b""[..], "empty data"),
        (b"k8s\0", "empty body"),
        (b"{}", "expected prefix"),
        (b"k8s\0\x0a", "EOF"),
    ] {
        assert!(Envelope::open(body).unwrap_err().to_string().contains(why));
    }
}

#[test]
fn a_list_is_written_from_lengths() {
    let message = |out: &mut Vec<u8>| {
        for (field, part) in [(ListField::Metadata, &[1_u8; 3][..]), (ListField::Items, &[2; 200])] {
            begin_list_field(field, part.len(), out);
            out.extend_from_slice(part);
        }
    };
    let mut whole = Vec::new();
    write_envelope("v1", "PodList", &mut whole, message);
    let mut pieces = Vec::new();
    begin_envelope("v1", "PodList", list_field_length(3) + list_field_length(200), &mut pieces);
    message(&mut pieces);
    end_envelope(&mut pieces);
    assert_eq!(pieces, whole);
}

/// Fields of an inlined message need not come one after the other.
#[test]
fn parts_of_inlined_messages_are_merged() {
    let text = || field(Shape::String, Omit::Empty);
    let shape = object([("a", text()), ("b", text()), ("c", text()), ("d", text())]);
    let inner = Message::new(vec![(1, Part::Field("a")), (2, Part::Field("c")), (3, Part::Field("d"))]);
    let schema = numbered(shape, vec![(1, Part::Inlined(inner)), (2, Part::Field("b"))]);
    let value = json!({"a": "1", "b": "2", "c": "3", "d": "4"});
    let mut out = Vec::new();
    encode(&schema, &value, &mut out);
    assert_eq!(out, b"\x0a\x03\x0a\x011\x12\x012\x0a\x06\x12\x013\x1a\x014");
    assert_eq!(decode(&schema, &out).unwrap(), value);
}

#[test]
fn frames_carry_their_length() {
    let mut out = b"before".to_vec();
    write_frame("ADDED", &mut out, |out| out.extend_from_slice(b"object"));
    assert_eq!(&out[6..], b"\0\0\0\x11\x0a\x05ADDED\x12\x08\x0a\x06object");
}

/// Bodies that were found or thought of to break readers of protobuf: `ok_` ones are read, others refused.
#[test]
fn corpus() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/protobuf");
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        let result = Envelope::open(&bytes).and_then(|envelope| envelope.object(&thing()));
        assert_eq!(result.is_ok(), name.starts_with("ok_"), "{name}: {result:?}");
        read += 1;
    }
    assert!(read >= 10, "{read} files");
}

#[test]
fn a_map_entry_without_a_value_reads_as_an_empty_one() {
    let value = decoded(&[0x62, 0x00]).unwrap();
    assert_eq!(value, json!({"extra": {"": []}}));
    assert_eq!(decoded(&encoded(&value)).unwrap(), value);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decoded(&bytes);
        let _ = Envelope::open(&bytes);
        let enveloped: Vec<u8> = b"k8s\0".iter().chain(&bytes).copied().collect();
        let _ = Envelope::open(&enveloped).and_then(|e| e.object(&thing()));
    }

    /// Fields that exist, with contents that fit more often than not.
    #[test]
    fn likely_bytes_read_back_once_read(fields in prop::collection::vec((1_u32..19, 0_u64..6, "[ -~]{0,4}"), 0..12)) {
        let mut bytes = Vec::new();
        for (number, kind, text) in fields {
            let kind = if kind > 2 { 2 } else { kind };
            bytes.extend_from_slice(&[(number as u8) << 3 & 0x7f | kind as u8]);
            match kind {
                0 => bytes.push(text.len() as u8),
                1 => bytes.extend_from_slice(&(text.len() as f64).to_le_bytes()),
                _ => {
                    bytes.push(text.len() as u8);
                    bytes.extend_from_slice(text.as_bytes());
                }
            }
        }
        if let Ok(value) = decoded(&bytes) {
            prop_assert_eq!(decoded(&encoded(&value)).unwrap(), value);
        }
    }

    #[test]
    fn truncations_do_not_panic(at in 0_usize..200, flip in any::<u8>()) {
        let value = json!({
            "flag": true, "name": "abc", "time": "2026-01-02T03:04:05Z", "size": "1Gi", "port": "http",
            "extra": {"k": ["a", "b"]}, "raw": {"a": [1]}, "numbers": [1, 2], "inner": {"name": "x"},
        });
        let mut bytes = encoded(&value);
        let _ = decoded(&bytes[..at.min(bytes.len())]);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = flip;
            let _ = decoded(&bytes);
        }
    }

    /// What is not canonical is left out, never a panic; text is read as the value that it says.
    #[test]
    fn any_value_can_be_encoded(value in any_value()) {
        let _ = encoded(&value);
        let inner = json!({"labels": value, "extra": value, "raw": value, "inner": value, "name": value});
        let mut out = Vec::new();
        encode_json(&thing(), &serde_json::to_vec(&inner).unwrap(), &mut out).unwrap();
        prop_assert_eq!(out, encoded(&inner));
        let wrapped = json!({
            "flag": value, "time": value, "size": value, "port": value, "extra": value, "raw": value,
            "numbers": value, "inner": value, "data": value, "labels": value, "wait": value, "rate": value,
        });
        let _ = encoded(&wrapped);
    }
}
