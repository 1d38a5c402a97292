use super::*;
use proa_schema::{ListType, Omit, Shape as SchemaShape};
use serde_json::json;
use std::collections::BTreeSet;

const SCALARS: [&str; 18] = [
    "any",
    "string",
    "bool",
    "int32",
    "int64",
    "double",
    "bytes",
    "time",
    "microtime",
    "duration",
    "quantity",
    "int-or-string",
    "raw",
    "json",
    "fieldsv1",
    "schema-or-bool",
    "schema-or-array",
    "schema-or-strings",
];
const CORE: &str = "io.k8s.api.core.v1.";

fn core(name: &str) -> &'static proa_schema::SchemaRef {
    Box::leak(Box::new(schema(&[CORE, name].concat())))
}

fn object(schema: &proa_schema::SchemaRef) -> &proa_schema::ObjectShape {
    match &schema.get().shape {
        SchemaShape::Object(object) => object,
        other => panic!("no object: {other:?}"),
    }
}

fn list(schema: &proa_schema::SchemaRef) -> &proa_schema::ListShape {
    match &schema.get().shape {
        SchemaShape::List(list) => list,
        other => panic!("no list: {other:?}"),
    }
}

#[test]
fn every_line_can_be_read() {
    let mut fields = 0;
    for facts in types() {
        assert_eq!(type_facts(facts.name).map(|f| f.name), Some(facts.name));
        for field in facts.fields() {
            fields += 1;
            let mut shape = field.shape;
            while let Some(inner) = shape.list_item().or(shape.map_value()) {
                shape = inner;
            }
            let is_known =
                shape.type_facts().is_some() || shape.scalar().is_some_and(|s| SCALARS.contains(&s));
            assert!(is_known, "{}: {field:?}", facts.name);
        }
    }
    let lines = include_str!("../../facts/v1_37.tsv").lines().filter(|l| l.starts_with('\t')).count();
    assert_eq!(fields, lines);
    assert!(types().count() > 850 && fields > 3000, "{} types, {fields} fields", types().count());
    assert!(types().map(|t| t.name).is_sorted());
}

/// Decodes everything that can be reached from the kinds, without end if references were not shared.
#[test]
fn every_reference_resolves() {
    let mut seen = BTreeSet::new();
    let mut pending: Vec<_> = types().map(|t| t.name.to_owned()).collect();
    pending.sort_unstable_by(|a, b| b.cmp(a));
    while let Some(name) = pending.pop() {
        if seen.insert(name.clone()) {
            assert!(!openapi_component(&name, OpenApiVersion::V3).is_null(), "{name}");
            pending.extend(referenced(&name));
        }
    }
    for facts in types() {
        assert_eq!(object(&schema(facts.name)).fields.len(), facts.json_fields().len(), "{}", facts.name);
    }
    assert!(find_schema("io.k8s.api.core.v1.Nothing").is_none());
}

#[test]
fn tags_are_unique_within_a_type() {
    for facts in types() {
        let tags: Vec<_> = facts.fields().map(|f| f.tag).filter(|&tag| tag > 0).collect();
        assert_eq!(tags.iter().collect::<BTreeSet<_>>().len(), tags.len(), "{}", facts.name);
    }
}

#[test]
fn container_ports_merge_by_their_keys() {
    let container = core("Container");
    let ports = &object(container).fields["ports"];
    assert_eq!(
        list(&ports.schema).list_type,
        ListType::Map(["containerPort".into(), "protocol".into()].into())
    );
    assert_eq!((ports.patch_merge, ports.patch_merge_key.as_deref()), (true, Some("containerPort")));
    assert_eq!((ports.tag, ports.omit), (6, Omit::Empty));
    let port = &list(&ports.schema).items;
    assert_eq!(port.type_name(), Some("io.k8s.api.core.v1.ContainerPort"));
    assert_eq!(object(port).fields["protocol"].default, Some(json!("TCP")));
    assert_eq!(object(port).fields["containerPort"].omit, Omit::Never);
}

#[test]
fn deployments_have_their_fields() {
    let deployment = schema("io.k8s.api.apps.v1.Deployment");
    let names: Vec<_> = object(&deployment).fields.keys().map(|k| &**k).collect();
    assert_eq!(names, ["apiVersion", "kind", "metadata", "spec", "status"]);
    let spec = &object(&deployment).fields["spec"];
    assert_eq!((spec.required, spec.omit), (true, Omit::Empty));
    let spec = object(&spec.schema);
    assert_eq!(spec.fields.len(), 8);
    assert!(matches!(spec.fields["replicas"].schema.shape, SchemaShape::Integer { bits: 32 }));
    assert_eq!(spec.fields["replicas"].omit, Omit::Null);
    assert_eq!(spec.fields["template"].omit, Omit::Never);
    assert!(object(&spec.fields["strategy"].schema).retain_keys);
    assert!(object(&spec.fields["selector"].schema).atomic);
    let facts = type_of("apps", "v1", "Deployment").unwrap();
    assert_eq!(facts.name, "io.k8s.api.apps.v1.Deployment");
}

#[test]
fn inlined_types_are_taken_in() {
    let volume = core("Volume");
    assert!(object(volume).retain_keys);
    let empty_dir = &object(volume).fields["emptyDir"];
    assert_eq!((empty_dir.tag, empty_dir.omit), (0, Omit::Null));
    let facts = type_facts("io.k8s.api.core.v1.Volume").unwrap();
    let inlined = facts.fields().find(|f| f.name.is_none()).unwrap();
    assert_eq!(inlined.tag, 2);
    assert_eq!(inlined.shape.type_facts().unwrap().name, "io.k8s.api.core.v1.VolumeSource");
}

