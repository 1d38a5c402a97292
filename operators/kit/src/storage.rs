//! What volumes and claims are to each other: shared by the operator that binds them, the scheduler and provisioners.
//!
//! Upstream: component-helpers `storage/volume/{helpers,pv_helpers}.go`, pkg/volume/util/storageclass.go,
//! component-helpers `storage/ephemeral`.

use crate::{
    action::Action,
    cache::Index,
    kind::Key,
    views::{
        Meta, NodeView, PersistentVolumeClaimView, PersistentVolumeView, PodView, StorageClassView, Typed,
        storage_class::TopologySelectorTerm,
    },
};
use proa_meta::quantity::Quantity;
use serde_json::{Value, json};
use std::borrow::Cow;

/// Annotation of claims and volumes that are bound to each other for good.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Annotation of claims and volumes whose binding was not asked for by a user.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Annotation of volumes: who made them.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Annotation of claims: who shall make the volume.
pub const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The same, as it was called once.
pub const BETA_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// Annotation of claims: the node of the first pod that uses them.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Finalizer of claims while pods use them.
pub const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// Finalizer of volumes while they are bound.
pub const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
/// Finalizer of volumes that their provisioner still has to clear away.
pub const PROVISIONER_PROTECTION: &str = "external-provisioner.volume.kubernetes.io/finalizer";
/// The provisioner of classes whose volumes are made by hand.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// Pods by the claims that they use.
pub const USERS: Index<PodView> = Index {
    name: "claims",
    values: |pod, found| {
        claim_names(pod).for_each(|(name, _)| found(&users_of(&pod.metadata.namespace, &name)));
    },
};

/// Under which value of [`USERS`] the pods of a claim are.
pub fn users_of(namespace: &str, claim: &str) -> String {
    format!("{namespace}/{claim}")
}

/// Names of the claims that a pod uses, and whether they are made for it.
pub fn claim_names(pod: &PodView) -> impl Iterator<Item = (Cow<'_, str>, bool)> {
    pod.spec.volumes.iter().filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(claim), _) => Some((Cow::Borrowed(&*claim.claim_name), false)),
        (None, Some(_)) => Some((ephemeral_name(&pod.metadata.name, &volume.name).into(), true)),
        (None, None) => None,
    })
}

/// Name of the claim that is made for a volume of a pod.
pub fn ephemeral_name(pod: &str, volume: &str) -> String {
    format!("{pod}-{volume}")
}

/// The size that a map of resources says; none when it says none.
pub fn size(resources: &crate::Pairs) -> Quantity {
    resources.get("storage").and_then(|text| Quantity::parse(text).ok()).unwrap_or_default()
}

/// Whether an annotation is there, whatever it says.
pub fn is_marked(meta: &Meta, annotation: &str) -> bool {
    meta.annotations.get(annotation).is_some()
}

fn mode(mode: Option<&str>) -> &str {
    mode.unwrap_or("Filesystem")
}

impl PersistentVolumeClaimView {
    /// Its class; empty when it has none.
    pub fn class(&self) -> &str {
        self.named_class().unwrap_or("")
    }
    /// The class that it names, the empty one too.
    pub fn named_class(&self) -> Option<&str> {
        self.metadata.annotations.get(BETA_CLASS).or(self.spec.storage_class_name.as_deref())
    }
    /// Whether it is bound for good.
    pub fn is_bound(&self) -> bool {
        !self.spec.volume_name.is_empty() && is_marked(&self.metadata, BIND_COMPLETED)
    }
    /// The size that it asks for.
    pub fn size(&self) -> Quantity {
        size(&self.spec.resources.requests)
    }
    /// The node of the first pod that uses it.
    pub fn selected_node(&self) -> Option<&str> {
        self.metadata.annotations.get(SELECTED_NODE)
    }
}

