//! ConfigMaps, Secrets, Services, ClusterTrustBundles, tokens and certificates, for the pods of this node.
//!
//! Owns: one watch per object that a pod of the node refers to, shared by the pods and held while any of them is here;
//! one watch of Services per namespace, one of ClusterTrustBundles while a pod uses any; tokens and certificates, renewed
//! before they end. Invariants: a node may read only what its pods refer to, so everything is asked for by name; what was
//! seen once is kept while the API cannot be reached; whoever
//! uses an object is marked when it changes ([`Sources::changed`]), and the mark is a hint (N2).
//! Claims are asked for, not watched (`claims`). Deliberately absent: RuntimeClasses: `supported` refuses their users.
//! Upstream: `pkg/kubelet/{configmap,secret}`, `pkg/kubelet/util/manager/watch_based_manager.go`, `pkg/kubelet/token`.

mod certificates;
mod claims;
mod marks;
mod references;
mod tokens;
mod watched;

use crate::build::{namespace, uid};
use certificates::Certificates;
pub(crate) use certificates::Credentials;
use k8s_openapi::api::{
    certificates::v1::ClusterTrustBundle,
    core::v1::{ConfigMap, Pod, Secret, Service},
};
use kube::{Api, Client};
use marks::Marks;
use parking_lot::Mutex;
use proa_kit::clock::Clock;
use references::References;
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};
use tokens::Tokens;
use watched::{Slots, watch_all, watch_one};

/// How long to wait for the first answer about an object.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an object cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SourceError {
    /// The API did not answer.
    #[error("failed to sync {kind} cache: timed out waiting for the condition")]
    Timeout {
        /// What was asked for.
        kind: &'static str,
    },
    /// The API refused.
    #[error("{0}")]
    Refused(String),
}

/// See the module's text. Clones share everything.
#[derive(Clone)]
pub(crate) struct Sources(Arc<Inner>);

struct Inner {
    client: Client,
    marks: Marks,
    tokens: Tokens,
    certificates: Certificates,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pods: HashMap<String, References>,
    config_maps: Slots<ConfigMap>,
    secrets: Slots<Secret>,
    services: Slots<Service>,
    trust_bundles: Slots<ClusterTrustBundle>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

impl Sources {
    /// Reads with this client: that of `system:node:NAME`.
    pub(crate) fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        let marks = Marks::default();
        let tokens = Tokens::new(client.clone(), clock.clone(), marks.clone());
        let certificates = Certificates::new(client.clone(), clock, marks.clone());
        Self(Arc::new(Inner { client, marks, tokens, certificates, state: Mutex::default() }))
    }

    /// Watches what a pod refers to, until it is released. Called again, it takes over what changed.
    pub(crate) fn register(&self, pod: &Pod) {
        self.0.certificates.register(pod);
        let wanted = References::of(pod);
        let mut state = self.0.state.lock();
        let State { pods, config_maps, secrets, services, trust_bundles } = &mut *state;
        let old = pods.insert(uid(pod).to_owned(), wanted.clone()).unwrap_or_default();
        if old == wanted {
            return;
        }
        self.share(config_maps, pod, &old.config_maps, &wanted.config_maps);
        self.share(secrets, pod, &old.secrets, &wanted.secrets);
        self.share_services(services, pod, &old.service_namespaces, &wanted.service_namespaces);
        match (old.trust_bundles, wanted.trust_bundles) {
            (false, true) => trust_bundles.take(("", ""), uid(pod), |users| {
                let marks = self.0.marks.clone();
                watch_all(Api::all(self.0.client.clone()), move || marks.add(users.lock().iter().cloned()))
            }),
            (true, false) => trust_bundles.leave(("", ""), uid(pod)),
            _ => {}
        }
    }

    fn share<K: watched::Object>(
        &self,
        slots: &mut Slots<K>,
        pod: &Pod,
        old: &BTreeSet<String>,
        new: &BTreeSet<String>,
    ) {
        let namespace = namespace(pod);
        for name in new.difference(old) {
            slots.take((namespace, name), uid(pod), |users| {
                let api = Api::namespaced(self.0.client.clone(), namespace);
                watch_one(api, name, users, self.0.marks.clone())
            });
        }
        for name in old.difference(new) {
            slots.leave((namespace, name), uid(pod));
        }
    }

