//! Which paths a document has, and which operations they have.

use super::{
    OpenApi, Part,
    components::{DELETE_OPTIONS, PATCH, SCALE, STATUS, list_name_of, name_of},
    operations::{Operation, item_parameters},
};
use proa_registry::{KindDef, kind::Behaviour};
use serde_json::{Map, Value};
use std::io;

/// Calls `emit` with every path of a part.
pub(super) fn each(part: &Part<'_>, version: OpenApi, emit: &mut super::Emit<'_>) -> io::Result<()> {
    let prefix = format!("/{}", part.path());
    for kind in &part.kinds {
        let def = &kind.def;
        let everywhere = format!("{prefix}/{}", def.resource);
        let collection = match def.is_namespaced() {
            true => format!("{prefix}/namespaces/{{namespace}}/{}", def.resource),
            false => everywhere.clone(),
        };
        let item = format!("{collection}/{{name}}");
        put(emit, &collection, &collection_operations(def), def, version)?;
        if def.behaviour == Behaviour::Stored {
            if def.is_namespaced() {
                let all = Operation { across: true, ..list(def) };
                put(emit, &everywhere, &[all], def, version)?;
            }
            put(emit, &item, &item_operations(def, "", &name_of(def)), def, version)?;
        }
        for (subresource, operations) in subresource_operations(def) {
            put(emit, &format!("{item}/{subresource}"), &operations, def, version)?;
        }
    }
    Ok(())
}

fn put(
    emit: &mut super::Emit<'_>,
    path: &str,
    operations: &[Operation],
    def: &KindDef,
    version: OpenApi,
) -> io::Result<()> {
    let mut value: Map<String, Value> =
        operations.iter().map(|o| (o.method.to_owned(), o.write(def, version))).collect();
    value.insert("parameters".to_owned(), item_parameters(path, version));
    emit(path, &Value::Object(value))
}

fn list(def: &KindDef) -> Operation {
    Operation { answer: list_name_of(def), ..Operation::new("get", "list", def) }
}

fn collection_operations(def: &KindDef) -> Vec<Operation> {
    let create = Operation { body: Some(name_of(def)), ..Operation::new("post", "post", def) };
    if def.behaviour == Behaviour::Virtual {
        return vec![create];
    }
    let delete = def.deletes_collection.then(|| Operation {
        answer: STATUS.to_owned(),
        body: Some(DELETE_OPTIONS.to_owned()),
        ..Operation::new("delete", "deletecollection", def)
    });
    [list(def), create].into_iter().chain(delete).collect()
}

fn item_operations(def: &KindDef, subresource: &'static str, type_name: &str) -> Vec<Operation> {
    let of = |method, action, body: Option<String>| Operation {
        subresource,
        answer: type_name.to_owned(),
        body,
        ..Operation::new(method, action, def)
    };
    let mut operations = vec![
        of("get", "get", None),
        of("put", "put", Some(type_name.to_owned())),
        of("patch", "patch", Some(PATCH.to_owned())),
    ];
    if subresource.is_empty() {
        let delete = of("delete", "delete", Some(DELETE_OPTIONS.to_owned()));
        operations.push(Operation { answer: STATUS.to_owned(), ..delete });
    }
    operations
}

fn subresource_operations(def: &KindDef) -> Vec<(&'static str, Vec<Operation>)> {
    let mut found = Vec::new();
    let status = def.status.then_some("status");
    for name in status.into_iter().chain(def.parts.iter().map(|part| part.name)) {
        found.push((name, item_operations(def, name, &name_of(def))));
    }
    if def.scale.is_some() {
        let mut operations = item_operations(def, "scale", SCALE);
        for operation in &mut operations {
            operation.gvk = proa_meta::Gvk::new("autoscaling", "v1", "Scale");
        }
        found.push(("scale", operations));
    }
    for subresource in &def.subresources {
        let type_name = subresource.schema.type_name().unwrap_or(STATUS).to_owned();
        let operations = subresource.verbs.iter().filter_map(|verb| {
            let (method, action, has_body) = match *verb {
                "create" => ("post", "post", true),
                "get" => ("get", "get", false),
                "update" => ("put", "put", true),
                "patch" => ("patch", "patch", true),
                "delete" => ("delete", "delete", false),
                _ => return None,
            };
            Some(Operation {
                subresource: subresource.name,
                answer: type_name.clone(),
                body: has_body.then(|| type_name.clone()),
                gvk: subresource.gvk.clone(),
                ..Operation::new(method, action, def)
            })
        });
        found.push((subresource.name, operations.collect()));
    }
    found
}