impl PersistentVolumeView {
    /// Its class; empty when it has none.
    pub fn class(&self) -> &str {
        self.metadata.annotations.get(BETA_CLASS).unwrap_or(&self.spec.storage_class_name)
    }
    /// Whether it is bound to this claim or reserved for it.
    pub fn is_for(&self, claim: &PersistentVolumeClaimView) -> bool {
        self.spec.claim_ref.as_ref().is_some_and(|own| {
            own.name == claim.metadata.name
                && own.namespace == claim.metadata.namespace
                && (own.uid.is_empty() || own.uid == claim.metadata.uid)
        })
    }
    /// Whether a node reaches it.
    pub fn is_reached_from(&self, node: &NodeView) -> bool {
        let required = self.spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
        required.is_none_or(|selector| selector.node_selector_terms.iter().any(|term| term.matches(node)))
    }
    /// Its size.
    pub fn size(&self) -> Quantity {
        size(&self.spec.capacity)
    }
    /// Whether a claim wants the volume in another mode: as a file system or as a device.
    pub fn differs_in_mode(&self, claim: &PersistentVolumeClaimView) -> bool {
        mode(self.spec.volume_mode.as_deref()) != mode(claim.spec.volume_mode.as_deref())
    }
    fn differs_in_attributes(&self, claim: &PersistentVolumeClaimView) -> bool {
        let name = |name: &Option<Box<str>>| name.as_deref().unwrap_or("").to_owned();
        name(&self.spec.volume_attributes_class_name) != name(&claim.spec.volume_attributes_class_name)
    }
    fn has_modes_of(&self, claim: &PersistentVolumeClaimView) -> bool {
        claim.spec.access_modes.iter().all(|mode| self.spec.access_modes.contains(mode))
    }
}

impl StorageClassView {
    /// Whether claims of the class wait for a pod.
    pub fn waits(&self) -> bool {
        self.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
    }
    /// Whether claims without a class get this one.
    pub fn is_default(&self) -> bool {
        DEFAULT_CLASS.iter().any(|key| self.metadata.annotations.get(key) == Some("true"))
    }
    /// Whether volumes may be made for a node.
    pub fn allows(&self, node: &NodeView) -> bool {
        let fits = |term: &TopologySelectorTerm| {
            let mut labels = term.match_label_expressions.iter();
            labels.all(|own| {
                node.metadata
                    .labels
                    .get(&own.key)
                    .is_some_and(|value| own.values.iter().any(|v| **v == *value))
            })
        };
        self.allowed_topologies.is_empty() || self.allowed_topologies.iter().any(fits)
    }
}

/// The class of claims that name none: of several defaults the youngest, then the first by name.
pub fn default_class<'a>(
    classes: impl Iterator<Item = &'a StorageClassView>,
) -> Option<&'a StorageClassView> {
    classes.filter(|class| class.is_default()).min_by_key(|class| {
        (std::cmp::Reverse(class.metadata.creation_timestamp), class.metadata.name.clone())
    })
}

/// Why a claim cannot have the volume that it names.
pub fn misfit(volume: &PersistentVolumeView, claim: &PersistentVolumeClaimView) -> Option<String> {
    let why = match () {
        () if volume.metadata.is_deleting() => {
            return Some(format!("the volume is marked for deletion {:?}", volume.metadata.name));
        }
        () if volume.size() < claim.size() => "requested PV is too small",
        () if volume.class() != claim.class() => "storageClassName does not match",
        () if volume.differs_in_attributes(claim) => "volumeAttributesClassName does not match",
        () if volume.differs_in_mode(claim) => "incompatible volumeMode",
        () if !volume.has_modes_of(claim) => "incompatible accessMode",
        () => return None,
    };
    Some(why.to_owned())
}

/// The volume for a claim: one that is bound to it or reserved for it; else, unless the claim waits for a pod, the
/// smallest that fits, with as few access modes as possible. With a node, only volumes that it reaches.
pub fn best_match<'a, V: AsRef<PersistentVolumeView>>(
    claim: &PersistentVolumeClaimView,
    volumes: impl Iterator<Item = &'a V>,
    node: Option<&NodeView>,
    waits: bool,
) -> Option<&'a V> {
    let wanted = claim.size();
    let mut best: Option<&'a V> = None;
    for candidate in volumes {
        let volume = candidate.as_ref();
        let is_reserved = volume.is_for(claim);
        let is_foreign = volume.spec.claim_ref.is_some() && !is_reserved;
        if is_foreign
            || volume.metadata.is_deleting()
            || volume.size() < wanted
            || volume.differs_in_mode(claim)
            || volume.differs_in_attributes(claim)
            || !volume.has_modes_of(claim)
        {
            continue;
        }
        let is_reached = node.is_none_or(|node| volume.is_reached_from(node));
        if is_reserved {
            return is_reached.then_some(candidate);
        }
        let selected = claim.spec.selector.as_ref().is_none_or(|own| own.matches(&volume.metadata.labels));
        if node.is_none() && waits
            || &*volume.status.phase != "Available"
            || !selected
            || volume.class() != claim.class()
            || !is_reached
        {
            continue;
        }
        let order = |volume: &PersistentVolumeView| (volume.spec.access_modes.len(), volume.size());
        if best.is_none_or(|best| order(volume) < order(best.as_ref())) {
            best = Some(candidate);
        }
    }
    best
}

