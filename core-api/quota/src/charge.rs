//! The decision: what a write makes a namespace's quotas pay, or which of them cannot.
//!
//! Upstream: apiserver `pkg/admission/plugin/resourcequota/controller.go` (CheckRequest).

use crate::{
    Item, Quota,
    amounts::{Amounts, add, growth, mask, text},
    quota::tracked,
};
use jiff::Timestamp;
use proa_meta::{GroupResource, quantity::Quantity};

/// A quota that pays.
#[derive(Clone, Debug, PartialEq)]
pub struct Charged {
    /// Which of the quotas.
    pub index: usize,
    /// What is used once it has paid.
    pub used: Amounts,
}

/// Charges a new object, or the change of one (`old`), to the quotas that are about it.
///
/// # Errors
/// In upstream's words: a limit would be exceeded, a container leaves out what a quota limits, a quota has not been
/// counted yet, or the object asks for less than nothing.
pub fn charge(
    quotas: &[Quota],
    resource: &GroupResource,
    new: &Item,
    old: Option<&Item>,
    now: Timestamp,
) -> Result<Vec<Charged>, String> {
    let mut paying = Vec::new();
    for (index, quota) in quotas.iter().enumerate() {
        let limited = tracked(&quota.status.hard, resource);
        if limited.is_empty() || !quota.spec.covers(new) {
            continue;
        }
        let name = &quota.metadata.name;
        if let Item::Pod(pod) = new {
            pod.must_specify(&limited).map_err(|why| format!("failed quota: {name}: {why}"))?;
        }
        if limited.keys().any(|resource| !quota.status.used.contains_key(resource)) {
            let names: Vec<_> = limited.keys().map(String::as_str).collect();
            return Err(format!("status unknown for quota: {name}, resources: {}", names.join(",")));
        }
        paying.push(index);
    }
    let usage = new.usage(now);
    let negative: Vec<_> = usage.iter().filter(|(_, q)| q.is_negative()).map(|(name, _)| &**name).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    let mut charged = Vec::new();
    for index in paying {
        let quota = &quotas[index];
        let before = old.filter(|old| quota.spec.covers(old)).map(|old| old.usage(now)).unwrap_or_default();
        let asked = mask(&growth(&usage, &before), &quota.status.hard);
        if !asked.is_empty() {
            charged.push(Charged { index, used: pay(quota, &asked)? });
        }
    }
    Ok(charged)
}

fn pay(quota: &Quota, asked: &Amounts) -> Result<Amounts, String> {
    let (hard, used) = (&quota.status.hard, &quota.status.used);
    let mut after = used.clone();
    add(&mut after, asked);
    let exceeded: Amounts = asked
        .keys()
        .filter_map(|name| hard.get(name).map(|limit| (name.clone(), *limit)))
        .filter(|(name, limit)| after.get(name).is_some_and(|after| after > limit))
        .collect();
    if exceeded.is_empty() {
        return Ok(after);
    }
    let before =
        exceeded.keys().map(|name| (name.clone(), used.get(name).copied().unwrap_or(Quantity::ZERO)));
    Err(format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        quota.metadata.name,
        text(&mask(asked, &exceeded)),
        text(&before.collect()),
        text(&exceeded)
    ))
}

#[cfg(test)]
mod tests;
