//! Claims of pods: made before their pod, kept when it goes, and owned by whom the retention policy says.
//!
//! With `whenDeleted: Delete` the set owns them, with `whenScaled: Delete` a pod beyond the wanted number does; the garbage
//! collector does the rest. A claim that somebody else controls is left alone.
//! Upstream: pkg/controller/statefulset/{stateful_pod_control,stateful_set_utils}.go.

use super::{Draft, wanted};
use crate::build;
use proa_kit::{
    Action, Announce, Meta, ObjectRef, Typed,
    owner::controller_reference,
    views::{Owner, PersistentVolumeClaimView, PodView, StatefulSetView},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// A pod's claims as they are: missing ones, and whether one must be gone first.
pub(super) struct Claims<'a> {
    missing: Vec<(String, &'a Value)>,
    going: Option<String>,
    present: Vec<&'a Arc<PersistentVolumeClaimView>>,
}

impl<'a> Draft<'a> {
    /// The claims of the pod with this number.
    pub(super) fn claims(&self, ordinal: i32) -> Claims<'a> {
        let mut claims = Claims { missing: Vec::new(), going: None, present: Vec::new() };
        let set = self.set;
        for template in &set.spec.volume_claim_templates {
            let name = build::claim_name(set, template.value(), ordinal);
            match self.present.get(&*name) {
                None => claims.missing.push((name, template.value())),
                Some(claim) => {
                    if claim.metadata.is_deleting() {
                        claims.going = Some(name);
                    }
                    claims.present.push(claim);
                }
            }
        }
        claims
    }
    /// The writes that make the missing ones.
    pub(super) fn make(&self, claims: &Claims<'_>, pod: &str) -> Vec<Action> {
        let set = &self.set.metadata;
        let make = |(name, template): &(String, &Value)| {
            let claim = build::claim(self.set, template, name);
            let create = Action::create(PersistentVolumeClaimView::KIND, &set.namespace, claim);
            create.announced(
                Announce::about(&self.owner)
                    .success(
                        "SuccessfulCreate",
                        &format!("Create Claim {name} Pod {pod} in StatefulSet {} success", set.name),
                    )
                    .failure(
                        "FailedCreate",
                        &format!(
                            "Create Claim {name} for Pod {pod} in StatefulSet {} failed error: {{error}}",
                            set.name
                        ),
                    ),
            )
        };
        claims.missing.iter().map(make).collect()
    }
    /// Makes what a pod lacks that is there already, and sees to the owners.
    pub(super) fn mend(&mut self, pod: &PodView, makes_missing: bool) {
        if self.set.spec.volume_claim_templates.is_empty() {
            return;
        }
        let Some(ordinal) = build::ordinal(self.set, pod) else { return };
        let claims = self.claims(ordinal);
        if makes_missing {
            let made = self.make(&claims, &pod.metadata.name);
            self.actions.extend(made);
        }
        if claims.going.is_none() {
            let owned = self.own(&claims, &pod.metadata);
            self.actions.extend(owned);
        }
    }
    /// The writes that give claims their owners.
    pub(super) fn own(&self, claims: &Claims<'_>, pod: &Meta) -> Vec<Action> {
        let owners = Owners { set: self.set, pod, scaled_down: self.is_beyond(pod) };
        let mut actions = Vec::new();
        for claim in &claims.present {
            let meta = &claim.metadata;
            if owners.are_right(meta) {
                continue;
            }
            if owners.is_foreign(meta) {
                let note = format!(
                    "PersistentVolumeClaim {} has a conflicting OwnerReference that acts as a manging controller, the \
                     retention policy is ignored for this claim",
                    meta.name
                );
                actions.push(Action::warning(&self.owner, "ConflictingController", note));
            }
            let patch = json!({"metadata": {"ownerReferences": owners.wanted(meta)}});
            let what =
                format!("Update Pod {} in StatefulSet {} failed error", pod.name, self.set.metadata.name);
            let failed = Announce::about(&self.owner).failure("FailedUpdate", &format!("{what}: {{error}}"));
            actions.push(Action::merge(claim.reference().at(meta.resource_version), patch).announced(failed));
        }
        actions
    }
    fn is_beyond(&self, pod: &Meta) -> bool {
        let number = pod.name.rsplit_once('-').and_then(|(_, number)| number.parse::<i32>().ok());
        let place = number.and_then(|number| number.checked_sub(self.set.spec.start()));
        place.and_then(|place| usize::try_from(place).ok()).is_none_or(|place| place >= wanted(self.set))
    }
    /// Whether a claim of a pod that is to be made still belongs to its predecessor, and goes with that.
    pub(super) fn is_stale(&self, claims: &Claims<'_>, pod: &str) -> bool {
        let is_of_pod = |owner: &Owner| is_named(owner, &PodView::KIND, pod);
        policy(self.set).1 && claims.present.iter().any(|claim| claim.metadata.owners.iter().any(is_of_pod))
    }
}

