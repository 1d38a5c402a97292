//! JSON and YAML text.

use serde::Serialize;
use serde_json::Value;

/// Appends JSON.
pub(crate) fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}

/// JSON bytes. A `Status` and discovery documents start with `kind` and `apiVersion`, as objects do.
pub(crate) fn json_of(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let Some(members) = value.as_object().filter(|m| m.contains_key("kind")) else {
        write(value, &mut out);
        return out;
    };
    out.push(b'{');
    let first = ["kind", "apiVersion", "metadata"];
    let ordered = first.iter().filter_map(|k| members.get_key_value(*k));
    let rest = members.iter().filter(|(k, _)| !first.contains(&k.as_str()));
    for (i, (key, member)) in ordered.chain(rest).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(key, &mut out);
        out.push(b':');
        write(member, &mut out);
    }
    out.push(b'}');
    out
}

/// YAML with sorted keys.
pub(crate) fn yaml_of(value: &Value) -> String {
    // A JSON value has no form that YAML lacks.
    serde_saphyr::to_string(value).unwrap_or_default()
}

/// Indents JSON by two spaces without changing anything else. The bytes are JSON.
pub(crate) fn pretty(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + json.len() / 2);
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut bytes = json.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if quoted {
            out.push(byte);
            quoted = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => {
                quoted = true;
                out.push(byte);
            }
            b'{' | b'[' => {
                out.push(byte);
                let close = if byte == b'{' { b'}' } else { b']' };
                if bytes.next_if_eq(&close).is_some() {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b' ' | b'\n' | b'\t' | b'\r' => {}
            other => out.push(other),
        }
    }
    out
}

fn new_line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.resize(out.len() + 2 * depth, b' ');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pretty_only_adds_space() {
        let value = json!({"a": {"b": [], "c": {}, "d": [1, {"e": "x\\\"{,:}"}]}, "z": null});
        let compact = serde_json::to_vec(&value).unwrap();
        let indented = pretty(&compact);
        assert_eq!(String::from_utf8(indented).unwrap(), serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn objects_start_with_their_type() {
        let status = json!({"apiVersion": "v1", "code": 404, "kind": "Status", "metadata": {}});
        assert_eq!(
            String::from_utf8(json_of(&status)).unwrap(),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"code":404}"#
        );
    }

    #[test]
    fn yaml_reads_back_as_the_same_value() {
        let value = json!({
            "s": "yes", "n": "1.0", "multi": "a\nb\n", "empty": "", "null": null, "list": [1, "2", true, {"x": -1.5}],
            "map": {}, "colon": "a: b", "hash": "#x", "tab": "\t", "date": "2024-01-01", "tilde": "~", "lead": " x",
        });
        let text = yaml_of(&value);
        let back = proa_schema::json::parse_yaml(text.as_bytes()).unwrap().value;
        assert_eq!(back, value, "{text}");
    }
}
