//! Protobuf messages of built-in types, from the facts table.

use proa_crds::facts::{Shape, type_facts};
use proa_server::{WireField, WireShape, WireTypes};

const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// The built-in catalogue's messages.
pub(crate) struct Messages;

impl WireTypes for Messages {
    fn fields(&self, type_name: &str) -> Option<Vec<WireField>> {
        let facts = type_facts(type_name)?;
        let fields = facts.fields().filter(|field| field.tag > 0);
        let field = |f: proa_crds::facts::Field| WireField {
            name: f.name,
            tag: f.tag,
            shape: shape(f.shape),
            pointer: f.shape.is_pointer(),
        };
        Some(fields.map(field).collect())
    }
}

fn shape(of: Shape) -> WireShape {
    let inner = match (of.list_item(), of.map_value(), of.type_facts()) {
        (Some(item), ..) => WireShape::List(Box::new(shape(item))),
        (_, Some(value), _) => WireShape::Map(Box::new(shape(value))),
        (.., Some(facts)) => WireShape::Type(facts.name),
        (None, None, None) => scalar(of.scalar().unwrap_or_default()),
    };
    if of.is_wrapped() { WireShape::Wrapped(Box::new(inner)) } else { inner }
}

fn scalar(name: &str) -> WireShape {
    match name {
        "string" => WireShape::Text,
        "bool" => WireShape::Boolean,
        "int32" | "int64" => WireShape::Integer,
        "double" => WireShape::Double,
        "bytes" => WireShape::Bytes,
        "time" => WireShape::Time,
        "microtime" => WireShape::MicroTime,
        "duration" => WireShape::Duration,
        "quantity" => WireShape::Quantity,
        "int-or-string" => WireShape::IntOrString,
        "schema-or-bool" => WireShape::TypeOrFlag(SCHEMA),
        "schema-or-array" => WireShape::TypeOrList(SCHEMA),
        "schema-or-strings" => WireShape::TypeOrTexts(SCHEMA),
        // any, raw, json, fieldsv1
        _ => WireShape::Json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_follow_the_published_numbers() {
        let find = |type_name: &str, tag: u32| {
            let fields = Messages.fields(type_name).unwrap_or_default();
            fields.into_iter().find(|f| f.tag == tag).map(|f| (f.name, f.shape, f.pointer))
        };
        let text = WireShape::Text;
        assert_eq!(find("io.k8s.api.core.v1.Container", 2), Some((Some("image"), text.clone(), false)));
        let source = WireShape::Type("io.k8s.api.core.v1.VolumeSource");
        assert_eq!(find("io.k8s.api.core.v1.Volume", 2), Some((None, source, false)));
        let replicas = Some((Some("replicas"), WireShape::Integer, true));
        assert_eq!(find("io.k8s.api.apps.v1.DeploymentSpec", 1), replicas);
        let values = WireShape::Wrapped(Box::new(WireShape::List(Box::new(text))));
        let extra = Some((Some("extra"), WireShape::Map(Box::new(values)), false));
        assert_eq!(find("io.k8s.api.authorization.v1.SubjectAccessReviewSpec", 5), extra);
        assert_eq!(Messages.fields("io.k8s.api.core.v1.None"), None);
    }
}
