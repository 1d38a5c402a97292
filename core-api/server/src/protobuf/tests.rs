//! Messages written by hand.

use super::*;
use serde_json::json;

struct Types;

fn field(name: &'static str, tag: u32, shape: WireShape) -> WireField {
    WireField { name: Some(name), tag, shape, pointer: false }
}
fn pointer(name: &'static str, tag: u32, shape: WireShape) -> WireField {
    WireField { pointer: true, ..field(name, tag, shape) }
}
fn list(shape: WireShape) -> WireShape {
    WireShape::List(Box::new(shape))
}
fn map(shape: WireShape) -> WireShape {
    WireShape::Map(Box::new(shape))
}

impl WireTypes for Types {
    fn fields(&self, type_name: &str) -> Option<Vec<WireField>> {
        use WireShape::*;
        Some(match type_name {
            "Toy" => vec![
                field("metadata", 1, Type("Meta")),
                WireField { name: None, ..field("", 2, Type("Source")) },
                field("flags", 3, list(Boolean)),
                field("data", 4, map(Bytes)),
                pointer("count", 5, Integer),
                field("size", 6, Quantity),
                field("port", 7, IntOrString),
                field("extra", 8, map(Wrapped(Box::new(list(Text))))),
                field("ratio", 9, Double),
                field("raw", 10, Json),
                field("grace", 11, Duration),
                field("numbers", 12, list(Integer)),
                field("either", 13, TypeOrFlag("Toy")),
                field("plain", 14, Integer),
            ],
            "Meta" => vec![
                field("name", 1, Text),
                field("creationTimestamp", 2, Time),
                field("renewTime", 3, MicroTime),
                field("labels", 4, map(Text)),
            ],
            "Source" => vec![field("path", 1, Text)],
            _ => return None,
        })
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
fn number(tag: u64, value: u64) -> Vec<u8> {
    [varint(tag << 3), varint(value)].concat()
}
fn bytes(tag: u64, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint(tag << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}
fn body(kind: &str, object: &[u8]) -> Vec<u8> {
    let meta = [bytes(1, "toy/v1"), bytes(2, kind)].concat();
    [b"k8s\0".to_vec(), bytes(1, meta), bytes(2, object)].concat()
}
fn toy(object: &[u8]) -> ApiResult<Value> {
    decode(&Types, "Toy", "Toy", &body("Toy", object))
}

#[test]
fn every_shape_is_as_in_json() {
    let time = [number(1, 1_700_000_000), number(2, 123_456_789)].concat();
    let meta = [
        bytes(1, "a"),
        bytes(2, &time),
        bytes(3, &time),
        bytes(4, [bytes(1, "k"), bytes(2, "v")].concat()),
        bytes(4, bytes(1, "empty")),
    ];
    let object = [
        bytes(1, meta.concat()),
        bytes(2, bytes(1, "/x")),
        number(3, 1),
        number(3, 0),
        bytes(4, [bytes(1, "b"), bytes(2, [1, 2, 3])].concat()),
        number(5, 0),
        bytes(6, bytes(1, "100m")),
        bytes(7, [number(1, 1), number(2, 0), bytes(3, "http")].concat()),
        bytes(8, [bytes(1, "s"), bytes(2, [bytes(1, "x"), bytes(1, "")].concat())].concat()),
        [varint(9 << 3 | 1), 1.5_f64.to_bits().to_le_bytes().to_vec()].concat(),
        bytes(10, bytes(1, r#"{"j":[1]}"#)),
        bytes(11, number(1, 90_000_000_000)),
        bytes(12, [varint(7), varint(300), varint((-2_i64).cast_unsigned())].concat()),
        bytes(13, [number(1, 1)].concat()),
        number(14, 0),
        bytes(99, "unknown"),
    ];
    assert_eq!(
        toy(&object.concat()).unwrap(),
        json!({
            "kind": "Toy", "apiVersion": "toy/v1",
            "metadata": {
                "name": "a", "creationTimestamp": "2023-11-14T22:13:20Z",
                "renewTime": "2023-11-14T22:13:20.123456Z", "labels": {"k": "v", "empty": ""},
            },
            "path": "/x", "flags": [true, false], "data": {"b": "AQID"}, "count": 0, "size": "100m",
            "port": "http", "extra": {"s": ["x", ""]}, "ratio": 1.5, "raw": {"j": [1]}, "grace": "1m30s",
            "numbers": [7, 300, -2], "either": true,
        })
    );
}

#[test]
fn zero_values_are_left_out_and_pointers_kept() {
    let object = [bytes(1, [bytes(1, ""), bytes(2, "")].concat()), number(5, 0), number(14, 0)].concat();
    assert_eq!(toy(&object).unwrap(), json!({"kind": "Toy", "apiVersion": "toy/v1", "count": 0}));
}

#[test]
fn another_kind_is_not_read_with_these_fields() {
    let value = decode(&Types, "Toy", "Toy", &body("Pod", &bytes(5, "garbage"))).unwrap();
    assert_eq!(value, json!({"kind": "Pod", "apiVersion": "toy/v1"}));
}

#[test]
fn malformed_bytes_are_refused() {
    let deep = (0..200).fold(Vec::new(), |inner, _| bytes(13, bytes(2, inner)));
    for body in [
        b"".to_vec(),
        b"{}".to_vec(),
        b"k8s\0\xff".to_vec(),
        body("Toy", &[0x0a, 0x7f]),
        body("Toy", &number(1, 1)),
        body("Toy", &bytes(5, "x")),
        body("Toy", &[0xff; 12]),
        body("Toy", &bytes(1, bytes(1, [0xff, 0xfe]))),
        body("Toy", &deep),
        body("Toy", &[0x0b]),
    ] {
        let error = decode(&Types, "Toy", "Toy", &body).unwrap_err();
        assert_eq!(error.code(), 400, "{body:?}");
    }
}