/// How a volume refers to a claim.
pub fn claim_reference(claim: &PersistentVolumeClaimView) -> Value {
    let meta = &claim.metadata;
    json!({
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": meta.namespace, "name": meta.name,
        "uid": meta.uid, "resourceVersion": meta.resource_version.to_string(),
    })
}

/// The write that gives a volume to a claim, and says so if nobody reserved it; only while the volume is as it was seen.
pub fn give(volume: &PersistentVolumeView, claim: &PersistentVolumeClaimView) -> Action {
    let mut patch = json!({"spec": {"claimRef": claim_reference(claim)}});
    if !volume.is_for(claim) && !is_marked(&volume.metadata, BOUND_BY_CONTROLLER) {
        patch["metadata"] = json!({"annotations": {BOUND_BY_CONTROLLER: "yes"}});
    }
    Action::merge(volume.reference().at(volume.metadata.resource_version), patch)
}

/// Key of the claim that a pod's volume uses.
pub fn claim_key(pod: &PodView, name: &str) -> Key {
    Key::new(&pod.metadata.namespace, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn volume(name: &str, spec: &Value) -> Arc<PersistentVolumeView> {
        let volume = json!({"metadata": {"name": name}, "spec": spec, "status": {"phase": "Available"}});
        Arc::new(serde_json::from_str(&volume.to_string()).unwrap())
    }

    fn claim(spec: &Value) -> PersistentVolumeClaimView {
        let claim = json!({"metadata": {"namespace": "n", "name": "c", "uid": "u"}, "spec": spec});
        serde_json::from_str(&claim.to_string()).unwrap()
    }

    fn name(found: Option<&Arc<PersistentVolumeView>>) -> Option<&str> {
        found.map(|volume| &*volume.metadata.name)
    }

    #[test]
    fn the_smallest_that_fits_is_taken_unless_one_is_reserved() {
        let of = |size: &str| json!({"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]});
        let volumes = [volume("big", &of("9Gi")), volume("small", &of("1Gi")), volume("right", &of("5Gi"))];
        let wants =
            claim(&json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}));
        assert_eq!(name(best_match(&wants, volumes.iter(), None, false)), Some("right"));
        assert_eq!(name(best_match(&wants, volumes.iter(), None, true)), None);
        let mut reserved = of("9Gi");
        reserved["claimRef"] = json!({"namespace": "n", "name": "c"});
        let with = [volumes[2].clone(), volume("reserved", &reserved)];
        assert_eq!(name(best_match(&wants, with.iter(), None, true)), Some("reserved"));
    }

    #[test]
    fn nodes_must_reach_the_volume() {
        let local = json!({"capacity": {"storage": "1Gi"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "host", "operator": "In", "values": ["a"]}]}]}}});
        let volumes = [volume("local", &local)];
        let node = |host: &str| -> NodeView {
            serde_json::from_str(&json!({"metadata": {"name": host, "labels": {"host": host}}}).to_string())
                .unwrap()
        };
        let wants = claim(&json!({"resources": {"requests": {"storage": "1Gi"}}}));
        assert_eq!(name(best_match(&wants, volumes.iter(), Some(&node("a")), true)), Some("local"));
        assert_eq!(name(best_match(&wants, volumes.iter(), Some(&node("b")), true)), None);
    }

    #[test]
    fn a_named_volume_says_why_it_does_not_fit() {
        let spec = json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadOnlyMany"]});
        let mut wants =
            json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}});
        let found = |wants: &Value| misfit(&volume("v", &spec), &claim(wants));
        assert_eq!(found(&wants).as_deref(), Some("requested PV is too small"));
        wants["resources"]["requests"]["storage"] = json!("1Gi");
        assert_eq!(found(&wants).as_deref(), Some("incompatible accessMode"));
        wants["accessModes"] = json!(["ReadOnlyMany"]);
        assert_eq!(found(&wants), None);
        wants["storageClassName"] = json!("fast");
        assert_eq!(found(&wants).as_deref(), Some("storageClassName does not match"));
    }
}
