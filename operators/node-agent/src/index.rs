//! The pods of this node and who works on them.
//!
//! Owns: the latest spec of each pod by uid (N1), which pod a container or sandbox belongs to, what the server may say
//! about pods, and each worker's mail. Invariants: synchronous plain data; a pod stays until its worker is done with it,
//! even when the API no longer has it; a wake never blocks and never gets lost.
//! Upstream: pkg/kubelet/pod (manager), pkg/kubelet/pod_workers.go.

mod lookup;

use crate::{
    build,
    observe::Observed,
    plan::{
        allocation,
        memory::{NoRoom, Verdict},
        resources,
    },
};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use parking_lot::{Mutex, RwLock};
use proa_kit::{
    Change, Key, Kind, Meta, Typed as _, View,
    views::{ObjectView, PodView},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};
use tokio::sync::{Notify, watch};

/// A pod as the agent reads it: whole, since everything of its spec may matter.
#[derive(Clone, Debug)]
pub(crate) struct NodePod {
    metadata: Meta,
    /// The pod, without managed fields.
    pub(crate) pod: Arc<Pod>,
}

impl NodePod {
    /// What is watched.
    pub(crate) const KIND: Kind = PodView::KIND;
}

impl View for NodePod {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl<'de> Deserialize<'de> for NodePod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let view: ObjectView = serde_json::from_str(text).map_err(D::Error::custom)?;
        let mut pod: Pod = serde_json::from_str(text).map_err(D::Error::custom)?;
        pod.metadata.managed_fields = None;
        Ok(Self { metadata: view.metadata, pod: Arc::new(pod) })
    }
}

/// What a worker is told between two looks.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    notify: Notify,
    news: Mutex<News>,
}

/// What happened since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// The runtime must be read again.
    pub(crate) is_stale: bool,
    /// Containers and sandboxes that ended, or will be seen to have ended in a moment.
    pub(crate) ended: BTreeSet<String>,
    /// Something that the pod refers to changed.
    pub(crate) has_new_sources: bool,
}

impl Mail {
    /// Waits for news or another reason to plan again.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }
    /// Takes the news.
    pub(crate) fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock())
    }
    fn send(&self, write: impl FnOnce(&mut News)) {
        write(&mut self.news.lock());
        self.notify.notify_one();
    }
}

/// What the agent last worked out about a pod.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Its status.
    pub(crate) status: PodStatus,
    /// What the runtime has of it.
    pub(crate) observed: Observed,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    /// The pod with the resources that the node gave it.
    allocated: Arc<Pod>,
    is_gone: bool,
    /// It counts against the node's resources.
    is_accepted: bool,
    verdict: Option<Verdict>,
    mail: Arc<Mail>,
    shown: Arc<Shown>,
    /// Its containers have ended, and its volumes and its cgroup are gone.
    is_stopped: watch::Sender<bool>,
}

/// What a worker works on.
#[derive(Clone, Debug)]
pub(crate) struct Latest {
    /// The latest spec.
    pub(crate) pod: Arc<Pod>,
    /// The same with the resources that the node gave it.
    pub(crate) allocated: Arc<Pod>,
    /// The API no longer has it.
    pub(crate) is_gone: bool,
    /// A decision against it.
    pub(crate) verdict: Option<Verdict>,
}

#[derive(Debug, Default)]
struct State {
    pods: HashMap<String, Entry>,
    names: HashMap<Key, String>,
    owners: HashMap<String, String>,
}

/// The pods of this node; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index(Arc<RwLock<State>>);