#[test]
fn odd_shapes() {
    let claim_ref = &object(core("PersistentVolumeSpec")).fields["claimRef"].schema;
    assert!(!object(claim_ref).atomic, "the field overrides its type");
    assert!(object(core("ObjectReference")).atomic);
    let SchemaShape::Map(selector) = &object(core("PodSpec")).fields["nodeSelector"].schema.shape else {
        panic!()
    };
    assert!(selector.atomic);
    let condition = core("PodCondition");
    assert_eq!(object(condition).fields["lastProbeTime"].omit, Omit::Never);
    assert_eq!(object(condition).fields["observedGeneration"].omit, Omit::Empty);
    let divisor = &object(core("ResourceFieldSelector")).fields["divisor"];
    assert!(matches!(divisor.schema.shape, SchemaShape::Quantity) && divisor.omit == Omit::Never);
    let meta = schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    assert_eq!(object(&meta).fields["creationTimestamp"].omit, Omit::Zero);
    let owners = &object(&meta).fields["ownerReferences"];
    assert_eq!(list(&owners.schema).list_type, ListType::Map(["uid".into()].into()));
    let extra = type_facts("io.k8s.api.authentication.v1.UserInfo").unwrap();
    let extra = extra.fields().find(|f| f.name == Some("extra")).unwrap();
    assert!(extra.shape.map_value().is_some_and(|v| v.is_wrapped() && v.list_item().is_some()));
    let policy = type_facts("io.k8s.api.core.v1.Container").unwrap();
    let policy = policy.fields().find(|f| f.name == Some("imagePullPolicy")).unwrap();
    assert_eq!(policy.enumeration().collect::<Vec<_>>(), ["Always", "IfNotPresent", "Never"]);
}

#[test]
fn components_of_both_versions() {
    let spec = "io.k8s.api.apps.v1.DeploymentSpec";
    let strip = |name: &str, version| {
        let mut component = openapi_component(name, version);
        strip_descriptions(&mut component);
        component
    };
    let v3 = strip(spec, OpenApiVersion::V3);
    assert_eq!(v3["required"], json!(["selector", "template"]));
    assert_eq!(
        v3["properties"]["strategy"],
        json!({"allOf": [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}], "default": {},
            "x-kubernetes-patch-strategy": "retainKeys"})
    );
    assert_eq!(v3["properties"]["replicas"], json!({"type": "integer", "format": "int32"}));
    let v2 = strip(spec, OpenApiVersion::V2);
    assert_eq!(
        v2["properties"]["strategy"],
        json!({"$ref": "#/definitions/io.k8s.api.apps.v1.DeploymentStrategy",
            "x-kubernetes-patch-strategy": "retainKeys"})
    );
    let port = strip("io.k8s.api.core.v1.ContainerPort", OpenApiVersion::V3);
    assert_eq!(
        port["properties"]["protocol"],
        json!({"type": "string", "default": "TCP", "enum": ["SCTP", "TCP", "UDP"]})
    );
    assert_eq!(
        port["properties"]["containerPort"],
        json!({"type": "integer", "format": "int32", "default": 0})
    );
    let seccomp = strip("io.k8s.api.core.v1.SeccompProfile", OpenApiVersion::V3);
    assert_eq!(
        seccomp["x-kubernetes-unions"],
        json!([{"discriminator": "type", "fields-to-discriminateBy": {"localhostProfile": "LocalhostProfile"}}])
    );
    let deployment = strip("io.k8s.api.apps.v1.Deployment", OpenApiVersion::V2);
    assert_eq!(
        deployment["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "kind": "Deployment", "version": "v1"}])
    );
    let quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity";
    assert_eq!(strip(quantity, OpenApiVersion::V2), json!({"type": "string"}));
    assert_eq!(
        strip(quantity, OpenApiVersion::V3),
        json!({"oneOf": [{"type": "string"}, {"type": "number"}]})
    );
    assert!(referenced("io.k8s.api.core.v1.ResourceRequirements").contains(&quantity.to_owned()));
    assert_eq!(
        strip("io.k8s.apimachinery.pkg.apis.meta.v1.Patch", OpenApiVersion::V3),
        json!({"type": "object"})
    );
    assert!(openapi_component("nothing", OpenApiVersion::V2).is_null());
}

fn strip_descriptions(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|key, value| key != "description" || !value.is_string());
            map.values_mut().for_each(strip_descriptions);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(strip_descriptions),
        _ => {}
    }
}

#[test]
fn kinds_and_their_fields_are_described() {
    let pod = descriptions("io.k8s.api.core.v1.Pod").unwrap();
    assert!(pod.text().starts_with("Pod is a collection of containers"));
    assert!(!pod.field("spec").is_empty() && pod.field("nothing").is_empty());
    assert!(descriptions("io.k8s.api.core.v1.Nothing").is_none() && descriptions("").is_none());
    let component = openapi_component("io.k8s.api.core.v1.Pod", OpenApiVersion::V3);
    assert!(component["properties"]["spec"]["description"].is_string());
    let kinds = types().filter(|t| t.kinds().next().is_some() && !t.name.ends_with("List"));
    let silent: Vec<_> = kinds.filter(|t| descriptions(t.name).is_none()).map(|t| t.name).collect();
    assert!(silent.len() < 20, "kinds without descriptions: {silent:?}");
}
