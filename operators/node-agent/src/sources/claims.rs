//! Claims, the volumes that they are bound to, and the node itself: asked for when a volume is mounted.
//!
//! Nothing is watched: a node may read single claims only, and what is bound stays so while a pod uses it.
//! Upstream: `getPVCExtractPV`, `getPVSpec` of `pkg/kubelet/volumemanager/populator`.

use super::{SourceError, Sources};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

impl Sources {
    /// A claim, as it is now.
    pub(crate) async fn claim(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<PersistentVolumeClaim, SourceError> {
        get(&Api::namespaced(self.0.client.clone(), namespace), name).await
    }
    /// A volume, as it is now.
    pub(crate) async fn persistent_volume(&self, name: &str) -> Result<PersistentVolume, SourceError> {
        get(&Api::all(self.0.client.clone()), name).await
    }
    /// A node, as it is now.
    pub(crate) async fn node(&self, name: &str) -> Result<Node, SourceError> {
        get(&Api::all(self.0.client.clone()), name).await
    }
}

async fn get<K: Clone + Debug + DeserializeOwned>(api: &Api<K>, name: &str) -> Result<K, SourceError> {
    api.get(name).await.map_err(|error| match error {
        kube::Error::Api(status) => SourceError::Refused(status.message.clone()),
        other => SourceError::Refused(other.to_string()),
    })
}
