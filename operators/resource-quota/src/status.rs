//! The status of a quota: what is counted, and what is kept of what was charged.

use crate::index::{Book, QuotaView, State};
use proa_kit::Timestamp;
use proa_meta::{GroupResource, quantity::Quantity};
use proa_quota::{
    Amounts, Item,
    amounts::{add, mask},
    names,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What the objects use up, for each limited resource that some kind has. Kinds of the core that are not served have no
/// objects; of other kinds nothing is known then.
pub(crate) fn used<'a>(
    quota: &QuotaView,
    book: &dyn Fn(&GroupResource) -> Option<&'a Book>,
    now: Timestamp,
) -> Amounts {
    let mut by_kind: BTreeMap<GroupResource, Amounts> = BTreeMap::new();
    for name in quota.spec.hard.keys() {
        if let Some(resource) = names::tracked_by(name) {
            by_kind.entry(resource).or_default().insert(name.clone(), Quantity::ZERO);
        }
    }
    let mut all = Amounts::new();
    for (resource, mut used) in by_kind {
        let Some(book) = book(&resource) else { continue };
        if book.state == State::Unserved && !resource.group.is_empty() {
            continue;
        }
        for item in book.items().filter(|item| quota.spec.covers(item)) {
            let usage = mask(&item.usage(now), &used);
            add(&mut used, &usage);
        }
        all.extend(used);
    }
    all
}

/// Keeps what was charged for objects that have not been seen yet, and what cannot be counted.
pub(crate) fn at_least_charged(
    quota: &QuotaView,
    mut counted: Amounts,
    unseen: &BTreeSet<GroupResource>,
) -> Amounts {
    for (name, charged) in mask(&quota.status.used, &quota.spec.hard) {
        let is_unseen = names::tracked_by(&name).is_some_and(|resource| unseen.contains(&resource));
        let own = counted.entry(name).or_insert(charged);
        if is_unseen && charged > *own {
            *own = charged;
        }
    }
    counted
}

/// The new status, if it differs from the old one.
pub(crate) fn changed(quota: &QuotaView, used: &Amounts) -> Option<Value> {
    let is_same = quota.status.hard == quota.spec.hard && quota.status.used == *used;
    (!is_same).then(|| json!({"hard": list(&quota.spec.hard), "used": list(used)}))
}

fn list(amounts: &Amounts) -> Value {
    let texts = amounts.iter().map(|(name, quantity)| (name.clone(), quantity.to_string().into()));
    Value::Object(texts.collect::<Map<_, _>>())
}

/// When the first object of a book will cost less by itself.
pub(crate) fn cheaper_at(book: &Book, now: Timestamp) -> Option<Timestamp> {
    book.items().filter_map(Item::cheaper_at).filter(|time| *time >= now).min()
}
