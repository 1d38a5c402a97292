//! The scale of what an autoscaler names, whatever its kind.

use super::Memory;
use proa_kit::{
    Error, Kind, Reader, discovery,
    views::{HorizontalPodAutoscalerView, Meta, horizontal_pod_autoscaler::ObjectReference},
};
use serde::Deserialize;

/// A scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Kind of the object whose scale it is.
    pub kind: Kind,
    /// Uid of that object.
    pub uid: Box<str>,
    /// Replicas that are wanted.
    pub replicas: i32,
    /// Replicas that there are.
    pub present: i32,
    /// Selector of its pods as a query.
    pub selector: Box<str>,
}

#[derive(Deserialize)]
struct View {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: i32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    replicas: i32,
    selector: Box<str>,
}

/// The scale of the target, or why there is none.
pub(super) async fn of_target(
    reader: &Reader,
    autoscaler: &HorizontalPodAutoscalerView,
    memory: &Memory,
) -> Result<Scale, String> {
    let target = &autoscaler.spec.scale_target_ref;
    let kind = kind_of(reader, target, memory).await?;
    let path = kind.path(&autoscaler.metadata.namespace, &target.name, "scale");
    match reader.fetch::<View>(&path, "application/json").await {
        Ok(View { metadata, spec, status }) => Ok(Scale {
            kind,
            uid: metadata.uid,
            replicas: spec.replicas,
            present: status.replicas,
            selector: status.selector,
        }),
        Err(error) => {
            memory.doubt(&kind);
            Err(told(&error, "get", &format!("{}/scale", kind.plural), &kind.group))
        }
    }
}

/// The kind that a reference names, or why there is none.
pub(super) async fn kind_of(
    reader: &Reader,
    reference: &ObjectReference,
    memory: &Memory,
) -> Result<Kind, String> {
    const KNOWN: [Kind; 5] = [
        Kind::namespaced("apps", "v1", "Deployment", "deployments"),
        Kind::namespaced("apps", "v1", "ReplicaSet", "replicasets"),
        Kind::namespaced("apps", "v1", "StatefulSet", "statefulsets"),
        Kind::namespaced("", "v1", "ReplicationController", "replicationcontrollers"),
        Kind::namespaced("", "v1", "Pod", "pods"),
    ];
    let (group, name) = (reference.group()?, &*reference.kind);
    let is_it = |kind: &Kind| kind.group == group && kind.kind == name;
    if let Some(known) = KNOWN.into_iter().find(is_it).or_else(|| memory.kind(group, name)) {
        return Ok(known);
    }
    let served = discovery::discover(reader).await.map_err(|error| error.message())?.kinds.into_iter();
    let found = served.map(|served| served.kind).find(|kind| kind.namespaced && is_it(kind));
    let found = found.ok_or_else(|| format!("no matches for kind {name:?} in group {group:?}"))?;
    memory.know(&found);
    Ok(found)
}

/// An error as clients tell it. A server that knows no such path, or passes nothing on, does not say so in a Status.
pub(super) fn told(error: &Error, verb: &str, resource: &str, group: &str) -> String {
    let what = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let named = match (error.code(), error.reason()) {
        (Some(404), reason) if reason != "NotFound" => "the server could not find the requested resource",
        (Some(503), reason) if reason != "ServiceUnavailable" => {
            "the server is currently unable to handle the request"
        }
        _ => return error.message(),
    };
    format!("{named} ({verb} {what})")
}
