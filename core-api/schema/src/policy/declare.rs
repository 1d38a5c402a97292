//! What expressions of policies may name, and its types.
//!
//! Upstream: apiserver `pkg/admission/plugin/cel/compile.go`, `pkg/cel/library/authz.go`.

use super::authorizer;
use crate::cel::{Environment, Kind, Type, object_type};

/// Which names there are besides `object`, `oldObject`, `request` and `namespaceObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) params: bool,
    pub(super) authorizer: bool,
    pub(super) variables: bool,
}

/// The environment of these names, in the order in which [`super::evaluate`] gives their values.
pub(super) fn environment(
    names: Names,
    [object, old]: [Type; 2],
    params: Type,
    variables: Vec<(&str, Type)>,
    has_objects: bool,
) -> Environment {
    let mut environment = Environment::new([
        ("object", object),
        ("oldObject", old),
        ("request", request()),
        ("namespaceObject", namespace()),
    ]);
    if names.params {
        environment = environment.with_variable("params", params);
    }
    if names.authorizer {
        environment = environment
            .with_variable("authorizer", Type::opaque(authorizer::AUTHORIZER))
            .with_variable("authorizer.requestResource", Type::opaque(authorizer::RESOURCE_CHECK));
    }
    if names.variables {
        environment = environment.with_variable("variables", object_type("kubernetes.variables", variables));
    }
    for (name, signature) in authorizer::FUNCTIONS {
        environment = environment.with_function(name, signature);
    }
    if has_objects { environment.with_objects() } else { environment }
}

/// The type of a variable for those who use it: what is neither plain nor made of plain things is known when evaluated.
pub(super) fn of_variable(found: &Type) -> Type {
    match &found.kind {
        Kind::List(of) => Type::list(of_variable(of)),
        Kind::Map(of) => Type::map(of_variable(&of.0), of_variable(&of.1)),
        Kind::Null
        | Kind::Bool
        | Kind::Int
        | Kind::Uint
        | Kind::Double
        | Kind::String
        | Kind::Bytes
        | Kind::Duration
        | Kind::Timestamp => found.kind.clone().into(),
        _ => Type::DYN,
    }
}

fn texts<const N: usize>(names: [&'static str; N]) -> Vec<(&'static str, Type)> {
    names.into_iter().map(|name| (name, Type::STRING)).collect()
}

fn request() -> Type {
    let kind = object_type("kubernetes.GroupVersionKind", texts(["group", "version", "kind"]));
    let resource = object_type("kubernetes.GroupVersionResource", texts(["group", "version", "resource"]));
    let list = Type::list(Type::STRING);
    let mut user = texts(["username", "uid"]);
    user.extend([("groups", list.clone()), ("extra", Type::map(Type::STRING, list))]);
    let mut fields = texts(["subResource", "requestSubResource", "name", "namespace", "operation"]);
    fields.extend([
        ("kind", kind.clone()),
        ("requestKind", kind),
        ("resource", resource.clone()),
        ("requestResource", resource),
        ("userInfo", object_type("kubernetes.UserInfo", user)),
        ("dryRun", Type::BOOL),
        ("options", Type::DYN),
    ]);
    object_type("kubernetes.AdmissionRequest", fields)
}

fn namespace() -> Type {
    let time = || Type::from(Kind::Timestamp);
    let labels = Type::map(Type::STRING, Type::STRING);
    let finalizers = Type::list(Type::STRING);
    let mut metadata = texts(["name", "generateName", "namespace", "UID", "resourceVersion"]);
    metadata.extend([
        ("labels", labels.clone()),
        ("annotations", labels),
        ("creationTimestamp", time()),
        ("deletionGracePeriodSeconds", Type::INT),
        ("deletionTimestamp", time()),
        ("generation", Type::INT),
        ("finalizers", finalizers.clone()),
    ]);
    let mut condition = texts(["status", "type", "message", "reason"]);
    condition.push(("lastTransitionTime", time()));
    let conditions = Type::list(object_type("kubernetes.NamespaceCondition", condition));
    let status = vec![("conditions", conditions), ("phase", Type::STRING)];
    object_type(
        "kubernetes.Namespace",
        vec![
            ("metadata", object_type("kubernetes.NamespaceMetadata", metadata)),
            ("spec", object_type("kubernetes.NamespaceSpec", vec![("finalizers", finalizers)])),
            ("status", object_type("kubernetes.NamespaceStatus", status)),
        ],
    )
}