    fn share_services(
        &self,
        slots: &mut Slots<Service>,
        pod: &Pod,
        old: &BTreeSet<String>,
        new: &BTreeSet<String>,
    ) {
        for namespace in new.difference(old) {
            slots.take((namespace, ""), uid(pod), |_| {
                // Only containers that start later read them.
                watch_all(Api::namespaced(self.0.client.clone(), namespace), || {})
            });
        }
        for namespace in old.difference(new) {
            slots.leave((namespace, ""), uid(pod));
        }
    }

    /// The pod is gone: ends the watches that only it needed, and forgets its tokens and certificates.
    pub(crate) fn release(&self, pod_uid: &str) {
        let mut state = self.0.state.lock();
        state.pods.remove(pod_uid);
        state.config_maps.leave_all(pod_uid);
        state.secrets.leave_all(pod_uid);
        state.services.leave_all(pod_uid);
        state.trust_bundles.leave_all(pod_uid);
        drop(state);
        self.0.tokens.forget(pod_uid);
        self.0.certificates.forget(pod_uid);
    }

    /// A ConfigMap; none when it does not exist.
    pub(crate) async fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<ConfigMap>>, SourceError> {
        let seen = self.0.state.lock().config_maps.see((namespace, name));
        self.first("configmap", namespace, name, seen).await
    }

    /// A Secret; none when it does not exist.
    pub(crate) async fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Secret>>, SourceError> {
        let seen = self.0.state.lock().secrets.see((namespace, name));
        self.first("secret", namespace, name, seen).await
    }

    async fn first<K: watched::Object>(
        &self,
        kind: &'static str,
        namespace: &str,
        name: &str,
        seen: Option<watched::Seen<K>>,
    ) -> Result<Option<Arc<K>>, SourceError> {
        if let Some(mut seen) = seen {
            return Ok(watched::settled(&mut seen, kind, PATIENCE).await?.into_iter().next());
        }
        let api = Api::<K>::namespaced(self.0.client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(|error| SourceError::Refused(error.to_string()))?;
        Ok(found.map(Arc::new))
    }

    /// The Services that a pod's containers are told about: `kubernetes`, and with `links` all of its namespace.
    pub(crate) async fn services(
        &self,
        namespace: &str,
        links: bool,
    ) -> Result<Vec<Arc<Service>>, SourceError> {
        let mut found = self.services_of(references::MASTER_NAMESPACE).await?;
        found.retain(|service| service.metadata.name.as_deref() == Some(references::MASTER_SERVICE));
        if links {
            // A service of the pod's own namespace wins over the one of the same name.
            let own = self.services_of(namespace).await?;
            found.extend(own);
        }
        Ok(found)
    }

    async fn services_of(&self, namespace: &str) -> Result<Vec<Arc<Service>>, SourceError> {
        let seen = self.0.state.lock().services.see((namespace, ""));
        // Without a watch the pod was released meanwhile; its containers are not started any more.
        let Some(mut seen) = seen else { return Err(SourceError::Timeout { kind: "service" }) };
        watched::settled(&mut seen, "service", PATIENCE).await
    }

    /// All ClusterTrustBundles.
    pub(crate) async fn trust_bundles(&self) -> Result<Vec<Arc<ClusterTrustBundle>>, SourceError> {
        let kind = "clustertrustbundle";
        let seen = self.0.state.lock().trust_bundles.see(("", ""));
        let Some(mut seen) = seen else { return Err(SourceError::Timeout { kind }) };
        watched::settled(&mut seen, kind, PATIENCE).await
    }

    /// A token of the pod's service account, fresh enough to be handed out.
    pub(crate) async fn token(&self, pod: &Pod, audience: &str, seconds: i64) -> Result<String, SourceError> {
        self.0.tokens.token(pod, audience, seconds).await
    }

    /// The key and certificates for a source of a volume.
    pub(crate) async fn credentials(
        &self,
        pod: &Pod,
        volume: &str,
        index: usize,
    ) -> Result<Credentials, SourceError> {
        self.0.certificates.credentials(pod, volume, index).await
    }

    /// Waits until something that pods use has changed, and says which pods (by UID) use it.
    pub(crate) async fn changed(&self) -> BTreeSet<String> {
        self.0.marks.take().await
    }
}

#[cfg(test)]
pub(crate) mod tests;
