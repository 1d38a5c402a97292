//! What pods refer to.
//!
//! Pure. Owns: the references of a pod's spec. Upstream: `pkg/api/v1/pod/util.go` (visitors).

use crate::admission::items;
use serde_json::Value;

/// Kinds that pods refer to by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Volumes, environment, pull secrets.
    Secret,
    /// Volumes, environment.
    ConfigMap,
    /// PersistentVolumeClaims.
    Claim,
    /// The service account.
    ServiceAccount,
}

/// Whether a pod's spec mentions an object.
pub fn mentions(spec: &Value, pod: &str, reference: Reference, name: &str) -> bool {
    let mut found = false;
    visit(spec, pod, &mut |kind, mentioned| found |= kind == reference && mentioned == name);
    found
}

/// Calls `each` for every reference of a pod's spec.
pub fn visit(spec: &Value, pod: &str, each: &mut dyn FnMut(Reference, &str)) {
    let mut one = |reference, value: &Value| {
        if let Some(name) = value.as_str() {
            each(reference, name);
        }
    };
    one(Reference::ServiceAccount, &spec["serviceAccountName"]);
    for secret in items(&spec["imagePullSecrets"]) {
        one(Reference::Secret, &secret["name"]);
    }
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(&spec[containers]) {
            visit_environment(container, &mut one);
        }
    }
    for volume in items(&spec["volumes"]) {
        visit_volume(volume, pod, &mut one);
    }
}

fn visit_environment(container: &Value, one: &mut dyn FnMut(Reference, &Value)) {
    for variable in items(&container["env"]) {
        one(Reference::Secret, &variable["valueFrom"]["secretKeyRef"]["name"]);
        one(Reference::ConfigMap, &variable["valueFrom"]["configMapKeyRef"]["name"]);
    }
    for source in items(&container["envFrom"]) {
        one(Reference::Secret, &source["secretRef"]["name"]);
        one(Reference::ConfigMap, &source["configMapRef"]["name"]);
    }
}

fn visit_volume(volume: &Value, pod: &str, one: &mut dyn FnMut(Reference, &Value)) {
    one(Reference::Secret, &volume["secret"]["secretName"]);
    one(Reference::ConfigMap, &volume["configMap"]["name"]);
    one(Reference::Claim, &volume["persistentVolumeClaim"]["claimName"]);
    if let (Value::Object(_), Some(name)) = (&volume["ephemeral"], volume["name"].as_str()) {
        one(Reference::Claim, &Value::String(format!("{pod}-{name}")));
    }
    for source in items(&volume["projected"]["sources"]) {
        one(Reference::Secret, &source["secret"]["name"]);
        one(Reference::ConfigMap, &source["configMap"]["name"]);
    }
    const SECRET_PATHS: [&str; 11] = [
        "/azureFile/secretName",
        "/cephfs/secretRef/name",
        "/cinder/secretRef/name",
        "/flexVolume/secretRef/name",
        "/rbd/secretRef/name",
        "/scaleIO/secretRef/name",
        "/iscsi/secretRef/name",
        "/storageos/secretRef/name",
        "/csi/nodePublishSecretRef/name",
        "/csi/nodeStageSecretRef/name",
        "/csi/nodeExpandSecretRef/name",
    ];
    for path in SECRET_PATHS {
        if let Some(name) = volume.pointer(path) {
            one(Reference::Secret, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_of_a_pod_is_seen() {
        let spec = json!({
            "serviceAccountName": "account",
            "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "init-env"}}}]}],
            "containers": [{"envFrom": [{"secretRef": {"name": "from"}}, {"configMapRef": {"name": "map-from"}}]}],
            "volumes": [
                {"secret": {"secretName": "volume"}},
                {"configMap": {"name": "map"}},
                {"projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "ca"}}]}},
                {"persistentVolumeClaim": {"claimName": "data"}},
                {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
                {"csi": {"nodePublishSecretRef": {"name": "csi"}}},
            ],
        });
        for (want, reference, name) in [
            (true, Reference::ServiceAccount, "account"),
            (true, Reference::Secret, "pull"),
            (true, Reference::Secret, "init-env"),
            (true, Reference::Secret, "from"),
            (true, Reference::Secret, "volume"),
            (true, Reference::Secret, "projected"),
            (true, Reference::Secret, "csi"),
            (false, Reference::Secret, "map"),
            (true, Reference::ConfigMap, "map"),
            (true, Reference::ConfigMap, "map-from"),
            (true, Reference::ConfigMap, "ca"),
            (true, Reference::Claim, "data"),
            (true, Reference::Claim, "web-scratch"),
            (false, Reference::Claim, "scratch"),
        ] {
            assert_eq!(mentions(&spec, "web", reference, name), want, "{reference:?} {name}");
        }
    }
}
