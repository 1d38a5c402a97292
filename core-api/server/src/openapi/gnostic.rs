//! The version 2 document in protobuf: the form that Go clients without version 3 ask for.
//!
//! Written from the JSON document, with what clients read of it: paths with parameters, answers and extensions, and
//! definitions. Upstream: gnostic-models `openapiv2/OpenAPIv2.proto`.

use serde_json::{Map, Value};
use std::io;

/// A message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
    fn bytes(&mut self, tag: u64, bytes: &[u8]) {
        self.varint(tag << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
    fn message(&mut self, tag: u64, message: &Message) {
        self.bytes(tag, &message.0);
    }
    fn text(&mut self, tag: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.bytes(tag, text.as_bytes());
        }
    }
    fn texts(&mut self, tag: u64, value: &Value) {
        for item in value.as_array().into_iter().flatten() {
            self.text(tag, item);
        }
    }
    fn flag(&mut self, tag: u64, value: &Value) {
        if value == &Value::Bool(true) {
            self.varint(tag << 3);
            self.varint(1);
        }
    }
    /// `x-...` members as text.
    fn extensions(&mut self, tag: u64, of: &Value) {
        for (name, value) in members(of).filter(|(name, _)| name.starts_with("x-")) {
            self.named(tag, name, &any(value));
        }
    }
    fn named(&mut self, tag: u64, name: &str, value: &Message) {
        let mut named = Message::default();
        named.bytes(1, name.as_bytes());
        named.message(2, value);
        self.message(tag, &named);
    }
}

fn members(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of.as_object().into_iter().flat_map(Map::iter)
}

/// JSON is YAML.
fn any(value: &Value) -> Message {
    let mut message = Message::default();
    message.bytes(2, value.to_string().as_bytes());
    message
}

