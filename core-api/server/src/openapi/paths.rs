//! Which paths a document has, and which operations they have.

use super::{
    OpenApi, Part,
    components::{DELETE_OPTIONS, PATCH, SCALE, STATUS, WATCH_EVENT, list_name_of, name_of},
    operations::{Operation, index, item_parameters},
};
use proa_registry::{
    KindDef,
    kind::{Behaviour, SubresourceDef},
};
use serde_json::{Map, Value};
use std::io;

/// Calls `emit` with every path of a part.
pub(super) fn each(part: &Part<'_>, version: OpenApi, emit: &mut super::Emit<'_>) -> io::Result<()> {
    let prefix = format!("/{}", part.path());
    if let Some(kind) = part.kinds.iter().find(|kind| !kind.def.custom) {
        emit(&format!("{prefix}/"), &index(&kind.def.gvk, version))?;
    }
    for kind in &part.kinds {
        let def = &kind.def;
        let place = if def.is_namespaced() { "/namespaces/{namespace}" } else { "" };
        let (everywhere, collection) = (format!("/{}", def.resource), format!("{place}/{}", def.resource));
        let item = format!("{collection}/{{name}}");
        let mut put = |path: &str, operations: &[Operation]| put(emit, path, operations, def, version);
        put(&format!("{prefix}{collection}"), &collection_operations(def))?;
        if def.behaviour == Behaviour::Stored {
            if def.is_namespaced() {
                put(&format!("{prefix}{everywhere}"), &[Operation { across: true, ..list(def) }])?;
            }
            put(&format!("{prefix}{item}"), &item_operations(def, "", &name_of(def)))?;
        }
        if def.behaviour == Behaviour::Stored && !def.custom {
            if def.is_namespaced() {
                let all = Operation { across: true, ..watch("watchlist", def) };
                put(&format!("{prefix}/watch{everywhere}"), &[all])?;
            }
            put(&format!("{prefix}/watch{collection}"), &[watch("watchlist", def)])?;
            put(&format!("{prefix}/watch{item}"), &[watch("watch", def)])?;
        }
        for (path, operations) in subresource_operations(def) {
            put(&format!("{prefix}{item}/{path}"), &operations)?;
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
    let is_pretty = operations.iter().all(|operation| operation.action != "connect");
    value.insert("parameters".to_owned(), item_parameters(path, version, is_pretty));
    emit(path, &Value::Object(value))
}

fn watch(action: &'static str, def: &KindDef) -> Operation {
    Operation { answer: Some(WATCH_EVENT.to_owned()), ..Operation::new("get", action, def) }
}

fn list(def: &KindDef) -> Operation {
    Operation { answer: Some(list_name_of(def)), ..Operation::new("get", "list", def) }
}

fn collection_operations(def: &KindDef) -> Vec<Operation> {
    let create = Operation { body: Some(name_of(def)), ..Operation::new("post", "post", def) };
    if def.behaviour == Behaviour::Virtual {
        return vec![create];
    }
    let delete = def.deletes_collection.then(|| Operation {
        answer: Some(STATUS.to_owned()),
        body: Some(DELETE_OPTIONS.to_owned()),
        ..Operation::new("delete", "deletecollection", def)
    });
    [list(def), create].into_iter().chain(delete).collect()
}

fn item_operations(def: &KindDef, subresource: &'static str, type_name: &str) -> Vec<Operation> {
    let of = |method, action, body: Option<String>| Operation {
        subresource,
        answer: Some(type_name.to_owned()),
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
        operations.push(Operation { answer: Some(STATUS.to_owned()), ..delete });
    }
    operations
}

/// Operations by the path behind the object's.
fn subresource_operations(def: &KindDef) -> Vec<(String, Vec<Operation>)> {
    let mut found = Vec::new();
    let status = def.status.then_some("status");
    for name in status.into_iter().chain(def.parts.iter().map(|part| part.name)) {
        found.push((name.to_owned(), item_operations(def, name, &name_of(def))));
    }
    if def.scale.is_some() {
        let mut operations = item_operations(def, "scale", SCALE);
        for operation in &mut operations {
            operation.gvk = proa_meta::Gvk::new("autoscaling", "v1", "Scale");
        }
        found.push(("scale".to_owned(), operations));
    }
    for subresource in &def.subresources {
        let name = subresource.name;
        if !subresource.connects() {
            found.push((name.to_owned(), verbs(def, subresource)));
            continue;
        }
        found.push((name.to_owned(), connections(def, subresource, false)));
        if subresource.paths {
            found.push((format!("{name}/{{path}}"), connections(def, subresource, true)));
        }
    }
    found
}

fn verbs(def: &KindDef, subresource: &SubresourceDef) -> Vec<Operation> {
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
            answer: subresource.query.is_none().then(|| type_name.clone()),
            body: has_body.then(|| type_name.clone()),
            gvk: subresource.gvk.clone(),
            query: subresource.query.clone(),
            ..Operation::new(method, action, def)
        })
    });
    operations.collect()
}

/// Of what passes on whatever it is sent.
fn connections(def: &KindDef, subresource: &SubresourceDef, below: bool) -> Vec<Operation> {
    const ANY: [&str; 7] = ["delete", "get", "head", "options", "patch", "post", "put"];
    const STREAMS: [&str; 2] = ["get", "post"];
    let methods: &[&'static str] = if subresource.paths { &ANY } else { &STREAMS };
    let operation = |method: &&'static str| Operation {
        subresource: subresource.name,
        answer: None,
        gvk: subresource.gvk.clone(),
        query: subresource.query.clone(),
        below,
        ..Operation::new(method, "connect", def)
    };
    methods.iter().map(operation).collect()
}
