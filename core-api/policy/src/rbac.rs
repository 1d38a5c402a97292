//! The RBAC authorizer.
//!
//! Owns: the compiled index over the published roles and bindings. Invariants: a decision reads nothing but memory;
//! the index is as new as the published state when the question is asked; of a changed kind only changed objects are
//! decoded again. Upstream: `plugin/pkg/auth/authorizer/rbac/rbac.go`.

pub mod escalation;
pub mod index;
pub mod rule;

use crate::objects;
use arc_swap::ArcSwapOption;
use futures::{FutureExt, future::BoxFuture};
use index::{BindingView, Index, Key, RoleView, Sources};
use parking_lot::Mutex;
use proa_meta::{Gvr, User};
use proa_registry::{Attributes, Authorizer, Catalogue, Decision, Entry, Kind, Registry, state::Snapshot};
use proa_store::Revision;
use rule::PolicyRule;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};

/// The kinds that the index is made of.
const KINDS: [Gvr; 4] =
    [objects::ROLES, objects::CLUSTER_ROLES, objects::ROLE_BINDINGS, objects::CLUSTER_ROLE_BINDINGS];

/// Decides by Roles, ClusterRoles and their bindings.
pub struct Rbac {
    registry: Arc<Registry>,
    compiled: ArcSwapOption<Compiled>,
    views: Mutex<Views>,
}

/// An index and what it was made from.
struct Compiled {
    generation: u64,
    kinds: [Option<Arc<Kind>>; 4],
    revisions: [Revision; 4],
    index: Index,
}

/// Decoded objects by key, kept from one index to the next.
#[derive(Default)]
struct Views {
    roles: HashMap<Key, (Revision, Arc<RoleView>)>,
    bindings: HashMap<Key, (Revision, Arc<BindingView>)>,
}

impl Rbac {
    /// An authorizer over the registry's published state.
    pub fn new(registry: Arc<Registry>) -> Arc<Self> {
        Arc::new(Self { registry, compiled: ArcSwapOption::empty(), views: Mutex::default() })
    }

    /// Whether a rule of the user allows the request, with the reason.
    pub fn decide(&self, request: &Attributes) -> Decision {
        match self.compiled().index.decide(request) {
            Ok(reason) => Decision::Allow(reason),
            Err(problem) if problem.is_empty() => Decision::NoOpinion(problem),
            Err(problem) => Decision::NoOpinion(format!("RBAC: {problem}")),
        }
    }

    /// The parts of `asked` that the user does not hold in the namespace, and what could not be resolved.
    pub fn uncovered(&self, user: &User, namespace: &str, asked: &[PolicyRule]) -> (Vec<PolicyRule>, String) {
        let compiled = self.compiled();
        let (owned, problem) = compiled.index.rules(user, namespace);
        (rule::uncovered(&owned, asked), problem)
    }

    /// The index of the published state.
    fn compiled(&self) -> Arc<Compiled> {
        let catalogue = self.registry.catalogue();
        let fresh = |compiled: &Arc<Compiled>| compiled.is_current(&catalogue);
        if let Some(compiled) = self.compiled.load_full().filter(fresh) {
            return compiled;
        }
        let mut views = self.views.lock();
        if let Some(compiled) = self.compiled.load_full().filter(fresh) {
            return compiled;
        }
        let compiled = Arc::new(views.compile(&catalogue));
        self.compiled.store(Some(compiled.clone()));
        compiled
    }
}

impl Compiled {
    fn is_current(&self, catalogue: &Catalogue) -> bool {
        self.generation == catalogue.generation()
            && self
                .kinds
                .iter()
                .zip(self.revisions)
                .all(|(kind, revision)| revision_of(kind.as_ref()) == revision)
    }
}

fn revision_of(kind: Option<&Arc<Kind>>) -> Revision {
    kind.map_or(Revision::ZERO, |kind| kind.revision())
}

impl Views {
    fn compile(&mut self, catalogue: &Catalogue) -> Compiled {
        let kinds = KINDS.map(|gvr| catalogue.find(&gvr.group, &gvr.version, &gvr.resource).cloned());
        let snapshots = kinds.each_ref().map(|kind| kind.as_ref().map(|kind| kind.snapshot()));
        let revisions = snapshots.each_ref().map(|s| s.as_ref().map_or(Revision::ZERO, |s| s.revision()));
        let [roles, cluster_roles, bindings, cluster_bindings] = &snapshots;
        let entries = |pair: [&Option<_>; 2]| -> Vec<Arc<Entry>> {
            pair.into_iter().flatten().flat_map(|s: &Arc<Snapshot>| s.iter().cloned()).collect()
        };
        renew(&mut self.roles, &entries([roles, cluster_roles]));
        renew(&mut self.bindings, &entries([bindings, cluster_bindings]));
        let index = Index::build(&Sources { roles: present(&self.roles), bindings: present(&self.bindings) });
        Compiled { generation: catalogue.generation(), kinds, revisions, index }
    }
}

/// Brings decoded views up to the entries: only entries of a new revision are decoded.
fn renew<T: DeserializeOwned + Default>(
    views: &mut HashMap<Key, (Revision, Arc<T>)>,
    entries: &[Arc<Entry>],
) {
    let mut renewed = HashMap::with_capacity(entries.len());
    for entry in entries {
        let key = (entry.namespace().to_owned(), entry.name().to_owned());
        let view = match views.remove(&key) {
            Some((revision, view)) if revision == entry.revision => view,
            _ => Arc::new(decode(entry)),
        };
        renewed.insert(key, (entry.revision, view));
    }
    *views = renewed;
}

/// A role or binding that does not decode gives nobody anything.
fn decode<T: DeserializeOwned + Default>(entry: &Entry) -> T {
    entry.decode().unwrap_or_else(|error| {
        tracing::warn!(key = %entry.key, %error, "object is left out of RBAC");
        T::default()
    })
}

fn present<T>(views: &HashMap<Key, (Revision, Arc<T>)>) -> HashMap<Key, Arc<T>> {
    views.iter().map(|(key, (_, view))| (key.clone(), view.clone())).collect()
}

impl Authorizer for Rbac {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        async move { self.decide(attributes) }.boxed()
    }

    fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> BoxFuture<'a, Value> {
        async move {
            let compiled = self.compiled();
            let (rules, problem) = compiled.index.rules(user, namespace);
            rules_status(&rules, &problem)
        }
        .boxed()
    }
}

/// `status` of a SelfSubjectRulesReview.
pub(crate) fn rules_status(rules: &[&PolicyRule], problem: &str) -> Value {
    let resource = |rule: &&PolicyRule| {
        let mut value =
            json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
        if !rule.resource_names.is_empty() {
            value["resourceNames"] = json!(rule.resource_names);
        }
        value
    };
    let path = |rule: &&PolicyRule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls});
    let mut status = json!({
        "resourceRules": rules.iter().filter(|r| !r.resources.is_empty()).map(resource).collect::<Vec<_>>(),
        "nonResourceRules": rules.iter().filter(|r| !r.non_resource_urls.is_empty()).map(path).collect::<Vec<_>>(),
        "incomplete": false,
    });
    if !problem.is_empty() {
        status["evaluationError"] = json!(problem);
    }
    status
}
