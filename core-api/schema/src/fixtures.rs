//! Schemas and values for the tests of this crate.

use crate::schema::{
    Field, Lazy, ListShape, ListType, MapShape, ObjectShape, Omit, Schema, SchemaRef, Shape,
};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::Arc;

pub(crate) fn field(shape: Shape, omit: Omit) -> Field {
    Field { omit, ..Field::new(SchemaRef::inline(Schema::of(shape))) }
}

pub(crate) fn object(fields: impl IntoIterator<Item = (&'static str, Field)>) -> Shape {
    let fields = fields.into_iter().map(|(name, field)| (name.into(), field)).collect();
    Shape::Object(ObjectShape { fields, ..ObjectShape::default() })
}

pub(crate) fn list(items: SchemaRef) -> Shape {
    Shape::List(ListShape { items, list_type: ListType::Atomic })
}

pub(crate) fn texts() -> Shape {
    Shape::Map(MapShape { values: SchemaRef::inline(Schema::of(Shape::String)), atomic: false })
}

fn load(name: &str) -> Schema {
    use Omit::{Empty, Never, Null, Zero};
    let int = |bits| Shape::Integer { bits };
    let named = |name: &'static str, omit| Field {
        omit,
        ..Field::new(SchemaRef::Lazy(Arc::new(Lazy::new(name, load))))
    };
    Schema::of(match name {
        "io.k8s.api.apps.v1.Deployment" => object([
            ("apiVersion", field(Shape::String, Empty)),
            ("kind", field(Shape::String, Empty)),
            ("metadata", named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", Empty)),
            ("spec", named("io.k8s.api.apps.v1.DeploymentSpec", Empty)),
        ]),
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" => object([
            ("name", field(Shape::String, Empty)),
            ("labels", field(texts(), Empty)),
            ("creationTimestamp", field(Shape::Time, Zero)),
            ("generation", field(int(64), Empty)),
        ]),
        "io.k8s.api.apps.v1.DeploymentSpec" => object([
            ("replicas", Field { default: Some(1.into()), ..field(int(32), Null) }),
            ("paused", field(Shape::Boolean, Empty)),
            ("maxSurge", field(Shape::IntOrString, Null)),
            ("containers", field(list(SchemaRef::Lazy(Arc::new(Lazy::new(CONTAINER, load)))), Never)),
            ("strategy", named("io.k8s.api.apps.v1.DeploymentStrategy", Empty)),
        ]),
        "io.k8s.api.apps.v1.DeploymentStrategy" => {
            object([("type", Field { default: Some("RollingUpdate".into()), ..field(Shape::String, Empty) })])
        }
        CONTAINER => object([
            ("name", field(Shape::String, Never)),
            ("args", field(list(SchemaRef::inline(Schema::of(Shape::String))), Empty)),
            ("data", field(Shape::Bytes, Empty)),
            ("started", field(Shape::MicroTime, Null)),
            ("timeout", field(Shape::Duration, Never)),
            ("limits", field(quantities(), Empty)),
            ("extra", field(Shape::Any, Null)),
        ]),
        _ => Shape::Any,
    })
}

const CONTAINER: &str = "io.k8s.api.core.v1.Container";

fn quantities() -> Shape {
    Shape::Map(MapShape { values: SchemaRef::inline(Schema::of(Shape::Quantity)), atomic: false })
}

/// A small Deployment with every built-in shape.
pub(crate) fn deployment() -> Schema {
    load("io.k8s.api.apps.v1.Deployment")
}

/// Any JSON value, with names that the fixtures' schemas know.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    const NAMES: &[&str] = &[
        "metadata",
        "spec",
        "name",
        "labels",
        "replicas",
        "containers",
        "args",
        "data",
        "limits",
        "strategy",
        "type",
        "timeout",
        "started",
        "extra",
        "other",
        "a",
        "b",
        "list",
        "map",
        "kind",
        "apiVersion",
        "maxSurge",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3i64..4).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["", "x", "1Gi", "0.5", "1h", "2024-01-02T03:04:05Z", "aGk="])
            .prop_map(Value::from),
        "\\PC{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(NAMES), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}