/// The document. Parts of one message may come one after the other: readers merge them.
pub(super) fn write(
    out: &mut impl io::Write,
    info_json: &Value,
    each_path: impl FnOnce(&mut super::Emit<'_>) -> io::Result<()>,
    each_definition: impl FnOnce(&mut super::Emit<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut start = Message::default();
    start.bytes(1, b"2.0");
    let mut info = Message::default();
    info.text(1, &info_json["title"]);
    info.text(2, &info_json["version"]);
    start.message(2, &info);
    out.write_all(&start.0)?;
    each_path(&mut |path, item| {
        let mut paths = Message::default();
        paths.named(2, path, &path_item(item));
        write_part(out, 8, &paths)
    })?;
    each_definition(&mut |name, definition| {
        let mut definitions = Message::default();
        definitions.named(1, name, &schema(definition));
        write_part(out, 9, &definitions)
    })
}

fn write_part(out: &mut impl io::Write, tag: u64, part: &Message) -> io::Result<()> {
    let mut whole = Message::default();
    whole.message(tag, part);
    out.write_all(&whole.0)
}

fn path_item(item: &Value) -> Message {
    let mut out = Message::default();
    for (tag, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(found) = item.get(method) {
            out.message(tag, &operation(found));
        }
    }
    parameters(&mut out, 9, &item["parameters"]);
    out
}

fn operation(operation: &Value) -> Message {
    let mut out = Message::default();
    out.texts(1, &operation["tags"]);
    out.text(3, &operation["description"]);
    out.text(5, &operation["operationId"]);
    out.texts(6, &operation["produces"]);
    out.texts(7, &operation["consumes"]);
    parameters(&mut out, 8, &operation["parameters"]);
    let mut responses = Message::default();
    for (code, answer) in members(&operation["responses"]) {
        let mut response = Message::default();
        response.text(1, &answer["description"]);
        if let Some(of) = answer.get("schema") {
            let mut item = Message::default();
            item.message(1, &schema(of));
            response.message(2, &item);
        }
        let mut value = Message::default();
        value.message(1, &response);
        responses.named(1, code, &value);
    }
    out.message(9, &responses);
    out.texts(10, &operation["schemes"]);
    out.extensions(13, operation);
    out
}

fn parameters(out: &mut Message, tag: u64, list: &Value) {
    for parameter in list.as_array().into_iter().flatten() {
        let mut item = Message::default();
        item.message(1, &one_parameter(parameter));
        out.message(tag, &item);
    }
}

fn one_parameter(parameter: &Value) -> Message {
    let mut out = Message::default();
    let mut inner = Message::default();
    if parameter["in"] == "body" {
        inner.text(2, &parameter["name"]);
        inner.text(3, &parameter["in"]);
        inner.flag(4, &parameter["required"]);
        inner.message(5, &schema(&parameter["schema"]));
        out.message(1, &inner);
        return out;
    }
    // Parameters differ by their place in where the type stands.
    let (place, kind, unique) = match parameter["in"].as_str() {
        Some("header") => (1, 5, 19),
        Some("formData") => (2, 6, 20),
        Some("query") => (3, 6, 20),
        _ => (4, 5, 19),
    };
    inner.flag(1, &parameter["required"]);
    inner.text(2, &parameter["in"]);
    inner.text(4, &parameter["name"]);
    inner.text(kind, &parameter["type"]);
    inner.flag(unique, &parameter["uniqueItems"]);
    let mut non_body = Message::default();
    non_body.message(place, &inner);
    out.message(2, &non_body);
    out
}

fn schema(schema_json: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, &schema_json["$ref"]);
    out.text(2, &schema_json["format"]);
    out.text(4, &schema_json["description"]);
    if let Some(default) = schema_json.get("default") {
        out.message(5, &any(default));
    }
    out.text(13, &schema_json["pattern"]);
    out.texts(19, &schema_json["required"]);
    for value in schema_json["enum"].as_array().into_iter().flatten() {
        out.message(20, &any(value));
    }
    match &schema_json["additionalProperties"] {
        Value::Null => {}
        additional => {
            let mut item = Message::default();
            if additional.is_object() {
                item.message(1, &schema(additional));
            } else {
                item.flag(2, additional);
            }
            out.message(21, &item);
        }
    }
    if schema_json["type"].is_string() {
        let mut types = Message::default();
        types.text(1, &schema_json["type"]);
        out.message(22, &types);
    }
    if schema_json["items"].is_object() {
        let mut items = Message::default();
        items.message(1, &schema(&schema_json["items"]));
        out.message(23, &items);
    }
    if schema_json["properties"].is_object() {
        let mut properties = Message::default();
        for (name, property) in members(&schema_json["properties"]) {
            properties.named(1, name, &schema(property));
        }
        out.message(25, &properties);
    }
    out.extensions(31, schema_json);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_are_nested_as_the_definition_says() {
        let info = json!({"title": "T", "version": "v"});
        let definition = json!({"type": "object", "x-k": {"a": 1}});
        let mut out = Vec::new();
        write(&mut out, &info, |_| Ok(()), |emit| emit("A", &definition)).unwrap();
        let mut want = Message::default();
        want.bytes(1, b"2.0");
        want.bytes(2, b"\x0a\x01T\x12\x01v");
        let named_any = b"\x0a\x03x-k\x12\x09\x12\x07{\"a\":1}";
        let mut schema = Message::default();
        schema.bytes(22, b"\x0a\x06object");
        schema.bytes(31, named_any);
        let mut definitions = Message::default();
        definitions.named(1, "A", &schema);
        want.message(9, &definitions);
        assert_eq!(out, want.0);
    }

    #[test]
    fn parameters_keep_their_place_and_name() {
        let patch = json!({"parameters": [{"name": "fieldValidation", "in": "query", "type": "string"}]});
        let bytes = operation(&patch).0;
        let inner = b"\x12\x05query\x22\x0ffieldValidation\x32\x06string";
        assert!(bytes.windows(inner.len()).any(|w| w == inner));
    }
}
