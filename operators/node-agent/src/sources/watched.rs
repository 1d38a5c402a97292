//! Watches that several pods share.
//!
//! Owns: a slot per watched object (or namespace), its users and its task, which ends with the last user.
//! Invariants: a value that was seen stays when the watch fails; a failure shows only while nothing was seen yet.

use super::{SourceError, marks::Marks};
use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Debug,
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};
use tracing::{Instrument as _, debug_span, warn};

/// What can be watched.
pub(crate) trait Watched:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static
{
}

/// What can be watched in a namespace.
pub(crate) trait Object: Watched + Resource<Scope = NamespaceResourceScope> {}

impl<K> Object for K where K: Watched + Resource<Scope = NamespaceResourceScope> {}

/// What is known of a watched thing: a single object, none, or all of a namespace.
#[derive(Clone, Debug)]
pub(super) enum Known<K> {
    Nothing,
    Failed(String),
    Objects(Vec<Arc<K>>),
}

/// The receiving end of a watch.
pub(super) type Seen<K> = watch::Receiver<Known<K>>;
/// UIDs of the pods that use a slot.
pub(super) type Users = Arc<Mutex<BTreeSet<String>>>;

/// A running watch.
pub(super) struct Watching<K> {
    seen: Seen<K>,
    task: JoinHandle<()>,
}

struct Slot<K> {
    users: Users,
    watching: Watching<K>,
}

impl<K> Drop for Slot<K> {
    fn drop(&mut self) {
        self.watching.task.abort();
    }
}

/// Slots by namespace and name.
pub(super) struct Slots<K>(HashMap<(String, String), Slot<K>>);

impl<K> Default for Slots<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K> Slots<K> {
    /// The pod uses the object from now on.
    pub(super) fn take(&mut self, key: (&str, &str), pod: &str, start: impl FnOnce(Users) -> Watching<K>) {
        let slot = self.0.entry((key.0.to_owned(), key.1.to_owned())).or_insert_with(|| {
            let users = Users::default();
            Slot { watching: start(users.clone()), users }
        });
        slot.users.lock().insert(pod.to_owned());
    }
    /// The pod uses the object no longer.
    pub(super) fn leave(&mut self, key: (&str, &str), pod: &str) {
        let key = (key.0.to_owned(), key.1.to_owned());
        if self.0.get(&key).is_some_and(|slot| !slot.has_users_without(pod)) {
            self.0.remove(&key);
        }
    }
    /// The pod uses nothing any more.
    pub(super) fn leave_all(&mut self, pod: &str) {
        self.0.retain(|_, slot| slot.has_users_without(pod));
    }
    /// What is known of an object that is watched.
    pub(super) fn see(&self, key: (&str, &str)) -> Option<Seen<K>> {
        self.0.get(&(key.0.to_owned(), key.1.to_owned())).map(|slot| slot.watching.seen.clone())
    }
}

impl<K> Slot<K> {
    fn has_users_without(&self, pod: &str) -> bool {
        let mut users = self.users.lock();
        users.remove(pod);
        !users.is_empty()
    }
}

/// Watches one object; its users are marked when it changes.
pub(super) fn watch_one<K: Watched>(api: Api<K>, name: &str, users: Users, marks: Marks) -> Watching<K> {
    let (known, seen) = watch::channel(Known::Nothing);
    let span = debug_span!("watch_object", kind = %K::kind(&()), name);
    let changes = kube::runtime::watcher::watch_object(api, name).default_backoff();
    let task = async move {
        let mut changes = pin!(changes);
        while let Some(change) = changes.next().await {
            let objects =
                change.map(|object| object.into_iter().map(|object| Arc::new(slim(object))).collect());
            publish(&known, objects);
            marks.add(users.lock().iter().cloned());
        }
    };
    Watching { seen, task: tokio::spawn(task.instrument(span)) }
}

/// Watches all objects that `api` has. `told` is told of each change.
pub(super) fn watch_all<K: Watched>(api: Api<K>, told: impl Fn() + Send + 'static) -> Watching<K> {
    let (known, seen) = watch::channel(Known::Nothing);
    let span = debug_span!("watch_all", kind = %K::kind(&()));
    let changes = watcher::watcher(api, watcher::Config::default()).default_backoff();
    Watching { seen, task: tokio::spawn(follow(changes, known, told).instrument(span)) }
}

async fn follow<K: Watched>(
    changes: impl Stream<Item = watcher::Result<Event<K>>>,
    known: watch::Sender<Known<K>>,
    told: impl Fn(),
) {
    let mut changes = pin!(changes);
    let mut objects: BTreeMap<String, Arc<K>> = BTreeMap::new();
    let mut listed: BTreeMap<String, Arc<K>> = BTreeMap::new();
    let name = |object: &K| object.meta().name.clone().unwrap_or_default();
    while let Some(change) = changes.next().await {
        match change {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => drop(listed.insert(name(&object), Arc::new(slim(object)))),
            Ok(Event::InitDone) => {
                objects = std::mem::take(&mut listed);
                publish(&known, Ok(values(&objects)));
            }
            Ok(Event::Apply(object)) => {
                objects.insert(name(&object), Arc::new(slim(object)));
                publish(&known, Ok(values(&objects)));
            }
            Ok(Event::Delete(object)) => {
                objects.remove(&name(&object));
                publish(&known, Ok(values(&objects)));
            }
            Err(error) => publish(&known, Err(error)),
        }
        if listed.is_empty() {
            told();
        }
    }
}

fn values<K>(objects: &BTreeMap<String, Arc<K>>) -> Vec<Arc<K>> {
    objects.values().cloned().collect()
}

fn slim<K: Watched>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}

fn publish<K>(known: &watch::Sender<Known<K>>, objects: watcher::Result<Vec<Arc<K>>>) {
    match objects {
        Ok(objects) => drop(known.send_replace(Known::Objects(objects))),
        Err(error) => {
            warn!(%error, "cannot watch what a pod uses; will try again");
            let text = error.to_string();
            known.send_if_modified(|known| {
                let is_first = !matches!(known, Known::Objects(_));
                if is_first {
                    *known = Known::Failed(text);
                }
                is_first
            });
        }
    }
}

/// Waits until something is known.
pub(super) async fn settled<K>(
    seen: &mut Seen<K>,
    kind: &'static str,
    patience: Duration,
) -> Result<Vec<Arc<K>>, SourceError> {
    let known = tokio::time::timeout(patience, seen.wait_for(|known| !matches!(known, Known::Nothing))).await;
    match known {
        Ok(Ok(known)) => match &*known {
            Known::Objects(objects) => Ok(objects.clone()),
            Known::Failed(why) => Err(SourceError::Refused(why.clone())),
            Known::Nothing => Err(SourceError::Timeout { kind }),
        },
        // The watch ended with its last user, or nothing came in time.
        Ok(Err(_)) | Err(_) => Err(SourceError::Timeout { kind }),
    }
}
