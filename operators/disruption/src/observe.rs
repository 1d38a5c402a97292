//! What a decision about a budget needs: the pods that it guards, and how many there should be of them.
//!
//! How many there should be is what the scales of their controllers add up to: of replica sets and deployments from the
//! caches, of everything else that has a scale from the API.

use parking_lot::Mutex;
use proa_kit::{
    Error, Index, Key, Kind, Reader, discovery,
    rollout::IntOrPercent,
    views::{DeploymentView, Meta, Owner, PodDisruptionBudgetView, PodView, ReplicaSetView},
};
use serde::Deserialize;
use std::{collections::HashMap, sync::Arc};

/// Whether a budget counts by the scales of the pods' controllers.
fn counts_by_scale(budget: &PodDisruptionBudgetView) -> bool {
    let spec = &budget.spec;
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrPercent::Text(_)))
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The pods that it guards.
    pub pods: Vec<Arc<PodView>>,
    /// What their controllers' scales add up to, where that matters; or why it is not known.
    pub scale: Result<Scale, String>,
}

/// Scales of controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    /// Their sum.
    pub expected: i32,
    /// Pods that no one controls.
    pub unmanaged: Vec<String>,
}

/// Reads it.
pub async fn observe(
    reader: &Reader,
    budget: &PodDisruptionBudgetView,
    kinds: &Kinds,
) -> Result<Observed, Error> {
    let mut pods = reader.cache::<PodView>().by(&Index::NAMESPACE, &budget.metadata.namespace);
    pods.retain(|pod| budget.guards(pod));
    pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let scale =
        if counts_by_scale(budget) { scale(reader, &pods, kinds).await? } else { Ok(Scale::default()) };
    Ok(Observed { pods, scale })
}

async fn scale(
    reader: &Reader,
    pods: &[Arc<PodView>],
    kinds: &Kinds,
) -> Result<Result<Scale, String>, Error> {
    let (mut scale, mut known) = (Scale::default(), HashMap::new());
    for pod in pods {
        let Some(owner) = pod.metadata.controller() else {
            scale.unmanaged.push(pod.metadata.name.to_string());
            continue;
        };
        if known.contains_key(&owner.uid) {
            continue;
        }
        match of_controller(reader, &pod.metadata.namespace, owner, kinds).await? {
            Ok(Some((uid, replicas))) => known.insert(uid, replicas),
            Ok(None) => return Ok(Err(format!("found no controllers for pod {:?}", pod.metadata.name))),
            Err(why) => return Ok(Err(why)),
        };
    }
    scale.expected = known.values().fold(0, |sum: i32, replicas| sum.saturating_add(*replicas));
    Ok(Ok(scale))
}

type Found = Option<(Box<str>, i32)>;

/// Uid and scale of what controls pods: a deployment stands for its replica sets.
async fn of_controller(
    reader: &Reader,
    namespace: &str,
    owner: &Owner,
    kinds: &Kinds,
) -> Result<Result<Found, String>, Error> {
    if let Some(found) = of_replica_set(reader, namespace, owner) {
        return Ok(Ok(Some(found)));
    }
    let Some(kind) = kind_of(reader, owner, kinds).await? else {
        let (version, kind) = (&owner.api_version, &owner.kind);
        return Ok(Err(format!("no matches for kind {kind:?} in version {version:?}")));
    };
    let found = of_scale(reader, &kind, namespace, owner).await?;
    if found.is_err() {
        kinds.0.lock().remove(&named(owner));
    }
    Ok(found)
}

fn of_replica_set(reader: &Reader, namespace: &str, owner: &Owner) -> Option<(Box<str>, i32)> {
    if !owner.is("apps", "ReplicaSet") {
        return None;
    }
    let set = reader.cache::<ReplicaSetView>().get(&Key::new(namespace, &owner.name))?;
    if set.metadata.uid != owner.uid {
        return None;
    }
    let Some(above) = set.metadata.controller().filter(|above| &*above.kind == "Deployment") else {
        return Some((set.metadata.uid.clone(), set.spec.replicas()));
    };
    let deployment = reader.cache::<DeploymentView>().get(&Key::new(namespace, &above.name))?;
    let is_above = above.is("apps", "Deployment") && deployment.metadata.uid == above.uid;
    is_above.then(|| (deployment.metadata.uid.clone(), deployment.spec.replicas()))
}

/// Built-in kinds that have a scale.
const KNOWN: [Kind; 3] = [
    Kind::namespaced("", "v1", "ReplicationController", "replicationcontrollers"),
    Kind::namespaced("apps", "v1", "ReplicaSet", "replicasets"),
    Kind::namespaced("apps", "v1", "StatefulSet", "statefulsets"),
];

/// Kinds of controllers that discovery told of, by their names; asked again once they have no scale.
#[derive(Debug, Default)]
pub struct Kinds(Mutex<HashMap<Name, Kind>>);

/// Version and kind, as owner references have them.
type Name = (Box<str>, Box<str>);

fn named(owner: &Owner) -> Name {
    (owner.api_version.clone(), owner.kind.clone())
}

async fn kind_of(reader: &Reader, owner: &Owner, kinds: &Kinds) -> Result<Option<Kind>, Error> {
    if let Some(kind) = KNOWN.iter().find(|kind| owner.is(&kind.group, &kind.kind)) {
        return Ok(Some(kind.clone()));
    }
    if let Some(kind) = kinds.0.lock().get(&named(owner)) {
        return Ok(Some(kind.clone()));
    }
    let served = discovery::discover(reader).await?.kinds.into_iter().map(|served| served.kind);
    let mut fitting = served.filter(|kind| kind.namespaced && owner.is(&kind.group, &kind.kind));
    let found = fitting.next();
    if let Some(kind) = &found {
        kinds.0.lock().insert(named(owner), kind.clone());
    }
    Ok(found)
}

#[derive(Deserialize)]
struct ScaleView {
    metadata: Meta,
    #[serde(default)]
    spec: ScaleSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScaleSpec {
    replicas: i32,
}

async fn of_scale(
    reader: &Reader,
    kind: &Kind,
    namespace: &str,
    owner: &Owner,
) -> Result<Result<Found, String>, Error> {
    let path = kind.path(namespace, &owner.name, "scale");
    match reader.fetch::<ScaleView>(&path, "application/json").await {
        Ok(scale) if scale.metadata.uid == owner.uid => {
            Ok(Ok(Some((scale.metadata.uid, scale.spec.replicas))))
        }
        Ok(_) => Ok(Ok(None)),
        Err(error) if error.is_not_found() => {
            let is_known = KNOWN.iter().any(|known| known == kind);
            if is_known || has_scale(reader, kind).await? {
                Ok(Ok(None))
            } else {
                Ok(Err(format!("{kind} does not implement the scale subresource")))
            }
        }
        Err(error) => Err(error),
    }
}

/// Whether objects of a kind have a scale at all.
async fn has_scale(reader: &Reader, kind: &Kind) -> Result<bool, Error> {
    #[derive(Deserialize)]
    struct Resources {
        #[serde(default)]
        resources: Vec<Resource>,
    }
    #[derive(Deserialize)]
    struct Resource {
        name: String,
    }
    let group = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
    let path = format!("{group}/{}", kind.version);
    let listed: Resources = reader.fetch(&path, "application/json").await?;
    let name = format!("{}/scale", kind.plural);
    Ok(listed.resources.iter().any(|resource| resource.name == name))
}
