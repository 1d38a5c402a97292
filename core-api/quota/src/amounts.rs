//! Resource lists: names with quantities, and how they are added, compared and printed.
//!
//! Upstream: apiserver `pkg/quota/v1/resources.go`.

use proa_meta::quantity::Quantity;
use std::collections::BTreeMap;

/// A resource list.
pub type Amounts = BTreeMap<String, Quantity>;

/// Adds to each name.
pub fn add(to: &mut Amounts, more: &Amounts) {
    for (name, quantity) in more {
        *to.entry(name.clone()).or_insert(Quantity::ZERO) += *quantity;
    }
}

/// Raises each name to at least what `least` says.
pub fn raise(to: &mut Amounts, least: &Amounts) {
    for (name, quantity) in least {
        let own = to.entry(name.clone()).or_insert(*quantity);
        if *quantity > *own {
            *own = *quantity;
        }
    }
}

/// How much more `new` is than `old`, name by name; what did not grow is left out.
pub fn growth(new: &Amounts, old: &Amounts) -> Amounts {
    let grown = new.iter().map(|(name, quantity)| {
        let before = old.get(name).copied().unwrap_or(Quantity::ZERO);
        (name.clone(), *quantity - before)
    });
    grown.filter(|(_, quantity)| *quantity > Quantity::ZERO).collect()
}

/// Only the names that are also in `names`.
pub fn mask<V>(list: &Amounts, names: &BTreeMap<String, V>) -> Amounts {
    let named = list.iter().filter(|(name, _)| names.contains_key(*name));
    named.map(|(name, quantity)| (name.clone(), *quantity)).collect()
}

/// `cpu=1,memory=2Gi`, in order of names.
pub fn text(list: &Amounts) -> String {
    let entries: Vec<_> = list.iter().map(|(name, quantity)| format!("{name}={quantity}")).collect();
    entries.join(",")
}