impl Claims<'_> {
    /// The one that must be gone before a pod can be made.
    pub(super) fn going(&self) -> Option<&str> {
        self.going.as_deref()
    }
}

/// Whether claims go with the set, and with pods beyond the wanted number.
fn policy(set: &StatefulSetView) -> (bool, bool) {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    policy.map_or((false, false), |own| (&*own.when_deleted == "Delete", &*own.when_scaled == "Delete"))
}

fn is_named(owner: &Owner, kind: &proa_kit::Kind, name: &str) -> bool {
    *owner.api_version == *kind.api_version() && *owner.kind == *kind.kind && *owner.name == *name
}

/// Who shall own the claims of a pod.
struct Owners<'a> {
    set: &'a StatefulSetView,
    pod: &'a Meta,
    scaled_down: bool,
}

impl Owners<'_> {
    fn is_set(&self, owner: &Owner) -> bool {
        is_named(owner, &StatefulSetView::KIND, &self.set.metadata.name)
    }
    fn is_pod(&self, owner: &Owner) -> bool {
        is_named(owner, &PodView::KIND, &self.pod.name)
    }
    fn has(claim: &Meta, uid: &str) -> bool {
        claim.owners.iter().any(|owner| *owner.uid == *uid)
    }
    /// Whether the set and the pod shall own it.
    fn shall(&self) -> (bool, bool) {
        match policy(self.set) {
            (false, false) => (false, false),
            (true, false) => (true, false),
            (false, true) => (false, self.scaled_down),
            (true, true) => (!self.scaled_down, self.scaled_down),
        }
    }
    /// Whether somebody else controls it.
    fn is_foreign(&self, claim: &Meta) -> bool {
        policy(self.set) != (false, false)
            && claim.owners.iter().any(|owner| match () {
                () if self.is_set(owner) => owner.uid != self.set.metadata.uid,
                () if self.is_pod(owner) => owner.uid != self.pod.uid,
                () => owner.controller,
            })
    }
    fn are_right(&self, claim: &Meta) -> bool {
        let (set, pod) = (&*self.set.metadata.uid, &*self.pod.uid);
        let is_stale = |is: &dyn Fn(&Owner) -> bool, uid: &str| {
            claim.owners.iter().find(|owner| is(owner)).is_some_and(|owner| *owner.uid != *uid)
        };
        // The garbage collector takes it with its former owner.
        if is_stale(&|owner| self.is_set(owner), set) || is_stale(&|owner| self.is_pod(owner), pod) {
            return true;
        }
        let is_owned = (Self::has(claim, set), !pod.is_empty() && Self::has(claim, pod));
        if self.is_foreign(claim) {
            return is_owned == (false, false);
        }
        let is_ours = |owner: &&Owner| *owner.uid == *set || *owner.uid == *pod;
        is_owned == self.shall() && claim.owners.iter().filter(is_ours).all(|owner| owner.controller)
    }
    /// All owners of a claim, as they shall be.
    fn wanted(&self, claim: &Meta) -> Vec<Value> {
        let others = claim.owners.iter().filter(|owner| !self.is_set(owner) && !self.is_pod(owner));
        let mut owners: Vec<Value> = others.map(reference).collect();
        if self.is_foreign(claim) {
            return owners;
        }
        let (set, pod) = self.shall();
        if set {
            owners.push(controller_reference(&self.set.reference()));
        }
        if pod {
            let pod =
                ObjectRef::new(PodView::KIND, &self.pod.namespace, &self.pod.name).with_uid(&self.pod.uid);
            owners.push(controller_reference(&pod));
        }
        owners
    }
}

fn reference(owner: &Owner) -> Value {
    let mut value = json!({
        "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid,
    });
    for (field, is_set) in
        [("controller", owner.controller), ("blockOwnerDeletion", owner.block_owner_deletion)]
    {
        if is_set {
            value[field] = json!(true);
        }
    }
    value
}
