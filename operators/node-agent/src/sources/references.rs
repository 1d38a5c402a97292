//! What a pod refers to by name.
//!
//! Pure. Upstream: `pkg/api/v1/pod/util.go` (`VisitPodConfigmapNames`, `VisitPodSecretNames`).

use crate::build::{containers, namespace};
use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use std::collections::BTreeSet;

/// Namespace of the API's own service.
pub(super) const MASTER_NAMESPACE: &str = "default";
/// The API's own service: every container is told of it.
pub(super) const MASTER_SERVICE: &str = "kubernetes";

/// Names of objects in the pod's namespace, and the namespaces whose Services its containers are told about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct References {
    pub(super) config_maps: BTreeSet<String>,
    pub(super) secrets: BTreeSet<String>,
    pub(super) service_namespaces: BTreeSet<String>,
    /// It asks for trust anchors; by labels, so all bundles matter.
    pub(super) trust_bundles: bool,
}

impl References {
    /// All references of a pod.
    pub(super) fn of(pod: &Pod) -> Self {
        let mut found = Self::default();
        let Some(spec) = &pod.spec else { return found };
        found.service_namespaces.insert(MASTER_NAMESPACE.to_owned());
        if spec.enable_service_links != Some(false) {
            found.service_namespaces.insert(namespace(pod).to_owned());
        }
        found.secrets.extend(spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.clone()));
        containers::all(pod).for_each(|container| found.add_environment(&container.spec));
        spec.volumes.iter().flatten().for_each(|volume| found.add_volume(volume));
        // The server once let references without a name pass; they refer to nothing.
        found.secrets.remove("");
        found.config_maps.remove("");
        found
    }
    fn add_environment(&mut self, container: &Container) {
        for from in container.env_from.iter().flatten() {
            self.config_maps.extend(from.config_map_ref.iter().map(|source| source.name.clone()));
            self.secrets.extend(from.secret_ref.iter().map(|source| source.name.clone()));
        }
        for from in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            self.config_maps.extend(from.config_map_key_ref.iter().map(|key| key.name.clone()));
            self.secrets.extend(from.secret_key_ref.iter().map(|key| key.name.clone()));
        }
    }
    fn add_volume(&mut self, volume: &Volume) {
        self.config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        self.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        let projected = volume.projected.iter().filter_map(|projected| projected.sources.as_ref()).flatten();
        for source in projected {
            self.config_maps.extend(source.config_map.iter().map(|source| source.name.clone()));
            self.secrets.extend(source.secret.iter().map(|source| source.name.clone()));
            self.trust_bundles |= source.cluster_trust_bundle.is_some();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_is_seen() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"namespace": "shop"}, "spec": {
            "imagePullSecrets": [{"name": "pull"}, {"name": ""}],
            "initContainers": [{"name": "i", "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "m1", "key": "k"}}}]}],
            "containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "s2"}}, {"configMapRef": {"name": "m2"}}]}],
            "volumes": [
                {"name": "a", "secret": {"secretName": "s3"}},
                {"name": "b", "configMap": {"name": "m3"}},
                {"name": "c", "projected": {"sources": [{"secret": {"name": "s4"}}, {"configMap": {"name": "m4"}},
                    {"clusterTrustBundle": {"name": "b", "path": "p"}}]}},
            ],
        }}))
        .unwrap();
        let found = References::of(&pod);
        let texts = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(texts(&found.secrets), "pull s1 s2 s3 s4");
        assert_eq!(texts(&found.config_maps), "m1 m2 m3 m4");
        assert_eq!(texts(&found.service_namespaces), "default shop");
        assert!(found.trust_bundles);
    }
}