impl Index {
    /// Takes a change of the watch in; uids of pods that nobody works on yet.
    pub(crate) fn take_in(&self, change: &Change<NodePod>) -> Option<String> {
        let mut state = self.0.write();
        let new = change.new.as_ref().map(|new| &new.pod);
        if let Some(old) = &change.old
            && new.is_none_or(|new| new.metadata.uid != old.pod.metadata.uid)
        {
            state.lose(&old.pod);
        }
        new.and_then(|new| state.put(new.clone()))
    }
    /// What to work on; `None` once the pod was removed.
    pub(crate) fn latest(&self, uid: &str) -> Option<Latest> {
        let state = self.0.read();
        let entry = state.pods.get(uid)?;
        Some(Latest {
            pod: entry.pod.clone(),
            allocated: entry.allocated.clone(),
            is_gone: entry.is_gone,
            verdict: entry.verdict.clone(),
        })
    }
    /// A worker's mail.
    pub(crate) fn mail(&self, uid: &str) -> Option<Arc<Mail>> {
        self.0.read().pods.get(uid).map(|entry| entry.mail.clone())
    }
    /// The pod must be planned again.
    pub(crate) fn wake(&self, uid: &str) {
        self.send(uid, |_| {});
    }
    /// The runtime must be read again for the pod.
    pub(crate) fn wake_stale(&self, uid: &str) {
        self.send(uid, |news| news.is_stale = true);
    }
    /// The runtime must be read again for every pod.
    pub(crate) fn wake_all(&self) {
        for entry in self.0.read().pods.values() {
            entry.mail.send(|news| news.is_stale = true);
        }
    }
    /// Something changed that the pod refers to.
    pub(crate) fn wake_for_sources(&self, uid: &str) {
        self.send(uid, |news| news.has_new_sources = true);
    }
    fn send(&self, uid: &str, write: impl FnOnce(&mut News)) {
        if let Some(entry) = self.0.read().pods.get(uid) {
            entry.mail.send(write);
        }
    }
    /// Something happened to a container or sandbox. Whether it is known.
    pub(crate) fn happened(&self, id: &str, has_ended: bool) -> bool {
        let state = self.0.read();
        let Some(entry) = state.owners.get(id).and_then(|uid| state.pods.get(uid)) else { return false };
        entry.mail.send(|news| {
            news.is_stale = true;
            if has_ended {
                news.ended.insert(id.to_owned());
            }
        });
        true
    }
    /// A container or sandbox belongs to a pod.
    pub(crate) fn own(&self, id: &str, uid: &str) {
        self.0.write().owners.insert(id.to_owned(), uid.to_owned());
    }
    /// Publishes what was worked out about a pod.
    pub(crate) fn publish(&self, uid: &str, shown: Shown, is_stopped: bool) {
        let mut state = self.0.write();
        let State { pods, owners, .. } = &mut *state;
        let Some(entry) = pods.get_mut(uid) else { return };
        let ids = |observed: &Observed| -> HashSet<String> {
            let sandboxes = observed.sandboxes.iter().map(|sandbox| sandbox.id.clone());
            sandboxes.chain(observed.containers.iter().map(|status| status.container.id.clone())).collect()
        };
        let (old, new) = (ids(&entry.shown.observed), ids(&shown.observed));
        for id in old.difference(&new) {
            owners.remove(id);
        }
        owners.extend(new.into_iter().map(|id| (id, uid.to_owned())));
        entry.shown = Arc::new(shown);
        let was_stopped = entry.is_stopped.send_replace(is_stopped);
        if is_stopped && !was_stopped {
            // Its room is free for others.
            for other in pods.values() {
                other.mail.send(|_| {});
            }
        }
    }
    /// Gives a pod the resources that `pod` asks for, unless `decide`, which sees the pods that count beside it, says
    /// why not.
    pub(crate) fn allocate(
        &self,
        uid: &str,
        pod: &Arc<Pod>,
        decide: impl FnOnce(&[Arc<Pod>]) -> Option<NoRoom>,
    ) -> Option<NoRoom> {
        let mut state = self.0.write();
        let others: Vec<Arc<Pod>> = state.counted().filter(|pod| build::uid(pod) != uid).cloned().collect();
        let no_room = decide(&others);
        if no_room.is_none() {
            for (own, entry) in &mut state.pods {
                if own == uid {
                    entry.allocated = pod.clone();
                } else {
                    // There may be room for others now.
                    entry.mail.send(|_| {});
                }
            }
        }
        no_room
    }
    /// Decides once whether the node takes a pod; `decide` sees it and the pods that count already.
    pub(crate) fn admit(
        &self,
        uid: &str,
        decide: impl FnOnce(&Pod, &[Arc<Pod>]) -> Option<Verdict>,
    ) -> Option<Verdict> {
        let mut state = self.0.write();
        let others: Vec<Arc<Pod>> = state.counted().filter(|pod| build::uid(pod) != uid).cloned().collect();
        let entry = state.pods.get_mut(uid)?;
        if entry.is_accepted || entry.verdict.is_some() {
            return None;
        }
        let verdict = decide(&entry.pod, &others);
        entry.is_accepted = verdict.is_none();
        entry.verdict.clone_from(&verdict);
        verdict
    }
    /// Ends a pod; told when its containers have ended and its volumes are gone.
    pub(crate) fn evict(&self, uid: &str, verdict: Verdict) -> Option<watch::Receiver<bool>> {
        let mut state = self.0.write();
        let entry = state.pods.get_mut(uid)?;
        entry.verdict.get_or_insert(verdict);
        entry.mail.send(|_| {});
        Some(entry.is_stopped.subscribe())
    }
    /// Pods that run or may run.
    pub(crate) fn active(&self) -> Vec<Arc<Pod>> {
        self.0.read().counted().cloned().collect()
    }
    /// CPU shares of all burstable pods together.
    pub(crate) fn burstable_shares(&self) -> i64 {
        let state = self.0.read();
        let burstable =
            state.counted().filter(|pod| build::resources::class(pod) == build::resources::Class::Burstable);
        let milli_cpu: i64 = burstable.filter_map(|pod| resources::requests(pod).get("cpu").copied()).sum();
        milli_cpu.saturating_mul(1024) / 1000
    }
    /// Uids of all pods that somebody works on.
    pub(crate) fn uids(&self) -> Vec<String> {
        self.0.read().pods.keys().cloned().collect()
    }
    /// Whether somebody works on the pod.
    pub(crate) fn holds(&self, uid: &str) -> bool {
        self.0.read().pods.contains_key(uid)
    }
    /// The worker of a pod is done with it.
    pub(crate) fn remove(&self, uid: &str) {
        let mut state = self.0.write();
        state.pods.remove(uid);
        state.names.retain(|_, own| own != uid);
        state.owners.retain(|_, own| own != uid);
    }
    /// How a worker last saw its pod in the runtime.
    pub(crate) fn shown(&self, uid: &str) -> Option<Arc<Shown>> {
        self.0.read().pods.get(uid).map(|entry| entry.shown.clone())
    }
}

