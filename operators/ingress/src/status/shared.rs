//! Paths that several ingresses have: the oldest one counts, canaries aside, which need another one. Pure.

use crate::{
    index::{rank, views::IngressView},
    render::options::{Problem, parse},
};
use proa_kit::View;
use std::collections::BTreeSet;

/// Host and path as they are compared: whether it is exact, and without a slash at the end of a prefix.
type Place<'a> = (&'a str, bool, &'a str);

fn places(ingress: &IngressView) -> BTreeSet<Place<'_>> {
    let mut places = BTreeSet::new();
    for rule in &ingress.spec.rules {
        for path in rule.http.iter().flat_map(|http| &http.paths) {
            let is_exact = &*path.path_type == "Exact";
            let text = if is_exact { &*path.path } else { path.path.trim_end_matches('/') };
            places.insert((&*rule.host, is_exact, text));
        }
    }
    places
}

fn is_canary(ingress: &IngressView) -> bool {
    parse(&ingress.metadata.annotations).canary.is_some()
}

/// What of an ingress other ones leave without effect. `others` are those of this controller, and may hold itself.
pub(super) fn problems<'a>(
    ingress: &IngressView,
    others: impl Iterator<Item = &'a IngressView>,
) -> Vec<Problem> {
    let (own, is_share) = (rank(ingress), is_canary(ingress));
    let mut mains: Vec<_> = others
        .filter(|other| other.key() != own.1 && !other.metadata.is_deleting() && !is_canary(other))
        .map(|other| (rank(other), places(other)))
        .collect();
    mains.sort_by(|a, b| a.0.cmp(&b.0));
    let mut problems = Vec::new();
    for place @ (host, is_exact, path) in places(ingress) {
        let path = if path.is_empty() && !is_exact { "/" } else { path };
        let first = mains.iter().find(|(_, places)| places.contains(&place)).map(|(rank, _)| rank);
        match first {
            None if is_share => problems.push(Problem {
                reason: "NoMainIngress",
                note: format!("canary: no other ingress has host {host:?} and path {path:?}"),
            }),
            Some(first) if !is_share && *first < own => problems.push(Problem {
                reason: "PathTaken",
                note: format!("host {host:?} and path {path:?} is already defined in ingress {}", first.1),
            }),
            _ => {}
        }
    }
    problems
}
