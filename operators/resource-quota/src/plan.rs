//! The decision: what a quota's status shall say.

use crate::{
    index::{Account, Charge, Ledger, Need, PATIENCE, State, needs},
    status,
};
use proa_kit::{Action, Key, Plan, Timestamp, Typed};
use proa_meta::GroupResource;
use std::{collections::BTreeSet, time::Duration};

/// The plan for one quota: nothing before every kind that it names has been listed.
pub fn plan(quota: &Key, ledger: &mut Ledger, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Ledger { accounts, books } = ledger;
    let Some(account) = accounts.get_mut(quota) else { return plan };
    let quota = account.quota.clone();
    let book = |resource: &GroupResource| {
        books.get(&Need { namespace: quota.metadata.namespace.clone(), resource: resource.clone() })
    };
    let is_known = |need: Need| books.get(&need).is_some_and(|book| book.state != State::Filling);
    if quota.metadata.is_deleting() || !needs(&quota).all(is_known) {
        return plan;
    }
    let held = unseen(account, |resource| book(resource).map_or(u64::MAX, |book| book.seen), now);
    let counted = status::used(&quota, &book, now);
    let used = status::at_least_charged(&quota, counted, &held.resources);
    if let Some(status) = status::changed(&quota, &used) {
        let target = quota.reference().at(quota.metadata.resource_version);
        plan.push(Action::status(target, status));
    }
    if let Some(patience) = held.ends {
        plan.look_again(patience);
    }
    if let Some(time) = needs(&quota).filter_map(|need| status::cheaper_at(books.get(&need)?, now)).min() {
        let wait = Duration::try_from(time.duration_since(now)).unwrap_or_default();
        plan.look_again(wait + Duration::from_millis(1));
    }
    plan
}

/// Kinds of which nothing may be given back yet, and for how long at most.
struct Held {
    resources: BTreeSet<GroupResource>,
    ends: Option<Duration>,
}

fn unseen(account: &mut Account, seen: impl Fn(&GroupResource) -> u64, now: Timestamp) -> Held {
    let mut held = Held { resources: BTreeSet::new(), ends: None };
    account.charges.retain_mut(|Charge { revision, resources, since }| {
        resources.retain(|resource| seen(resource) < *revision);
        let waited = now.duration_since(*since.get_or_insert(now));
        let left = PATIENCE.saturating_sub(Duration::try_from(waited).unwrap_or_default());
        let stays = !resources.is_empty() && !left.is_zero();
        if stays {
            held.resources.extend(resources.iter().cloned());
            held.ends = Some(held.ends.map_or(left, |ends| ends.max(left)));
        }
        stays
    });
    held
}