impl State {
    fn lose(&mut self, pod: &Arc<Pod>) {
        if let Some(entry) = self.pods.get_mut(build::uid(pod)) {
            entry.allocated = allocation::carried(pod, &entry.allocated);
            entry.pod = pod.clone();
            entry.is_gone = true;
            entry.mail.send(|_| {});
        }
    }
    fn put(&mut self, pod: Arc<Pod>) -> Option<String> {
        let uid = build::uid(&pod).to_owned();
        self.names.insert(Key::new(build::namespace(&pod), build::name(&pod)), uid.clone());
        if let Some(entry) = self.pods.get_mut(&uid) {
            entry.allocated = allocation::carried(&pod, &entry.allocated);
            entry.pod = pod;
            entry.mail.send(|_| {});
            return None;
        }
        // One that has a start time was taken before, by an agent that is no more.
        let is_accepted = pod.status.as_ref().is_some_and(|status| status.start_time.is_some());
        let entry = Entry {
            allocated: allocation::restored(&pod),
            pod,
            is_gone: false,
            is_accepted,
            verdict: None,
            mail: Arc::default(),
            shown: Arc::default(),
            is_stopped: watch::Sender::new(false),
        };
        self.pods.insert(uid.clone(), entry);
        Some(uid)
    }
    /// Pods that take room on the node, with the resources that it gave them.
    fn counted(&self) -> impl Iterator<Item = &Arc<Pod>> {
        let counts = |entry: &&Entry| {
            let phase = entry.pod.status.as_ref().and_then(|status| status.phase.as_deref());
            entry.is_accepted && !*entry.is_stopped.borrow() && !matches!(phase, Some("Succeeded" | "Failed"))
        };
        self.pods.values().filter(counts).map(|entry| &entry.allocated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(name: &str, uid: &str, status: &Value) -> Arc<NodePod> {
        let text = json!({"metadata": {"name": name, "namespace": "ns", "uid": uid, "managedFields": [{}]},
            "spec": {"containers": [{"name": "a"}]}, "status": status});
        Arc::new(serde_json::from_str(&text.to_string()).unwrap())
    }

    #[test]
    fn another_pod_of_the_same_name_does_not_take_over() {
        let index = Index::default();
        let (first, second) = (pod("a", "u1", &json!({})), pod("a", "u2", &json!({})));
        let created = Change { old: None, new: Some(first.clone()) };
        assert_eq!(index.take_in(&created).as_deref(), Some("u1"));
        assert_eq!(index.take_in(&created), None);
        let replaced = Change { old: Some(first), new: Some(second) };
        assert_eq!(index.take_in(&replaced).as_deref(), Some("u2"));
        assert!(index.latest("u1").unwrap().is_gone);
        assert!(!index.latest("u2").unwrap().is_gone);
        index.remove("u1");
        assert!(index.latest("u1").is_none());
    }

    #[test]
    fn a_pod_is_admitted_once_and_then_counts() {
        let index = Index::default();
        for (name, uid, status) in
            [("a", "u1", json!({"startTime": "2026-01-01T00:00:00Z"})), ("b", "u2", json!({}))]
        {
            index.take_in(&Change { old: None, new: Some(pod(name, uid, &status)) });
        }
        let verdict = Verdict { reason: "R".into(), message: "m".into(), grace: None, disruption: false };
        // Taken before: not asked again.
        assert_eq!(index.admit("u1", |_, _| Some(verdict.clone())), None);
        let refused = index.admit("u2", |_, others| (others.len() == 1).then(|| verdict.clone()));
        assert_eq!(refused, Some(verdict));
        assert_eq!(index.active().len(), 1);
    }

    #[test]
    fn ends_reach_the_pod_of_the_container() {
        let index = Index::default();
        index.take_in(&Change { old: None, new: Some(pod("a", "u1", &json!({}))) });
        assert!(!index.happened("c1", true));
        index.own("c1", "u1");
        assert!(index.happened("c1", true));
        let news = index.mail("u1").unwrap().take();
        assert_eq!((news.is_stale, news.ended.contains("c1")), (true, true));
    }
}
