//! Which volumes are made and which are cleared: pure.

use crate::{
    LocalPathConfig, PROVISIONER,
    index::{Index, Row},
};
use proa_kit::{
    Action, ObjectRef, Typed, View, finalizers,
    project::Dirty,
    storage::{PROVISIONED_BY, PROVISIONER_PROTECTION, claim_reference},
    views::{PersistentVolumeClaimView, PersistentVolumeView, StorageClassView},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc};

/// Annotation of volumes: the node whose directory it is.
pub const NODE: &str = "local-path.proa.dev/node";
/// The class.
pub const CLASS: &str = "local-path";
/// Label of nodes by which volumes are bound to them.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Ways to mount that a directory of one node has.
const MODES: [&str; 2] = ["ReadWriteOnce", "ReadWriteOncePod"];

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Change {
    /// Volumes to make.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub make: Vec<Make>,
    /// Volumes to clear.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clear: Vec<Clear>,
    /// Other writes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
}

/// A volume to make.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Make {
    /// Its directory.
    pub directory: PathBuf,
    /// Its claim.
    pub claim: Arc<ObjectRef>,
    /// Its class.
    pub class: Box<str>,
    /// The volume.
    pub volume: Value,
}

/// A volume to clear.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Clear {
    /// Its directory.
    pub directory: PathBuf,
    /// The volume.
    pub volume: Arc<ObjectRef>,
    /// Writes once the directory is gone.
    pub actions: Vec<Action>,
}

/// The change for what is marked.
pub fn change(index: &Index, dirty: &Dirty<Row>, settings: &LocalPathConfig) -> Change {
    let mut change = Change::default();
    let mut row = |row: &Row| match row {
        Row::Claim(key) => {
            if let Some(claim) = index.claims.get(key) {
                change.claim(claim, index, settings);
            }
        }
        Row::Volume(name) => {
            if let Some(volume) = index.volumes.get(name) {
                change.volume(volume, settings);
            }
        }
    };
    match dirty {
        Dirty::Keys(keys) => keys.iter().for_each(row),
        Dirty::All => {
            index.claims.keys().for_each(|key| row(&Row::Claim(key.clone())));
            index.volumes.keys().for_each(|name| row(&Row::Volume(name.clone())));
        }
    }
    change
}

impl Change {
    fn claim(&mut self, claim: &PersistentVolumeClaimView, index: &Index, settings: &LocalPathConfig) {
        let Some(class) = index.classes.get(claim.class()) else { return };
        let (about, name) = (Arc::new(claim.reference()), name(claim));
        if let Some(why) = refusal(claim, class) {
            self.actions.push(failed(&about, &class.metadata.name, &why));
            return;
        }
        if index.volumes.contains_key(&*name) {
            return;
        }
        let note =
            format!("External provisioner is provisioning volume for claim {:?}", claim.key().as_str());
        self.actions.push(Action::normal(&about, "Provisioning", note));
        let directory = settings.root.join(&name);
        let volume = volume(claim, class, &name, &directory.display().to_string(), &settings.node);
        self.make.push(Make { directory, claim: about, class: class.metadata.name.clone(), volume });
    }
    fn volume(&mut self, volume: &PersistentVolumeView, settings: &LocalPathConfig) {
        let (meta, spec) = (&volume.metadata, &volume.spec);
        let target = volume.reference();
        let phase = &*volume.status.phase;
        if &*spec.persistent_volume_reclaim_policy != "Delete" {
            self.actions.extend(finalizers::remove(target, meta, PROVISIONER_PROTECTION));
            return;
        }
        // One that was never a claim's has no user; of any other the binder says when its claim is gone.
        let is_unused = phase == "Available" && spec.claim_ref.is_none();
        if phase == "Released" || meta.is_deleting() && is_unused {
            let directory = settings.root.join(&*meta.name);
            let is_own = spec.local.as_ref().is_some_and(|own| *own.path == *directory.display().to_string());
            if !is_own || meta.is_deleting() && !meta.has_finalizer(PROVISIONER_PROTECTION) {
                return;
            }
            let patch =
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [PROVISIONER_PROTECTION]}});
            let mut actions = Vec::new();
            if !meta.is_deleting() {
                actions.push(Action::delete(target.clone()));
            }
            if meta.has_finalizer(PROVISIONER_PROTECTION) {
                actions.push(Action::strategic(target.clone(), patch));
            }
            self.clear.push(Clear { directory, volume: Arc::new(target), actions });
            return;
        }
        self.actions.extend(finalizers::add(target, meta, PROVISIONER_PROTECTION));
    }
}

/// Name of a claim's volume, and of its directory.
fn name(claim: &PersistentVolumeClaimView) -> String {
    format!("pvc-{}", claim.metadata.uid)
}

/// What is said when a volume cannot be made.
pub(crate) fn failed(claim: &Arc<ObjectRef>, class: &str, why: &str) -> Action {
    let note = format!("failed to provision volume with StorageClass {class:?}: {why}");
    Action::warning(claim, "ProvisioningFailed", note)
}

/// Why a directory of this node is not what a claim asks for.
fn refusal(claim: &PersistentVolumeClaimView, class: &StorageClassView) -> Option<String> {
    let spec = &claim.spec;
    if claim.selected_node().is_none() {
        return Some(
            "no node was chosen: the class needs the volumeBindingMode WaitForFirstConsumer".to_owned(),
        );
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return Some("volumeMode Block: a directory is no block device".to_owned());
    }
    if let Some(mode) = spec.access_modes.iter().find(|mode| !MODES.contains(&&***mode)) {
        return Some(format!("accessModes: {mode} is not supported, only {}", MODES.join(" and ")));
    }
    if spec.selector.is_some() {
        return Some("claim Selector is not supported".to_owned());
    }
    if spec.data_source_ref.is_some() {
        return Some("dataSourceRef: a directory starts empty".to_owned());
    }
    if spec.volume_attributes_class_name.as_deref().is_some_and(|name| !name.is_empty()) {
        return Some("volumeAttributesClassName: a directory has no attributes".to_owned());
    }
    if let Some((parameter, _)) = class.parameters.iter().next() {
        return Some(format!("parameters: there is no parameter {parameter:?}"));
    }
    (!class.mount_options.is_empty()).then(|| "mountOptions: a directory is not mounted".to_owned())
}

fn volume(
    claim: &PersistentVolumeClaimView,
    class: &StorageClassView,
    name: &str,
    path: &str,
    node: &str,
) -> Value {
    let policy = class.reclaim_policy.as_deref().unwrap_or("Delete");
    let finalizers: &[&str] = if policy == "Delete" { &[PROVISIONER_PROTECTION] } else { &[] };
    json!({
        "metadata": {
            "name": name,
            "annotations": {PROVISIONED_BY: PROVISIONER, NODE: node},
            "finalizers": finalizers,
        },
        "spec": {
            "capacity": {"storage": claim.spec.resources.requests.get("storage")},
            "accessModes": claim.spec.access_modes,
            "claimRef": claim_reference(claim),
            "persistentVolumeReclaimPolicy": policy,
            "storageClassName": class.metadata.name,
            "volumeMode": "Filesystem",
            "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": HOSTNAME, "operator": "In", "values": [node]}]}]}},
        },
    })
}

/// The class, as it is when nobody made it otherwise.
pub(crate) fn class() -> Value {
    json!({
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    })
}
