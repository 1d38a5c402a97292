//! Merging a configuration that nobody owns afterwards: what a mutating admission policy makes.
//!
//! Upstream: `ApplyStructuredMergeDiff` of apiserver `pkg/admission/plugin/policy/mutating/patch/smd.go`.

use super::{
    merge::merge,
    node::{Atom, Node},
    typed,
};
use crate::schema::Schema;
use serde_json::Value;

/// `live` with `configuration` merged into it.
///
/// # Errors
/// The schema does not describe the configuration, or it has something that would be replaced whole: whoever names some
/// of its fields would take the others away.
pub fn merge_unowned(schema: &Schema, live: &Value, configuration: &Value) -> Result<Value, String> {
    if let Some(problem) = typed::problems(schema, configuration) {
        return Err(format!("failed to convert patch object to typed object: {problem}"));
    }
    let mut atomic = Vec::new();
    find_atomic(Node::root(schema), configuration, &mut String::new(), &mut atomic);
    if !atomic.is_empty() {
        let what = atomic.join(", ");
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {what}"
        ));
    }
    let mut merged = live.clone();
    merge(schema, &mut merged, configuration);
    Ok(merged)
}

/// Paths of lists and objects that have no parts of their own.
fn find_atomic(node: Node<'_>, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let atom = node.atom(value);
    let has_parts = !matches!(atom, Atom::Leaf);
    let here = path.len();
    match value {
        Value::Object(fields) => {
            if !has_parts {
                found.push(path.clone());
            }
            for (name, child) in fields {
                path.push('.');
                path.push_str(name);
                find_atomic(node.field(name).node(), child, path, found);
                path.truncate(here);
            }
        }
        Value::Array(items) => {
            if !has_parts {
                found.push(path.clone());
            }
            let below = match atom {
                Atom::List(list) => list.items,
                _ => node.step("i:0").0,
            };
            for (i, item) in items.iter().enumerate() {
                path.push_str(&format!("[{i}]"));
                find_atomic(below, item, path, found);
                path.truncate(here);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Field, ListShape, ListType, MapShape, ObjectShape, SchemaRef, Shape};
    use serde_json::json;

    fn list(of: Schema, list_type: ListType) -> Schema {
        Schema::of(Shape::List(ListShape { items: SchemaRef::inline(of), list_type }))
    }

    fn object(fields: Vec<(&str, Schema)>) -> Schema {
        let fields = fields.into_iter().map(|(name, of)| (name.into(), Field::new(SchemaRef::inline(of))));
        Schema::of(Shape::Object(ObjectShape { fields: fields.collect(), ..ObjectShape::default() }))
    }

    fn schema() -> Schema {
        let text = || Schema::of(Shape::String);
        let part =
            object(vec![("name", text()), ("image", text()), ("args", list(text(), ListType::Atomic))]);
        let labels = Schema::of(Shape::Map(MapShape { values: SchemaRef::inline(text()), atomic: false }));
        object(vec![
            ("labels", labels),
            ("parts", list(part, ListType::Map(Box::new(["name".into()])))),
            ("set", list(text(), ListType::Set)),
        ])
    }

    #[test]
    fn what_has_parts_is_merged() {
        let live = json!({"labels": {"a": "1"}, "parts": [{"name": "x", "image": "i"}, {"name": "y"}], "set": ["a"]});
        let made = json!({"labels": {"b": "2"}, "parts": [{"name": "x", "image": "j"}], "set": ["b"]});
        let merged = merge_unowned(&schema(), &live, &made).unwrap();
        assert_eq!(
            merged,
            json!({"labels": {"a": "1", "b": "2"}, "parts": [{"name": "x", "image": "j"}, {"name": "y"}],
                "set": ["a", "b"]})
        );
    }

    #[test]
    fn what_has_none_is_refused_and_so_is_what_nobody_knows() {
        let made = json!({"parts": [{"name": "x", "args": ["a"]}]});
        assert_eq!(
            merge_unowned(&schema(), &json!({}), &made).unwrap_err(),
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .parts[0].args"
        );
        assert_eq!(
            merge_unowned(&schema(), &json!({}), &json!({"spec": 1})).unwrap_err(),
            "failed to convert patch object to typed object: .spec: field not declared in schema"
        );
    }
}
